"""Files that are whole and on the disk, or not there: written aside, synced, renamed, their directory synced.

Used for key files and sealed objects. Nothing here ever sees the text of a message.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_FILE_MODE = 0o600
_DIRECTORY_MODE = 0o700
ASIDE = ".aside"
"""How the names of files end that are not finished yet. A crash may leave one; it holds sealed bytes only."""


def make_directory(directory: Path) -> None:
    """A directory that only we can enter, there after a power cut."""
    if directory.is_dir():
        return
    make_directory(directory.parent)
    directory.mkdir(mode=_DIRECTORY_MODE, exist_ok=True)
    sync_directory(directory.parent)


def write_new(path: Path, data: bytes) -> None:
    """Write ``data`` durably at ``path``, where nothing may be yet (``FileExistsError``)."""
    write_all_new({path: data})


def write_all_new(files: Mapping[Path, bytes]) -> None:
    """Write several new files durably; each is whole or not there, also when this raises.

    ``link`` instead of ``rename`` makes the last step fail, not overwrite, when two writers race.
    """
    for path, data in files.items():
        aside = _written_aside(path, data)
        try:
            os.link(aside, path)
        finally:
            aside.unlink()
    for directory in {path.parent for path in files}:
        sync_directory(directory)


def replace(path: Path, data: bytes) -> None:
    """Put ``data`` durably in the place of what ``path`` held. ``OSError`` when that cannot be."""
    _written_aside(path, data).rename(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte at the descriptor's position, however often the kernel takes only a part."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _written_aside(path: Path, data: bytes) -> Path:
    aside = path.with_name(path.name + ASIDE)
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE)
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
    except OSError:
        aside.unlink()
        raise
    finally:
        os.close(descriptor)
    return aside
