"""How fast backups go: so many bytes a second, that taking mail in and showing pages is not held up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class BackupPace:
    """A bound on bytes a second, kept by sleeping behind each piece. 0: as fast as it goes."""

    bytes_a_second: int = 0
    seconds: Callable[[], float] = field(default=time.monotonic, repr=False)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    _free_at: float = field(default=0.0, repr=False)

    def spent(self, count: int) -> None:
        """So many bytes were read or sent: wait until that was allowed."""
        if self.bytes_a_second <= 0:
            return
        now = self.seconds()
        self._free_at = max(self._free_at, now) + count / self.bytes_a_second
        if self._free_at > now:
            self.sleep(self._free_at - now)
