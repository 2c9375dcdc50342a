"""Says on stderr how far long work is, and about how long it will still take: one line, every few seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Final

TELL_EVERY_SECONDS: Final = 2.0
_FIRST_GUESS_SECONDS: Final = 3.0
_UNITS: Final = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))
_MINUTE: Final = 60
_HOUR: Final = 3600


class LongWork:
    """Told again and again how far one piece of work after the other is."""

    def __init__(
        self, write: Callable[[str], object] = sys.stderr.write, *, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._write = write
        self._seconds = seconds
        self._what = ""
        self._begun = 0.0
        self._next = 0.0

    def step(self, number: int, of: int, what: str) -> None:
        """A numbered step begins."""
        self._write(f"{number}/{of} {what}\n")
        self._begin(what)

    def bytes_done(self, done: int, of: int) -> None:
        """How many bytes of the step are done."""
        self._tell(done, of, f"{size_words(done)} of {size_words(of)}")

    def things_done(self, what: str, done: int, of: int = 0) -> None:
        """How many things are done; ``of`` 0 when nobody knows how many there are."""
        if what != self._what:
            self._begin(what)
        self._tell(done, of, f"{what}: {done:,}" + (f" of {of:,}" if of else ""))

    def _begin(self, what: str) -> None:
        self._what = what
        self._begun = self._seconds()
        self._next = self._begun + TELL_EVERY_SECONDS

    def _tell(self, done: int, of: int, words: str) -> None:
        now = self._seconds()
        if now < self._next:
            return
        self._next = now + TELL_EVERY_SECONDS
        passed = now - self._begun
        left = ""
        if 0 < done < of and passed >= _FIRST_GUESS_SECONDS:
            left = f", about {time_words(passed * (of - done) / done)} left"
        share = f" ({100 * done // of} %)" if of else ""
        self._write(f"    {words}{share}{left}\n")


def size_words(count: int) -> str:
    """Bytes as people read them."""
    for unit, size in _UNITS:
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


def time_words(seconds: float) -> str:
    """A duration as people read it, not more exact than a guess is."""
    if seconds < _MINUTE:
        return f"{max(1, round(seconds))} s"
    if seconds < _HOUR:
        return f"{round(seconds / _MINUTE)} min"
    return f"{seconds / _HOUR:.1f} h"
