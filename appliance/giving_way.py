"""Core: when follow-up work stands back: for a moment, while mail pours in faster than it could be followed up anyway.

Both need the processor, the disk, and the database's one writer, and only senders wait for an answer. So a burst is
taken in first. It is for a moment only: what never ends is followed up in turns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

POURING: Final = 100.0
"""Messages a second that come in: more than are followed up in that time on two cores (docs/performance.md)."""

LOOK_SECONDS: Final = 0.15
"""What is looked at in a shorter time says nothing of a pace: a group commit is many messages at once."""

LONGEST_SECONDS: Final = 10.0
"""How long follow-up work stands back at most, and how long it then goes on without."""


@dataclass(frozen=True)
class _Look:
    messages: int
    at: float


class GivingWay:
    """Is told how many messages came so far, at each look, and answers whether to begin follow-up work now.

    ``at`` is a monotonic clock's, in seconds.
    """

    def __init__(self) -> None:
        self._last: _Look | None = None
        self._is_pouring = False
        self._began = 0.0

    def stands_back(self, messages: int, *, at: float) -> bool:
        """True while mail pours in and for as long as it has been given way to; False in between."""
        self._look(_Look(messages, at))
        return self._is_pouring and (at - self._began) % (2 * LONGEST_SECONDS) < LONGEST_SECONDS

    def _look(self, now: _Look) -> None:
        last = self._last or now
        seconds = now.at - last.at
        if self._last is not None and seconds < LOOK_SECONDS:
            return
        was_pouring, self._last = self._is_pouring, now
        self._is_pouring = seconds > 0 and (now.messages - last.messages) / seconds > POURING
        if self._is_pouring and not was_pouring:
            self._began = now.at
