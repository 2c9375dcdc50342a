"""The row database: transactions that are durable when they end, and errors in our own words.

Two engines, chosen by URL: SQLite, embedded, for a practice on one machine, and PostgreSQL. What depends on the
engine stays in its module (``database_sqlite``, ``database_postgresql``), loaded only where it is used.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from sqlalchemy import URL, Connection, Engine, MetaData, event, inspect, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from mailstore.errors import RefusedError, StorageUnavailableError, StrongroomError, TamperedError
from mailstore.sealed_rows import ERRORS, OPTION, WRITING, SealedRows
from mailstore.tables import METADATA

PATIENCE_SECONDS = 30


def sqlite_url(path: Path) -> str:
    """The URL of an SQLite file."""
    return f"sqlite+pysqlite:///{path}"


class DatabaseEngine(Protocol):
    """What one kind of database does in its own way."""

    @property
    def pool(self) -> Engine:
        """Connections whose transactions begin as ``sealed_rows.WRITING`` says, with errors in our own words."""

    def translated(self, error: BaseException) -> StrongroomError | None:
        """Our own error for the driver's, or None where the mistake is in our code."""

    def turn(self) -> AbstractContextManager[None]:
        """Held around every writing transaction of this process. Raises StorageUnavailableError."""

    def together(self, connection: Connection) -> AbstractContextManager[None]:
        """Held around ready-made statements of which few ask anything; their errors may come at its end."""

    def watched(self, connection: Connection, at_work: Callable[[], None]) -> AbstractContextManager[None]:
        """Held around long work: ``at_work`` is called while a statement runs, and none is given up for its length."""

    def is_journal_cut(self) -> bool:
        """Rid the files of what deleted rows left in them. False when it must be tried again in a moment."""

    def problems(self, connection: Connection) -> list[str]:
        """What the engine itself finds wrong with its files and with references between tables."""

    def shortcomings(self, connection: Connection) -> list[str]:
        """How it is kept worse than it should be, in plain words."""

    def foreign_programs(self, connection: Connection) -> list[str]:
        """Names of triggers, views and the like, which would run in our name."""


class Database:
    """One row database. Safe to use from several threads; open it once in every process.

    Raises StorageUnavailableError when the disk, the server or a lock fails us, TamperedError when this is not a
    sound database or carries triggers or views, which this program never makes.
    """

    def __init__(self, url: str, row_key: bytes, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """``patience_seconds``: how long to wait for a lock before giving up."""
        self.rows = SealedRows(row_key)
        self._row_key = row_key
        self._engine = _engine_of(url, patience_seconds)
        pool = self._engine.pool
        self._reading = pool.execution_options(**{OPTION: self.rows, ERRORS: self._engine.translated})
        self._writing = self._reading.execution_options(**{WRITING: True})
        self._turn = threading.Lock()
        self._turn_of: int | None = None
        self._patience_seconds = patience_seconds
        self._refuse_foreign_programs()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A snapshot: everything read inside is of one moment. Never waits for a writer."""
        with self._begun(self._reading) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A durable transaction, alone among the writers; an exception undoes it whole.

        StorageUnavailableError at its end may also mean that nobody knows whether it was committed: then nothing was
        promised, and it is whole or absent.
        """
        if self._turn_of == threading.get_ident():
            raise RuntimeError("this thread is already inside Database.write()")
        if not self._turn.acquire(timeout=self._patience_seconds):
            raise StorageUnavailableError("the row database is busy")
        self._turn_of = threading.get_ident()
        try:
            with self._engine.turn(), self._begun(self._writing) as connection:
                yield connection
        finally:
            self._turn_of = None
            self._turn.release()

    def together(self, connection: Connection) -> AbstractContextManager[None]:
        """Around ready-made statements of one transaction: a server gets them without being waited for one by one.

        What fails may fail at the end of the block; all of it is done when the block has ended.
        """
        return self._engine.together(connection)

    @contextmanager
    def watched(self, connection: Connection, at_work: Callable[[], None]) -> Iterator[None]:
        """Around long work in a transaction: ``at_work`` is called often for as long as its statements get on.

        It is not called while nothing happens. It may come from another thread, and must not use the connection.
        """

        def next_statement(*_about: object) -> None:
            at_work()

        with self._engine.watched(connection, at_work):
            event.listen(connection, "after_cursor_execute", next_statement)
            try:
                yield
            finally:
                event.remove(connection, "after_cursor_execute", next_statement)

    def create_all(self, *metadatas: MetaData) -> None:
        """Create the tables that are missing: those of the ground floor and of the floors given."""
        with self.write() as connection:
            there = set(inspect(connection).get_table_names())
            for metadata in dict.fromkeys((METADATA, *metadatas)):
                missing = [table for table in metadata.sorted_tables if table.name not in there]
                metadata.create_all(connection, tables=missing, checkfirst=False)

    def drop_all(self, *metadatas: MetaData) -> None:
        """Remove the tables of these floors and what steps were taken: for a beginning that failed."""
        with self.write() as connection:
            for metadata in reversed(metadatas):
                metadata.drop_all(connection)
            connection.exec_driver_sql("DROP TABLE IF EXISTS alembic_version")

    def truncate_journal(self) -> None:
        """Rid the database of older versions of its rows, as far as its engine can, so that no remnant stays in it.

        Raises StorageUnavailableError when readers of an old snapshot keep it busy for too long.
        """
        deadline = time.monotonic() + self._patience_seconds
        while not self._engine.is_journal_cut():
            if time.monotonic() > deadline:
                raise StorageUnavailableError("the journal of the row database is held by a reader")
            time.sleep(0.01)

    def problems(self) -> list[str]:
        """What the engine itself finds wrong with its file: pages, indexes, references between tables."""
        with self.read() as connection:
            return self._engine.problems(connection)

    def shortcomings(self) -> list[str]:
        """What its server must be set to and is not; nothing, when all is well."""
        with self.read() as connection:
            return self._engine.shortcomings(connection)

    @property
    def engine_name(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._engine.pool.dialect.name

    def beside(self, url: str) -> Database:
        """Another database under the same row key: what a copy goes into."""
        return Database(url, self._row_key, patience_seconds=self._patience_seconds)

    def dispose(self) -> None:
        """Close every connection. Called once, when the process ends."""
        self._engine.pool.dispose()

    @contextmanager
    def _begun(self, engine: Engine) -> Iterator[Connection]:
        try:
            connection = engine.connect()
        except PoolTimeoutError as error:
            raise StorageUnavailableError("no free connection to the row database") from error
        with connection, connection.begin():
            yield connection

    def _refuse_foreign_programs(self) -> None:
        """A trigger or view would run in our name: someone who can write the database must not gain that."""
        with self.read() as connection:
            found = self._engine.foreign_programs(connection)
        if found:
            raise TamperedError(f"the row database carries a trigger or view that is not ours: {found[0]}")


def _engine_of(text: str, patience_seconds: float) -> DatabaseEngine:
    url = _understood(text)
    if url.get_backend_name() == "sqlite":
        from mailstore.database_sqlite import SqliteEngine  # noqa: PLC0415 -- each engine's driver is loaded if used

        return SqliteEngine(url, patience_seconds)
    if url.get_backend_name() == "postgresql":
        from mailstore.database_postgresql import PostgresqlEngine  # noqa: PLC0415 -- as above: it costs start-up time

        return PostgresqlEngine(url, patience_seconds)
    raise RefusedError("this is not the URL of a database that we know", fix="say a URL that begins postgresql://")


def _understood(text: str) -> URL:
    """The URL's parts. What is wrong with it is not quoted: it may hold a password."""
    try:
        return make_url(text)
    except (ArgumentError, ValueError):
        raise RefusedError("this is not the URL of a database", fix="say a URL that begins postgresql://") from None
