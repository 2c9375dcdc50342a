"""Core: one place outside this machine that holds copies of message keys, and until when.

A destroyed key is destroyed only when no copy of it is left.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

FOREVER: Final = datetime(9000, 1, 1, tzinfo=UTC)
"""Beyond every date that means something."""


@dataclass(frozen=True)
class KeyCopy:
    """One place with copies of keys. ``place``: its id, 32 characters at most; ``name``: as people call it.

    ``kept_until``: when the newest copy there is removed, ``FOREVER`` when nobody is known to do that; ``reached_at``:
    when older ones were last removed there.
    """

    place: str
    name: str
    shipped_at: datetime
    kept_until: datetime
    reached_at: datetime

    def holds_until(self, destroyed_at: datetime, *, kept: timedelta) -> datetime:
        """Until when a key that was destroyed then may be there. ``kept``: how long any one copy stays."""
        return FOREVER if self.is_kept_for_ever else min(self.kept_until, destroyed_at + kept)

    @property
    def is_kept_for_ever(self) -> bool:
        """True when neither we nor the place itself is known to remove old copies there."""
        return self.kept_until >= FOREVER


def gone_after(copies: Iterable[KeyCopy], destroyed_at: datetime, *, kept: timedelta) -> datetime:
    """The day after which no copy that we know of holds a key that was destroyed then."""
    return max((copy.holds_until(destroyed_at, kept=kept) for copy in copies), default=destroyed_at)
