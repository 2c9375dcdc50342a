"""Core: when a message came, as far as two clocks agree about it.

The time of receipt is by the wall clock of that moment, which may have been wrong by years. The archive notes by the
trusted time when it captured the message. Where the two are further apart than clocks may be, the message came at some
time between them: whether that was before or behind a day may then not be known.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mailstore.trusted_time import TOLERANCE


@dataclass(frozen=True)
class ReceiptTime:
    """The message came at ``earliest``, at ``latest``, or between them. One moment where the clocks agree."""

    earliest: datetime
    latest: datetime

    def is_from(self, instant: datetime) -> bool | None:
        """Whether it came at this moment or later; None when nobody can tell."""
        if self.earliest >= instant:
            return True
        return None if self.latest >= instant else False

    def is_before(self, instant: datetime) -> bool | None:
        """Whether it came earlier than this; None when nobody can tell."""
        found = self.is_from(instant)
        return None if found is None else not found


def receipt_time(received_at: datetime, captured_at: datetime | None) -> ReceiptTime:
    """What the time of receipt and the trusted time of capture say. ``captured_at`` None: not captured yet."""
    if captured_at is None or abs(captured_at - received_at) <= TOLERANCE:
        return ReceiptTime(received_at, received_at)
    return ReceiptTime(min(received_at, captured_at), max(received_at, captured_at))
