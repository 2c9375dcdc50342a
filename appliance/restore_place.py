"""The new directory of a restore: taken, worked in beside itself, and put in place whole."""

from __future__ import annotations

from pathlib import Path

from appliance.data_directory import DataDirectory
from mailstore import durable_file
from mailstore.errors import RefusedError, StorageUnavailableError
from mailstore.failpoint import reached


def claim(into: DataDirectory) -> None:
    """Take an absent or empty directory, or one in which an earlier restore stopped. ``RefusedError`` for another."""
    try:
        durable_file.make_directory(into.path)
        found = sorted(entry.name for entry in into.path.iterdir())
        is_begun = into.restore_plan.name in found or (found == [into.restoring.name] and _is_empty(into.restoring))
        if into.settings.exists() and not is_begun:
            raise RefusedError(f"{into.path} is a data directory already", fix="name an empty or new directory")
        if found and not is_begun:
            raise RefusedError(f"{into.path} is not empty (it holds {found[0]})", fix="name an empty or new directory")
        if not into.settings.exists():
            durable_file.make_directory(into.restoring)
    except OSError as error:
        raise StorageUnavailableError(
            f"{into.path} cannot be made: {error.strerror}", fix="check the path and its owner"
        ) from error


def _is_empty(directory: Path) -> bool:
    """So an earlier restore leaves it that was cut off before it had written its plan."""
    return next(directory.iterdir(), None) is None


def put(staged: DataDirectory, into: DataDirectory) -> None:
    """Everything moves up, the settings last: with them the directory counts as made."""
    if not staged.path.exists():
        return
    names = sorted(entry.name for entry in staged.path.iterdir())
    names.sort(key=lambda name: name == staged.settings.name)
    for name in names:
        (staged.path / name).rename(into.path / name)
        reached("restore.after_move")
    staged.path.rmdir()
    durable_file.sync_directory(into.path)
