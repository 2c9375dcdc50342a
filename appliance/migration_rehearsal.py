"""The steps that a new release would take, tried out on a copy of the rows, so that an upgrade is known to pass.

An SQLite file is copied while mail flows, below the data directory, and the copy is erased again: rows are sealed as
they lie there. On a PostgreSQL server the steps are taken in the database itself, in a transaction that is undone.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance import database_wiring, migration, schema
from appliance.data_directory import DataDirectory
from appliance.settings import Settings
from mailstore import durable_file, file_erasure
from mailstore.database import Database, sqlite_url
from mailstore.errors import StorageUnavailableError, TamperedError

PAGES_AT_ONCE = 256
ROOM_FOR_STEPS = 2
"""A step may write a table anew: the copy may grow to this many times its size while it is tried."""


@dataclass(frozen=True)
class Rehearsal:
    """``steps`` that are missing, and how many ``seconds`` they took. Without steps nothing is tried."""

    steps: int
    seconds: float


def rehearsed(
    data: DataDirectory, settings: Settings, row_key: bytes, *, tell: migration.Tell | None = None
) -> Rehearsal:
    """Try every step that is missing. Raises what the steps raise, and ``StorageUnavailableError`` without room."""
    with database_wiring.rows(data, settings, row_key) as database:
        with database.read() as connection:
            found = schema.revision(connection)
        if found is None:
            raise TamperedError("the row database holds no tables", fix="restore it from a backup")
        steps = len(migration.missing_steps(found))
        if not steps:
            return Rehearsal(0, 0.0)
        if settings.database.url:
            return Rehearsal(steps, _timed(database, is_undone=True, tell=tell))
    with _copied(data) as path:
        copy = Database(sqlite_url(path), row_key)
        try:
            return Rehearsal(steps, _timed(copy, is_undone=False, tell=tell))
        finally:
            copy.dispose()


def _timed(database: Database, *, is_undone: bool, tell: migration.Tell | None) -> float:
    began = time.monotonic()
    migration.upgrade(database, is_undone=is_undone, tell=tell)
    return time.monotonic() - began


@contextmanager
def _copied(data: DataDirectory) -> Iterator[Path]:
    folder = data.rehearsal
    path = folder / data.rows.name
    _erased(folder)
    durable_file.make_directory(folder)
    try:
        _refuse_without_room(data)
        source, copy = sqlite3.connect(data.rows), sqlite3.connect(path)
        with closing(source), closing(copy):
            source.backup(copy, pages=PAGES_AT_ONCE)
        yield path
    except sqlite3.Error as error:
        raise StorageUnavailableError(f"the rows could not be copied: {error}") from error
    finally:
        _erased(folder)


def _refuse_without_room(data: DataDirectory) -> None:
    free, needed = shutil.disk_usage(data.path).free, data.rows.stat().st_size * (1 + ROOM_FOR_STEPS)
    if free < needed:
        raise StorageUnavailableError(
            f"a copy of the rows needs {needed >> 20} MiB, and {free >> 20} are free", fix="make room on the disk"
        )


def _erased(folder: Path) -> None:
    """Also what an earlier rehearsal left that was cut off."""
    if folder.exists():
        for path in sorted(folder.iterdir()):
            file_erasure.erased(path)
        folder.rmdir()
