"""Sees every command line of this machine and of the guests on it while a playbook runs, for secrets among them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOOK_SECONDS = 0.05
"""A module of the playbook runs for longer than this, and what it starts mostly too."""


class SecretWatch:
    """All command lines that were seen. Processes of a guest are processes of this machine."""

    def __init__(self) -> None:
        self.lines: set[bytes] = set()

    def look(self) -> None:
        """Take in what runs now."""
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                self.lines.add(path.read_bytes())
            except OSError:  # it has ended
                continue

    def saw(self, secret: str) -> bool:
        """Whether a command line held it."""
        return any(secret.encode() in line for line in self.lines)


@contextmanager
def watching() -> Iterator[SecretWatch]:
    """A watch that looks until the end of the block."""
    watch, ended = SecretWatch(), threading.Event()

    def look() -> None:
        while not ended.wait(LOOK_SECONDS):
            watch.look()

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        yield watch
    finally:
        ended.set()
        looking.join()
