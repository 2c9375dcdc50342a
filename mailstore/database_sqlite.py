"""The row database in one file of its own (https://www.sqlite.org/pragma.html): the default."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.engine import ExceptionContext

from mailstore.errors import DuplicateRowError, StorageUnavailableError, StrongroomError, TamperedError
from mailstore.sealed_rows import WRITING
from mailstore.writing_turn import WritingTurn

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
    "PRAGMA wal_autocheckpoint=4000",  # pages; most pages of a busy day are changed many times before they are moved
)

INSTRUCTIONS_BETWEEN_WORDS = 1_000_000
"""Of the virtual machine that runs statements: a few hundredths of a second."""

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


class SqliteEngine:
    """One SQLite file in WAL mode."""

    def __init__(self, url: URL, patience_seconds: float) -> None:
        self._path = Path(url.database or "")
        self.pool = _pool(url, self._path, patience_seconds)
        self._turn = WritingTurn(self._path, patience_seconds=patience_seconds)

    def translated(self, error: BaseException) -> StrongroomError | None:
        """Our own error for the engine's, or None where the mistake is in our code."""
        return _translated(error)

    def turn(self) -> AbstractContextManager[None]:
        """The turn between processes, so that ``BEGIN IMMEDIATE`` waits for strangers only."""
        return self._turn.held()

    def together(self, connection: Connection) -> AbstractContextManager[None]:
        """Nothing more: the engine is in this process."""
        del connection
        return nullcontext()

    @contextmanager
    def watched(self, connection: Connection, at_work: Callable[[], None]) -> Iterator[None]:
        """The engine says itself that it gets on (https://www.sqlite.org/c3ref/progress_handler.html)."""
        raw = connection.connection.driver_connection
        if not isinstance(raw, sqlite3.Connection):
            raise TypeError("not a connection to SQLite")
        raw.set_progress_handler(at_work, INSTRUCTIONS_BETWEEN_WORDS)
        try:
            yield
        finally:
            raw.set_progress_handler(None, 0)

    def is_journal_cut(self) -> bool:
        """Move everything into the database file, where freed pages are zeros, and empty the journal."""
        connection = self.pool.raw_connection()
        try:
            busy, *_ = connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            raise (_translated(error) or error) from error
        finally:
            connection.close()
        journal = self._path.with_name(self._path.name + "-wal")
        return not busy and (not journal.exists() or journal.stat().st_size == 0)

    def problems(self, connection: Connection) -> list[str]:
        """Pages, indexes, and rows that name rows which are not there."""
        pages = connection.exec_driver_sql("PRAGMA integrity_check(20)").scalars().all()
        references = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        lost = {f"a row of {row[0]} names a row of {row[2]} that is not there" for row in references}
        return [each for each in pages if each != "ok"] + sorted(lost)

    def shortcomings(self, connection: Connection) -> list[str]:
        """None: what a file needs is set by every connection."""
        del connection
        return []

    def foreign_programs(self, connection: Connection) -> list[str]:
        """Triggers and views."""
        asked = "SELECT name FROM sqlite_master WHERE type IN ('trigger', 'view')"
        return list(connection.exec_driver_sql(asked).scalars())


def _pool(url: URL, path: Path, patience_seconds: float) -> Engine:
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
    try:
        for pragma in PRAGMAS:
            connection.execute(pragma).close()
    except UnicodeDecodeError as error:
        # the driver's own, of a message that quotes the damaged text of a table
        raise TamperedError("the row database is damaged (SCHEMA)", fix="Restore it from a backup.") from error


def _begin(connection: Connection) -> None:
    """On the driver's own connection: what the engine does around a statement costs many times this one."""
    writing = connection.get_execution_options().get(WRITING, False)
    try:
        connection.connection.cursor().execute("BEGIN IMMEDIATE" if writing else "BEGIN")
    except sqlite3.Error as error:
        raise (_translated(error) or error) from error


def _translate(context: ExceptionContext) -> None:
    translated = _translated(context.original_exception)
    if translated is not None:
        raise translated from context.original_exception


def _translated(error: BaseException) -> StrongroomError | None:
    name = str(getattr(error, "sqlite_errorname", "")).removeprefix("SQLITE_")
    if name.startswith(UNAVAILABLE):
        return StorageUnavailableError(f"the row database cannot be used now ({name})")
    if name in DUPLICATE:
        return DuplicateRowError("a row with this key is there already")
    if name.startswith(DAMAGED) or (isinstance(error, sqlite3.OperationalError) and "UTF-8" in str(error)):
        return TamperedError(f"the row database is damaged ({name})", fix="Restore it from a backup.")
    return None
