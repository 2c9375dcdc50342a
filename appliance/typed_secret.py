"""A secret that was typed or handed over, as a file that is in memory only and gone afterwards (memfd_create(2)).

So whatever takes a secret by the place where it lies can take this one too, and it never lies on a disk.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mailstore import durable_file


@contextmanager
def in_memory(content: bytes) -> Iterator[Path]:
    """Where it can be read, by this process alone, until the end of the block."""
    descriptor = os.memfd_create("secret", os.MFD_CLOEXEC)
    try:
        durable_file.write_all(descriptor, content)
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.ftruncate(descriptor, 0)
        os.close(descriptor)
