"""Ports that tests give away before somebody listens on them: nobody else is given them meanwhile.

Below those that the kernel gives to clients and to whoever asks for any port (ip_local_port_range), which come and go.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from appliance.demo import port_base

PRACTICES: Final = range(20_000, 32_000, port_base.APART)
SERVERS: Final = range(12_000, 20_000, port_base.APART)
BESIDE: Final = range(2, 12)
"""From a base so far beyond, ports belong to whoever holds the base, and to none of its practice's four."""


def free_base() -> int:
    """A number from which all four ports of a practice are free; no other process of tests is given it."""
    return _reserved(PRACTICES)


def free_port() -> int:
    """A port on loopback that nobody listens on; nobody else is given it until this process ends."""
    return next(_ports)


def _free_ports() -> Iterator[int]:
    while True:
        base = _reserved(SERVERS)
        yield from (base + beyond for beyond in BESIDE if _is_free(base + beyond))


def _reserved(bases: range) -> int:
    start = os.getpid() * 61 % len(bases)
    return port_base.reserve([*bases[start:], *bases[:start]])


def _is_free(port: int) -> bool:
    with suppress(OSError), socket.socket() as tried:
        tried.bind(("127.0.0.1", port))
        return True
    return False


_ports = _free_ports()
