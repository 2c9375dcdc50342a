"""The row database: transactions that are durable when they end, and errors in our own words.

SQLite is embedded (https://www.sqlite.org/pragma.html); whatever depends on the engine stays in this file.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, MetaData, QueuePool, create_engine, event, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from mailstore.errors import RefusedError, StorageUnavailableError, StrongroomError, TamperedError
from mailstore.sealed_rows import ERRORS, OPTION, WRITING, SealedRows
from mailstore.tables import METADATA

PATIENCE_SECONDS = 30
CONNECTIONS_KEPT = 8
CONNECTIONS_MORE = 56

PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",  # in WAL mode only FULL makes a commit durable against loss of power
    "PRAGMA secure_delete=ON",  # freed pages are overwritten with zeros
    "PRAGMA foreign_keys=ON",
    "PRAGMA trusted_schema=OFF",
    "PRAGMA temp_store=MEMORY",  # sorting never spills rows into files
    "PRAGMA cell_size_check=ON",
)

UNAVAILABLE = (
    "BUSY",
    "LOCKED",
    "FULL",
    "IOERR",
    "CANTOPEN",
    "READONLY",
    "NOMEM",
    "PERM",
    "PROTOCOL",
    "INTERRUPT",
)
DAMAGED = ("CORRUPT", "NOTADB", "FORMAT", "MISMATCH", "SCHEMA", "ERROR")
DUPLICATE = ("CONSTRAINT_UNIQUE", "CONSTRAINT_PRIMARYKEY", "CONSTRAINT_ROWID")


class DuplicateRowError(RefusedError):
    """A row with this key is there already."""

    code = "duplicate"


def sqlite_url(path: Path) -> str:
    """The URL of an SQLite file."""
    return f"sqlite+pysqlite:///{path}"


class Database:
    """One row database. Safe to use from several threads; open it once in every process.

    Raises StorageUnavailableError when the disk or a lock fails us, TamperedError when the file is not a
    sound database or carries triggers or views, which this program never makes.
    """

    def __init__(self, url: str, row_key: bytes, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """``patience_seconds``: how long to wait for a lock before giving up."""
        self.rows = SealedRows(row_key)
        self._path = Path(make_url(url).database or "")
        engine = _sqlite_engine(url, self._path, patience_seconds)
        self._engine = engine.execution_options(**{OPTION: self.rows, ERRORS: _translated})
        self._writing = self._engine.execution_options(**{WRITING: True})
        self._turn = threading.Lock()
        self._turn_of: int | None = None
        self._patience_seconds = patience_seconds
        self._refuse_foreign_programs()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A snapshot: everything read inside is of one moment. Never waits for a writer."""
        with self._begun(self._engine) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A durable transaction, alone among the writers; an exception undoes it whole."""
        if self._turn_of == threading.get_ident():
            raise RuntimeError("this thread is already inside Database.write()")
        if not self._turn.acquire(timeout=self._patience_seconds):
            raise StorageUnavailableError("the row database is busy")
        self._turn_of = threading.get_ident()
        try:
            with self._begun(self._writing) as connection:
                yield connection
        finally:
            self._turn_of = None
            self._turn.release()

    def create_all(self, *metadatas: MetaData) -> None:
        """Create the tables that are missing: those of the ground floor and of the floors given."""
        with self.write() as connection:
            for metadata in dict.fromkeys((METADATA, *metadatas)):
                metadata.create_all(connection)

    def truncate_journal(self) -> None:
        """Move everything into the database file and empty the journal, so that no older page stays in it.

        Raises StorageUnavailableError when readers of an old snapshot keep it busy for too long.
        """
        deadline = time.monotonic() + self._patience_seconds
        while not self._journal_truncated():
            if time.monotonic() > deadline:
                raise StorageUnavailableError("the journal of the row database is held by a reader")
            time.sleep(0.01)

    def problems(self) -> list[str]:
        """What the engine itself finds wrong with its file: pages, indexes, references between tables."""
        with self.read() as connection:
            pages = connection.exec_driver_sql("PRAGMA integrity_check(20)").scalars().all()
            references = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        lost = {f"a row of {row[0]} names a row of {row[2]} that is not there" for row in references}
        return [each for each in pages if each != "ok"] + sorted(lost)

    def dispose(self) -> None:
        """Close every connection. Called once, when the process ends."""
        self._engine.dispose()

    @contextmanager
    def _begun(self, engine: Engine) -> Iterator[Connection]:
        try:
            connection = engine.connect()
        except PoolTimeoutError as error:
            raise StorageUnavailableError("no free connection to the row database") from error
        with connection, connection.begin():
            yield connection

    def _journal_truncated(self) -> bool:
        connection = self._engine.raw_connection()
        try:
            busy, *_ = connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            raise (_translated(error) or error) from error
        finally:
            connection.close()
        journal = self._path.with_name(self._path.name + "-wal")
        return not busy and (not journal.exists() or journal.stat().st_size == 0)

    def _refuse_foreign_programs(self) -> None:
        """A trigger or view would run in our name: someone who can write the file must not gain that."""
        with self.read() as connection:
            asked = "SELECT name FROM sqlite_master WHERE type IN ('trigger', 'view')"
            found = connection.exec_driver_sql(asked).scalars().all()
        if found:
            raise TamperedError(f"the row database carries a trigger or view that is not ours: {found[0]}")


def _sqlite_engine(url: str, path: Path, patience_seconds: float) -> Engine:
    """An engine that begins transactions itself (the driver's own way cannot say IMMEDIATE)."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StorageUnavailableError(f"the row database cannot be opened: {error.strerror}") from error
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=CONNECTIONS_KEPT,
        max_overflow=CONNECTIONS_MORE,
        pool_timeout=patience_seconds,
        hide_parameters=True,
        connect_args={"check_same_thread": False, "timeout": patience_seconds},
    )
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _begin)
    event.listen(engine, "handle_error", _translate)
    return engine


def _set_pragmas(connection: sqlite3.Connection, record: object) -> None:
    del record
    connection.isolation_level = None
    for pragma in PRAGMAS:
        connection.execute(pragma).close()


def _begin(connection: Connection) -> None:
    writing = connection.get_execution_options().get(WRITING, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _translate(context: ExceptionContext) -> None:
    translated = _translated(context.original_exception)
    if translated is not None:
        raise translated from context.original_exception


def _translated(error: BaseException) -> StrongroomError | None:
    """Our own error for the engine's, or None where the mistake is in our code."""
    name = str(getattr(error, "sqlite_errorname", "")).removeprefix("SQLITE_")
    if name.startswith(UNAVAILABLE):
        return StorageUnavailableError(f"the row database cannot be used now ({name})")
    if name in DUPLICATE:
        return DuplicateRowError("a row with this key is there already")
    if name.startswith(DAMAGED) or (isinstance(error, sqlite3.OperationalError) and "UTF-8" in str(error)):
        return TamperedError(f"the row database is damaged ({name})", fix="Restore it from a backup.")
    return None
