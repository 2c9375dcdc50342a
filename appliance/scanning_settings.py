"""Core: the settings of scanners: who looks at mail before it is taken, and what happens while they say nothing."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

HIGHEST_PORT: Final = 65_535


def _setting(default: Any, says: str, check: Callable[[Any], str]) -> Any:
    return field(default=default, metadata={"says": says, "check": check})


def _between(low: int, high: int) -> Callable[[Any], str]:
    return lambda value: "" if low <= value <= high else f"must lie between {low} and {high}"


def _anything(_value: Any) -> str:
    return ""


def _when_down(value: str) -> str:
    return "" if value in {"accept", "defer"} else "must be one of accept, defer"


def rspamd_url(value: str) -> str:
    """Where rspamd is asked, on this machine: what is sent there is mail in plain text. Empty for nowhere."""
    try:
        place = urlsplit(value)
        is_good = place.scheme == "http" and _is_here(place.hostname or "") and place.port != 0
    except ValueError:
        is_good = False
    if not value or (is_good and value == f"http://{place.netloc}" and "@" not in value):
        return ""
    return "must be http://ADDRESS:PORT of this machine, for example http://127.0.0.1:11333"


def clamd_address(value: str) -> str:
    """Where clamd is asked, on this machine likewise. Empty for nowhere."""
    host, _, port = value.rpartition(":")
    is_port = port.isascii() and port.isdigit() and 1 <= int(port) <= HIGHEST_PORT
    if not value or (value.startswith("/") and value.isprintable()) or (is_port and _is_here(host.strip("[]"))):
        return ""
    return "must be the path of a socket, or ADDRESS:PORT of this machine, for example 127.0.0.1:3310"


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class ScanningSettings:
    """Scanners of this machine that look at mail while its sender waits. None is asked unless it is named here."""

    rspamd: str = _setting(
        "", "rspamd's normal worker, for example http://127.0.0.1:11333; empty: nobody is asked about junk.", rspamd_url
    )
    rspamd_when_down: str = _setting(
        "accept",
        "Mail that rspamd says nothing of is taken (accept), or its sender told to come again (defer).",
        _when_down,
    )
    rejects_junk: bool = _setting(
        True,
        "Mail that rspamd would reject is refused (true), or goes into the folder for junk (false).",
        _anything,
    )
    clamd: str = _setting(
        "",
        "clamd's socket, for example /run/clamav/clamd.ctl, or 127.0.0.1:3310; empty: nobody is asked about viruses.",
        clamd_address,
    )
    clamd_when_down: str = _setting(
        "defer",
        "Mail that clamd says nothing of is taken (accept), or its sender told to come again (defer).",
        _when_down,
    )
    seconds: int = _setting(
        30, "A scanner that says nothing for this time counts as away; the sender waits.", _between(1, 300)
    )
    at_once: int = _setting(8, "Questions to scanners of one process at a time.", _between(1, 64))
