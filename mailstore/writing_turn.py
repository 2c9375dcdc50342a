"""Whose turn it is to write to an SQLite file, between processes.

SQLite lets a process that waits for another's transaction sleep longer and longer, up to a tenth of a second, while
a third comes first. Here the waiting is short, and ``BEGIN IMMEDIATE`` has nobody left to wait for but strangers.
"""

from __future__ import annotations

import fcntl
import os
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mailstore.errors import StorageUnavailableError

SUFFIX: Final = "-turn"
"""Ends the name of the file beside the database that is locked by whoever writes. It is always empty."""

_FIRST_PAUSE_SECONDS: Final = 0.0002
_LONGEST_PAUSE_SECONDS: Final = 0.003


class WritingTurn:
    """The turn of one process, whose threads agree among themselves. The kernel ends it with the process."""

    def __init__(self, database: Path, *, patience_seconds: float) -> None:
        path = database.with_name(database.name + SUFFIX)
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageUnavailableError(f"{database.name} cannot be written now: {error.strerror}") from error
        weakref.finalize(self, os.close, self._descriptor)
        self._name = database.name
        self._patience_seconds = patience_seconds

    @contextmanager
    def held(self) -> Iterator[None]:
        """Wait for the turn and keep it. Raises StorageUnavailableError when others keep it for too long."""
        self._wait()
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _wait(self) -> None:
        deadline = time.monotonic() + self._patience_seconds
        pause = _FIRST_PAUSE_SECONDS
        while not self._is_ours():
            if time.monotonic() > deadline:
                raise StorageUnavailableError(f"{self._name} is busy")
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _is_ours(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
