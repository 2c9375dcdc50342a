"""What the doctor says about rspamd and clamd: whether they answer, and what becomes of mail meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any, Final

from appliance import mending_words
from appliance.clamd_client import ClamdClient
from appliance.health_finding import Finding, Seen, State, guarded
from appliance.mail_scanning import FAULTS
from appliance.rspamd_client import RspamdClient
from appliance.scanning_settings import ScanningSettings

PATIENCE_SECONDS: Final = 5.0
UNITS: Final = {"rspamd": "rspamd", "clamd": "clamav-daemon"}
"""What Debian calls their units."""


def findings(settings: ScanningSettings) -> Iterator[Finding]:
    """A line for each scanner; one that the settings do not name is off."""
    rspamd, clamd = RspamdClient(settings.rspamd), ClamdClient(settings.clamd)
    for name, address, ask, when_down in (
        ("rspamd", settings.rspamd, rspamd.is_there, settings.rspamd_when_down),
        ("clamd", settings.clamd, clamd.is_there, settings.clamd_when_down),
    ):
        yield guarded(name, partial(_seen, name, address, ask, when_down), is_alarm=True)


def _seen(name: str, address: str, ask: Callable[[], Coroutine[Any, Any, bool]], when_down: str) -> Seen:
    if not address:
        return State.OFF, "mail is not shown to it", ""
    if asyncio.run(_answers(ask)):
        return State.OK, f"{address} answers", ""
    fix = (
        f"run: sudo systemctl start {UNITS[name]}; or take {name} out of [scanning] in strongroom.toml, and run:"
        f" {mending_words.RESTART_UNITS}"
    )
    if when_down == "defer":
        return State.FAIL, f"{address} does not answer: mail is put off until it does", fix
    return State.WARN, f"{address} does not answer: mail is taken without it", fix


async def _answers(ask: Callable[[], Coroutine[Any, Any, bool]]) -> bool:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await ask()
    except FAULTS:
        return False
