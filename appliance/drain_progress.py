"""How far the sealed spool has been drained: `run/drain.json`, for those who wait for it.

Lost with a crash and told anew; it is never read while the appliance is sealed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mailstore.durable_file import ASIDE

_TOLD_EVERY_SECONDS: Final = 0.2


@dataclass(frozen=True)
class Drained:
    """``done`` of ``of`` messages that waited are taken in. ``is_over``: nothing waits any more."""

    done: int
    of: int
    is_over: bool

    @property
    def percent(self) -> int:
        """How far, for those who may not know how many."""
        return 100 if self.is_over or not self.of else min(99, 100 * self.done // self.of)


class DrainProgress:
    """Writes the file, not more often than anybody reads it."""

    def __init__(self, path: Path, *, seconds: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._seconds = seconds
        self._told_at = float("-inf")

    def tell(self, drained: Drained) -> None:
        """Say how far it is. A disk that does not take it holds nothing up."""
        if not drained.is_over and self._seconds() - self._told_at < _TOLD_EVERY_SECONDS:
            return
        self._told_at = self._seconds()
        aside = self._path.with_name(self._path.name + ASIDE)
        try:
            aside.write_text(json.dumps({"done": drained.done, "of": drained.of, "is_over": drained.is_over}), "utf-8")
            aside.replace(self._path)
        except OSError:
            return


def read(path: Path) -> Drained | None:
    """What was told last; None when nothing was since the appliance was opened."""
    try:
        told = json.loads(path.read_text("utf-8"))
        return Drained(int(told["done"]), int(told["of"]), bool(told["is_over"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def forget(path: Path) -> None:
    """Nothing was told yet."""
    path.unlink(missing_ok=True)
