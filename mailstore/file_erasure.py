"""Erases a file: what it held is overwritten before its name goes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from mailstore import durable_file

_PIECE: Final = bytes(1 << 20)


def erased(path: Path) -> None:
    """Overwrite a file with zeros, durably, and remove it. A file that is not there is erased already.

    On a disk that writes elsewhere than where it read (a solid-state disk, a copying file system) the old blocks may
    outlive this; whoever must be sure of them encrypts the disk.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY)
    except FileNotFoundError:
        return
    try:
        left = os.fstat(descriptor).st_size
        while left > 0:
            left -= os.write(descriptor, _PIECE[:left])
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    path.unlink()
    durable_file.sync_directory(path.parent)
