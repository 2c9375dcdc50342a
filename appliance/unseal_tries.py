"""Tries at unsealing: counted where no database is needed, slowed after each wrong one, and told once it is open.

A try counts as wrong from its begin, so that one that is cut short counts too. Pages and commands are counted apart:
a stranger at the page does not keep the practice from unsealing at the machine.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from mailstore import durable_file
from mailstore.errors import RefusedError, StorageUnavailableError
from mailstore.instants import instant_of, microseconds
from mailstore.wall_clock import Clock

FREE_TRIES: Final = 3
"""Wrong ones in a row after which waiting begins: people mistype."""

FIRST_WAIT_SECONDS: Final = 2.0
LONGEST_WAIT_SECONDS: Final = 900.0
_MOST_DOUBLINGS: Final = 20
_TIMES: Final = ("first", "last", "opened", "sealed")


class TooSoonError(RefusedError):
    """After wrong secrets the next one has to wait. ``seconds``: how long."""

    code = "too_soon"

    def __init__(self, seconds: float) -> None:
        whole = max(1, int(-(-seconds // 1)))
        super().__init__(f"too soon after a wrong secret: wait {whole} seconds", fix="then try again")
        self.seconds = whole


@dataclass(frozen=True)
class Tries:
    """Those of one channel since they were told: how many were wrong, when the first and the last one came.

    ``in_a_row`` begins anew with each right one; ``opened_at`` is the time of the last right one, ``sealed_at`` when it
    was sealed by hand.
    """

    wrong: int = 0
    in_a_row: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    opened_at: datetime | None = None
    sealed_at: datetime | None = None

    def wait_seconds(self, now: datetime) -> float:
        """How long the next try has to wait. A clock that was set back makes it no longer than it was at first."""
        if self.in_a_row < FREE_TRIES or self.last_at is None:
            return 0.0
        doublings = min(self.in_a_row - FREE_TRIES, _MOST_DOUBLINGS)
        wait = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0**doublings)
        return max(0.0, min(wait, wait - (now - self.last_at).total_seconds()))

    def begun(self, now: datetime) -> Tries:
        """One more, which counts as wrong."""
        return replace(
            self, wrong=self.wrong + 1, in_a_row=self.in_a_row + 1, first_at=self.first_at or now, last_at=now
        )

    def right(self, now: datetime, *, was_sealed: bool) -> Tries:
        """The newest one was right after all."""
        return replace(self, wrong=self.wrong - 1, in_a_row=0, opened_at=now if was_sealed else self.opened_at)


class UnsealTries:
    """The tries of one data directory, in a file. Safe to use from many threads of one process."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()

    def begin(self, channel: str) -> None:
        """A try begins. Raises ``TooSoonError``, and ``StorageUnavailableError`` when it cannot be counted."""
        with self._lock:
            told, now = self.told(), self._clock.now()
            tries = told.get(channel, Tries())
            if wait := tries.wait_seconds(now):
                raise TooSoonError(wait)
            self._write({**told, channel: tries.begun(now)})

    def was_right(self, channel: str, *, was_sealed: bool) -> None:
        """The try that was begun last was right; it opened the appliance when that ``was_sealed``."""
        with self._lock:
            told = self.told()
            self._write(
                {**told, channel: told.get(channel, Tries(1, 1)).right(self._clock.now(), was_sealed=was_sealed)}
            )

    def note_sealing(self, channel: str) -> None:
        """It is sealed by hand from there. Nothing keeps it open: a note that cannot be written is not written."""
        with self._lock, suppress(StorageUnavailableError):
            told = self.told()
            tries = told.get(channel, Tries())
            self._write({**told, channel: replace(tries, sealed_at=self._clock.now())})

    def told(self) -> dict[str, Tries]:
        """By channel. A file that cannot be read counts as a wrong try: somebody did that."""
        try:
            found = json.loads(self._path.read_text("utf-8"))
            return {str(channel): _tries(each) for channel, each in found.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, AttributeError):
            return {"unknown": Tries(1, 1)}
        except OSError as error:
            raise StorageUnavailableError(f"{self._path.name} cannot be read: {error.strerror}") from error

    def forget(self) -> None:
        """They were told to those who must know."""
        with self._lock:
            self._path.unlink(missing_ok=True)

    def _write(self, told: Mapping[str, Tries]) -> None:
        text = json.dumps({channel: _json(each) for channel, each in told.items()})
        try:
            durable_file.make_directory(self._path.parent)
            durable_file.replace(self._path, text.encode())
        except OSError as error:
            raise StorageUnavailableError(f"{self._path.name} cannot be written: {error.strerror}") from error


def _tries(told: Mapping[str, Any]) -> Tries:
    times = [None if told[name] is None else instant_of(int(told[name])) for name in _TIMES]
    return Tries(int(told["wrong"]), int(told["in_a_row"]), *times)


def _json(tries: Tries) -> dict[str, int | None]:
    times = (tries.first_at, tries.last_at, tries.opened_at, tries.sealed_at)
    marks = {name: None if at is None else microseconds(at) for name, at in zip(_TIMES, times, strict=True)}
    return {"wrong": tries.wrong, "in_a_row": tries.in_a_row, **marks}
