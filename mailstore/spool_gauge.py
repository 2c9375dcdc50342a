"""How full the spool is. At its cap mail is put off, so that the databases beside it always have room to record.

The cap is reached when the object store takes nothing for long: the senders keep their mail and come back.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from mailstore import spool
from mailstore.errors import StorageUnavailableError

EARLY_WARNING = 0.8
"""The share of the cap from which people are told, and the dwell time of promoted mail ends early."""

_FRESH_SECONDS = 1.0


class SpoolFullError(StorageUnavailableError):
    """The spool is at its cap. Nothing was promised to anybody."""

    code = "spool_full"


class SpoolGauge:
    """Looks at the spool at most once a second, however often it is asked. Safe to use from many threads."""

    def __init__(self, directory: Path, *, cap_bytes: int, seconds: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self.cap_bytes = cap_bytes
        self._seconds = seconds
        self._seen = (float("-inf"), 0)

    def used_bytes(self) -> int:
        """What the segments take up on the disk, holes left out. Raises ``StorageUnavailableError``."""
        seen_at, used = self._seen
        now = self._seconds()
        if now - seen_at >= _FRESH_SECONDS:
            used = spool.used_bytes(self._directory)
            self._seen = (now, used)
        return used

    def has_room(self) -> bool:
        """True while mail may be taken in."""
        return self.used_bytes() < self.cap_bytes

    def is_pressed(self) -> bool:
        """True when the cap is near."""
        return self.used_bytes() >= EARLY_WARNING * self.cap_bytes

    def refuse_when_full(self) -> None:
        """Raise ``SpoolFullError`` at the cap."""
        if not self.has_room():
            raise SpoolFullError(
                "no new mail is taken for the time being: the spool is full",
                fix="look what the object store says: strongroom store status; or raise spool.cap_bytes",
            )
