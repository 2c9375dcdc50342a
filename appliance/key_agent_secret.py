"""A secret as the key agent gets it: by the place where it lies, or by what its file holds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mailstore.slot_kinds import secret_in
from mailstore.slot_secret import SlotSecret


def secret_of(kind: str, path: Path) -> SlotSecret:
    """The secret that lies in a file. ``RefusedError`` for a kind that is unknown."""
    return secret_in(kind, path)


@contextmanager
def given(kind: str, content: bytes) -> Iterator[SlotSecret]:
    """A secret that was handed over, as a file that is in memory only and gone afterwards (memfd_create(2))."""
    descriptor = os.memfd_create("secret", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, content)
        yield secret_of(kind, Path(f"/proc/self/fd/{descriptor}"))
    finally:
        os.ftruncate(descriptor, 0)
        os.close(descriptor)
