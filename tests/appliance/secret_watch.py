"""Sees every command line of this machine and of the guests on it while a playbook runs, for secrets among them."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

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
        """Whether a command line held it, as it is or in a spelling that programs hand on."""
        return any(spelling in line for spelling in _spellings(secret.encode()) for line in self.lines)


def _spellings(secret: bytes) -> tuple[bytes, ...]:
    """As it is, in a URL, in hexadecimal, and in base64 wherever it begins in a group of three bytes."""
    shifted = (base64.b64encode(bytes(before) + secret)[4 if before else 0 : -4] for before in range(3))
    return (secret, quote(secret, safe="").encode(), secret.hex().encode(), *shifted)


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
