"""A number from which all ports of a practice ground are free, held so that no second process picks it as well."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress

from mailstore.errors import RefusedError

OFFSETS = (25, 443, 465, 587)
HELD_OFFSET = 1
"""The port beyond the base that nothing listens on: whoever has bound it has the base."""

APART = 25
"""Bases so far apart have no port in common: the offsets, that of the held one too, differ modulo 25."""

_held: list[int] = []


def reserve(bases: Iterable[int]) -> int:
    """The first base that nobody holds and whose ports are free; ours until this process ends."""
    for base in bases:
        with suppress(OSError), socket.socket() as holding:
            holding.bind(("127.0.0.1", base + HELD_OFFSET))
            if all(_is_free(base + offset) for offset in OFFSETS):
                _held.append(holding.detach())
                return base
    raise RefusedError("no free ports on 127.0.0.1", fix="say --base N")


def _is_free(port: int) -> bool:
    with socket.socket() as tried:
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
