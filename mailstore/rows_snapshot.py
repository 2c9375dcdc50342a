"""All rows of one moment as one SQLite file, while mail flows: for backups.

A file of SQLite is copied page by page within one reading transaction, so that writers go on and the copy is of the
moment it began (https://www.sqlite.org/backup.html). A database on a server is copied row by row, each proved by its
seal, out of one snapshot. The copy holds sealed columns only; it has no name on the disk while it is read, so that it
is gone with the process, and is overwritten at the end.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from sqlalchemy import Connection, MetaData, inspect, select

from mailstore import audit_trail, database_copy, durable_file
from mailstore.database import Database, sqlite_url
from mailstore.errors import StorageUnavailableError
from mailstore.failpoint import reached
from mailstore.file_erasure import erased
from mailstore.message import StoredObject
from mailstore.tables import messages, shared_parts

PAGES_AT_ONCE: Final = 2_000
STEPS: Final = "alembic_version"
"""The table in which the steps of the row database are counted (https://alembic.sqlalchemy.org)."""

_NAME: Final = "rows.sqlite3"
_JOURNALS: Final = ("", "-journal", "-wal", "-shm", "-turn")
_JOURNAL_MODE_AT: Final = 18
_NO_JOURNAL: Final = b"\x01\x01"
"""Bytes 18 and 19 of the file: read and written without a write-ahead log (https://www.sqlite.org/fileformat2.html)."""

_NEEDED: Final = struct.Struct(">27sQ32s")
_ERASE_AT_ONCE: Final = 1 << 20
_ROOM: Final = 1.1

Taking = AbstractContextManager["RowsSnapshot"]

Tell = Callable[[int, int], None]
"""Told how much is copied, and of how much."""


@dataclass(frozen=True)
class RowsSnapshot:
    """The copy. ``segments``: those of which some message has its only bytes."""

    descriptor: int
    size: int
    audit_entries: int
    segments: frozenset[str]
    objects: int
    _objects_file: int

    def read(self, offset: int, length: int) -> bytes:
        """Some bytes of the copy."""
        return os.pread(self.descriptor, length, offset)

    def needed_objects(self, at_once: int) -> Iterator[list[StoredObject]]:
        """Every object that the rows need, some at a time."""
        step = _NEEDED.size * at_once
        start = 0
        while found := os.pread(self._objects_file, step, start):
            start += len(found)
            yield [
                StoredObject(name.decode("ascii"), length, digest)
                for name, length, digest in _NEEDED.iter_unpack(found)
            ]


@contextmanager
def taken(database: Database, metadatas: Sequence[MetaData], folder: Path, tell: Tell) -> Iterator[RowsSnapshot]:
    """Copy the rows as they are now. ``folder``: where the copy may lie, for us alone; it is made and emptied.

    Raises ``StorageUnavailableError`` when there is no room for it, ``TamperedError`` for a row that was changed.
    """
    durable_file.make_directory(folder)
    cleared(folder)
    with ExitStack() as stack:
        objects_file = stack.enter_context(_descriptor_of(folder))
        with database.read() as reading:
            audit_entries = audit_trail.size(reading)
            descriptor = stack.enter_context(_overwritten_after(_copied(database, reading, metadatas, folder, tell)))
            objects, segments = _written_needs(reading, objects_file)
        reached("rows_snapshot.after_copy")
        yield RowsSnapshot(descriptor, os.fstat(descriptor).st_size, audit_entries, segments, objects, objects_file)


def cleared(folder: Path) -> None:
    """Erase what a process that was killed may have left."""
    for suffix in _JOURNALS:
        erased(folder / f"{_NAME}{suffix}")


def _unnamed(folder: Path) -> None:
    """From here on the copy is gone with whoever has it open."""
    (folder / _NAME).unlink(missing_ok=True)
    cleared(folder)


@contextmanager
def _overwritten_after(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        _overwrite(descriptor)
        os.close(descriptor)


def _copied(database: Database, reading: Connection, metadatas: Sequence[MetaData], folder: Path, tell: Tell) -> int:
    path = folder / _NAME
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        if reading.dialect.name == "sqlite":
            return _copy_pages(cast("sqlite3.Connection", reading.connection.driver_connection), path, tell)
        return _copy_rows(database, reading, metadatas, path, tell)
    finally:
        _unnamed(folder)


def _copy_pages(source: sqlite3.Connection, path: Path, tell: Tell) -> int:
    """Page by page into a file whose name is gone before the first page is in it."""
    pages, page_bytes = (source.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    _refuse_without_room(path.parent, pages * page_bytes)
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as target:
            target.execute("PRAGMA journal_mode=OFF").fetchone()
            target.execute("PRAGMA synchronous=OFF")
            target.execute("PRAGMA user_version").fetchone()
            path.unlink()
            reached("rows_snapshot.after_unlink")
            source.backup(target, pages=PAGES_AT_ONCE, progress=lambda _, left, of: tell(of - left, of))
        os.pwrite(descriptor, _NO_JOURNAL, _JOURNAL_MODE_AT)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _copy_rows(database: Database, reading: Connection, metadatas: Sequence[MetaData], path: Path, tell: Tell) -> int:
    copy = database.beside(sqlite_url(path))
    try:
        copy.create_all(*metadatas)
        database_copy.copy(database, reading, copy, metadatas, lambda _, count: tell(count, 0))
        _copy_step(reading, copy)
        copy.truncate_journal()
    finally:
        copy.dispose()
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    os.pwrite(descriptor, _NO_JOURNAL, _JOURNAL_MODE_AT)
    return descriptor


def _copy_step(reading: Connection, copy: Database) -> None:
    """Which step of the tables this is, as a file of SQLite says it too."""
    if not inspect(reading).has_table(STEPS):
        return
    step = reading.exec_driver_sql(f"SELECT version_num FROM {STEPS}").scalar()  # noqa: S608 -- a name of ours
    with copy.write() as connection:
        connection.exec_driver_sql(
            f"CREATE TABLE {STEPS} (version_num VARCHAR(32) NOT NULL, CONSTRAINT {STEPS}_pkc PRIMARY KEY (version_num))"
        )
        connection.exec_driver_sql(f"INSERT INTO {STEPS} VALUES (?)", (step,))  # noqa: S608 -- as above


def _written_needs(reading: Connection, file: int) -> tuple[int, frozenset[str]]:
    """Write down what the rows need, to be read when the transaction is over. Read as it is: the copy proves it."""
    count = 0
    for table in (messages, shared_parts):
        columns = table.c.object_name, table.c.object_length, table.c.object_digest
        asked = select(*columns).where(table.c.object_name.is_not(None))
        for page in reading.execute(asked, execution_options={"yield_per": PAGES_AT_ONCE}).partitions():
            durable_file.write_all(file, b"".join(_NEEDED.pack(row[0].encode("ascii"), row[1], row[2]) for row in page))
            count += len(page)
    alone = select(messages.c.segment).where(messages.c.object_name.is_(None)).distinct()
    return count, frozenset(str(each) for each in reading.execute(alone).scalars() if each is not None)


@contextmanager
def _descriptor_of(folder: Path) -> Iterator[int]:
    """A file without a name."""
    descriptor = os.open(folder, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _refuse_without_room(folder: Path, size: int) -> None:
    found = os.statvfs(folder)
    if found.f_bavail * found.f_frsize < size * _ROOM:
        raise StorageUnavailableError(
            "there is no room for a copy of the rows beside them", fix=f"make {size // (1 << 20) + 1} MiB of room"
        )


def _overwrite(descriptor: int) -> None:
    size = os.fstat(descriptor).st_size
    for start in range(0, size, _ERASE_AT_ONCE):
        os.pwrite(descriptor, bytes(min(_ERASE_AT_ONCE, size - start)), start)
    os.fdatasync(descriptor)
