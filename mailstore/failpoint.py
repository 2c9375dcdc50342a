"""Named points at which a rehearsal can stop the process or break the disk.

``STRONGROOM_FAILPOINT=name:kill`` kills this process where ``reached(name)`` stands, ``name:kill@3`` the third time
it comes by, ``name:error`` raises ``OSError(EIO)`` there, ``name:full`` ``OSError(ENOSPC)``, ``name:stop`` halts the
process until SIGCONT. Several are separated by commas. Nothing set: one comparison, nothing else.
"""

from __future__ import annotations

import errno
import itertools
import os
import signal
from collections.abc import Callable, Mapping


def _signalled(number: signal.Signals) -> Callable[[str], None]:
    return lambda _: os.kill(os.getpid(), number)


def _failing(number: int) -> Callable[[str], None]:
    def fail(name: str) -> None:
        raise OSError(number, f"failpoint {name}")

    return fail


KINDS: Mapping[str, Callable[[str], None]] = {
    "kill": _signalled(signal.SIGKILL),
    "stop": _signalled(signal.SIGSTOP),
    "error": _failing(errno.EIO),
    "full": _failing(errno.ENOSPC),
}
"""What can happen at a failpoint, by the word that asks for it."""


class _Strike:
    """One failpoint that is set, and how often it was come by."""

    def __init__(self, action: str) -> None:
        kind, _, time = action.partition("@")
        self._act, self._time, self._passes = KINDS[kind], int(time or 1), itertools.count(1)

    def pass_by(self, name: str) -> None:
        if next(self._passes) == self._time:
            self._act(name)


class _Rehearsal:
    """What is set, and who wants to be told of every point that is reached."""

    def __init__(self, told: str, seen: Callable[[str], None] | None) -> None:
        pairs = (each.partition(":") for each in told.split(",") if each)
        self._strikes = {name: _Strike(action) for name, _, action in pairs}
        self._seen = seen

    def pass_by(self, name: str) -> None:
        if self._seen:
            self._seen(name)
        if name in self._strikes:
            self._strikes[name].pass_by(name)


_rehearsal: _Rehearsal | None = None


def rehearse(told: str, seen: Callable[[str], None] | None = None) -> None:
    """Set failpoints for the rest of this process's life, as the variable does. ``seen`` hears every point first."""
    global _rehearsal  # noqa: PLW0603 - the one switch of the process, as the variable is
    _rehearsal = _Rehearsal(told, seen) if told or seen else None


def reached(name: str) -> None:
    """Say that the step called ``name`` is done and durable."""
    if _rehearsal is not None:
        _rehearsal.pass_by(name)


rehearse(os.environ.get("STRONGROOM_FAILPOINT", ""))
