"""The row database on a PostgreSQL server, release 15 or later (https://www.postgresql.org/docs/15/).

One writer at a time, as row numbers and the audit tree want it: a writing transaction takes an advisory lock before
it reads anything, and runs READ COMMITTED, so that every statement sees what the writer before it committed (section
13.2.1). Reading is one REPEATABLE READ, READ ONLY snapshot (section 13.2.2). ``docs/decisions/postgresql.md`` says
what the server must be set to.
"""

from __future__ import annotations

import select
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from typing import Any, Final

import psycopg
from psycopg import sql
from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from mailstore.errors import (
    DuplicateRowError,
    RefusedError,
    StorageUnavailableError,
    StrongroomError,
    TamperedError,
)
from mailstore.sealed_rows import WRITING

CONNECTIONS_KEPT: Final = 4
CONNECTIONS_MORE: Final = 16
"""With three roles and a command at work this stays below the server's usual 100 (max_connections)."""

OLDEST_SERVER: Final = 150_000
WRITER: Final = 0x5352_574C
"""The advisory lock of the one writer; such locks count for one database alone (section 13.3.5)."""

CONNECT_SECONDS: Final = 10
STATEMENT_SECONDS: Final = 300
IDLE_SECONDS: Final = 300
"""How long one statement, and a transaction between two statements, may take before the server gives it up."""

LOOK_SECONDS: Final = 1.0
"""How often it is looked whether the server gets on with a long statement."""

SILENT_SECONDS: Final = 30
"""How long a dead network goes unnoticed (TCP keepalive and user timeout)."""

READ: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
WRITE_WORDS: Final = (
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
    f"SELECT pg_advisory_xact_lock({WRITER})",
)
WRITE: Final = "; ".join(WRITE_WORDS)

UNAVAILABLE: Final = ("08", "25", "28", "3D", "40", "42501", "53", "55", "57", "58", "XX000")
"""Connection, read-only server, sign-in, no such database, deadlock, rights, full, locked, shut down, system."""

DAMAGED: Final = ("XX001", "XX002", "42P01", "42P07", "42703", "42704", "42883", "3F")
DUPLICATE: Final = "23505"
AT_WORK: Final = """
SELECT state = 'active' AND wait_event_type IS DISTINCT FROM 'Lock' FROM pg_stat_activity WHERE pid = %s
"""
"""Whether a session's statement gets on (section 27.2.3); who waits for a lock does not."""

PROGRAMS: Final = """
SELECT tgname::text FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT evtname::text FROM pg_event_trigger
UNION ALL SELECT polname::text FROM pg_policy
UNION ALL SELECT c.relname::text FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
  WHERE c.relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
UNION ALL SELECT p.proname::text FROM pg_proc p
  WHERE p.pronamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
"""
"""Triggers, event triggers, row policies, rules and views, and functions that no extension brought."""

REFERENCES: Final = """
SELECT c.conrelid::regclass::text, c.confrelid::regclass::text,
  ARRAY(SELECT attname::text FROM unnest(c.conkey) WITH ORDINALITY k(n, i)
        JOIN pg_attribute ON attrelid = c.conrelid AND attnum = n ORDER BY i),
  ARRAY(SELECT attname::text FROM unnest(c.confkey) WITH ORDINALITY k(n, i)
        JOIN pg_attribute ON attrelid = c.confrelid AND attnum = n ORDER BY i)
FROM pg_constraint c WHERE c.contype = 'f' AND c.connamespace = 'public'::regnamespace ORDER BY 1, 2
"""

INDEXES: Final = """
SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'btree' AND c.relnamespace = 'public'::regnamespace ORDER BY 1
"""


class PostgresqlEngine:
    """One database on a PostgreSQL server."""

    def __init__(self, url: URL, patience_seconds: float) -> None:
        self.pool = pool(url, patience_seconds, what="the row database")

    def translated(self, error: BaseException) -> StrongroomError | None:
        """Our own error for the driver's, or None where the mistake is in our code."""
        return translated(error, "the row database")

    def turn(self) -> AbstractContextManager[None]:
        """Nothing more: the advisory lock waits for the other writers."""
        return nullcontext()

    @contextmanager
    def together(self, connection: Connection) -> Iterator[None]:
        """The pipeline mode of libpq (section 34.5): a statement goes out before the one ahead of it is answered."""
        driver: Any = connection.connection.driver_connection
        try:
            with driver.pipeline():
                yield
        except psycopg.Error as error:
            raise (self.translated(error) or error) from error

    @contextmanager
    def watched(self, connection: Connection, at_work: Callable[[], None]) -> Iterator[None]:
        """Another session looks every second; the server's own bound for a statement does not hold for this work."""
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        session = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        is_over = threading.Event()
        looking = threading.Thread(target=self._look, args=(session, at_work, is_over), daemon=True)
        looking.start()
        try:
            yield
        finally:
            is_over.set()
            looking.join()

    def _look(self, session: int, at_work: Callable[[], None], is_over: threading.Event) -> None:
        """A server that cannot be asked says nothing."""
        try:
            with self.pool.connect() as connection:
                while not is_over.wait(LOOK_SECONDS):
                    with connection.begin():
                        if connection.exec_driver_sql(AT_WORK, (session,)).scalar():
                            at_work()
        except (StrongroomError, PoolTimeoutError):
            return

    def is_journal_cut(self) -> bool:
        """Vacuum every table and write a checkpoint, where we may.

        Freed rows become reusable space; their bytes stay until they are overwritten, and stay in the write-ahead log
        until the server removes that. What must never be read again is therefore sealed under keys that die.
        """
        try:
            with closing(self.pool.raw_connection()) as connection:
                _vacuum(connection.cursor())
        except psycopg.Error as error:
            raise (self.translated(error) or error) from error
        return True

    def problems(self, connection: Connection) -> list[str]:
        """Rows that name rows which are not there, failed page checksums, and what amcheck finds where it is there."""
        return [*_lost_references(connection), *_failed_checksums(connection), *_bad_indexes(connection)]

    def shortcomings(self, connection: Connection) -> list[str]:
        """Settings without which a commit that was answered can be lost with the server's power."""
        asked = "SELECT name FROM pg_settings WHERE setting = 'off' AND name IN ('fsync', 'full_page_writes')"
        return sorted(f"its server has {name} = off" for name in connection.exec_driver_sql(asked).scalars())

    def foreign_programs(self, connection: Connection) -> list[str]:
        """Whatever the server would run in our name."""
        return list(connection.exec_driver_sql(PROGRAMS).scalars())


def pool(url: URL, patience_seconds: float, *, what: str) -> Engine:
    """Connections that begin transactions as ``sealed_rows.WRITING`` says. ``what`` stands in error messages.

    Raises ``StorageUnavailableError`` when the server cannot be reached, ``RefusedError`` when it is not fit.
    """
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        poolclass=QueuePool,
        pool_size=CONNECTIONS_KEPT,
        max_overflow=CONNECTIONS_MORE,
        pool_timeout=patience_seconds,
        hide_parameters=True,
        paramstyle="format",
        connect_args=_connect_arguments(url, patience_seconds),
    )

    def translate(context: ExceptionContext) -> None:
        ours = translated(context.original_exception, what)
        if ours is not None:
            raise ours from context.original_exception

    event.listen(engine, "begin", _begin)
    event.listen(engine, "checkout", _refuse_dead)
    event.listen(engine, "handle_error", translate)
    _refuse_unfit(engine, what)
    return engine


def translated(error: BaseException, what: str) -> StrongroomError | None:
    """Our own error for the driver's, by SQLSTATE (appendix A). None where the mistake is in our code."""
    if not isinstance(error, psycopg.Error):
        return None
    state = error.sqlstate or ""
    if state == DUPLICATE:
        return DuplicateRowError("a row with this key is there already")
    if state.startswith(DAMAGED):
        return TamperedError(f"{what} is damaged ({state})", fix="Restore it from a backup.")
    if state.startswith(UNAVAILABLE) or (not state and isinstance(error, psycopg.OperationalError)):
        return StorageUnavailableError(
            f"{what} cannot be used now ({state or 'no connection'})", fix="look after the PostgreSQL server"
        )
    if not state and isinstance(error, psycopg.DataError):
        return RefusedError("no row can hold such a text")  # PostgreSQL has no text with U+0000 in it
    return None


def _connect_arguments(url: URL, patience_seconds: float) -> dict[str, Any]:
    settings = {
        "synchronous_commit": "on",  # a commit that answers is on the server's disk
        "lock_timeout": f"{int(patience_seconds * 1000)}ms",
        "statement_timeout": f"{STATEMENT_SECONDS}s",
        "idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s",
        "search_path": "public",
        "timezone": "UTC",
    }
    given = url.query.get("options", "")
    ours = " ".join(f"-c {name}={value}" for name, value in settings.items())
    return {
        "options": f"{given if isinstance(given, str) else ' '.join(given)} {ours}".strip(),
        "autocommit": True,  # transactions are begun in our own words
        "client_encoding": "utf8",
        "application_name": "strongroom",
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": SILENT_SECONDS,
        "tcp_user_timeout": SILENT_SECONDS * 1000,
    }


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(WRITE if connection.get_execution_options().get(WRITING, False) else READ)


def _refuse_dead(connection: psycopg.Connection[Any], record: object, fairy: object) -> None:
    """The server has nothing to say to an idle connection unless it ended it: then another is made instead."""
    del record, fairy
    if connection.closed:
        raise DisconnectionError
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    if waiting.poll(0):
        raise DisconnectionError


def _refuse_unfit(engine: Engine, what: str) -> None:
    asked = (
        "SELECT current_setting('server_version_num')::int, current_setting('synchronous_commit'),"
        " current_setting('server_encoding'), pg_is_in_recovery(),"
        " string_agg(sign, '' ORDER BY sign) = string_agg(sign, '' ORDER BY sign COLLATE \"C\")"
        " FROM unnest(ARRAY['a', 'B', '9', '.', '_', '~', 'b.', 'bc', 'Bd']) sign"
    )
    with engine.connect() as connection, connection.begin():
        version, commit, encoding, is_replica, is_plain = connection.exec_driver_sql(asked).one()
    problem = {
        "its release is older than 15": version < OLDEST_SERVER,
        "its commits do not wait for the disk": commit != "on",
        f"its encoding is {encoding}, not UTF8": encoding not in {"UTF8", "SQL_ASCII"},
        "it is a replica that cannot be written": is_replica,
        "its database sorts text by a language, not by C": not is_plain,
    }
    for sentence, is_so in problem.items():
        if is_so:
            engine.dispose()
            raise RefusedError(f"the PostgreSQL server of {what} is not fit: {sentence}", fix="use another server")


def _vacuum(cursor: Any) -> None:
    cursor.execute("SET statement_timeout = 0")
    tables = cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    names = sql.SQL(", ").join(sql.Identifier(name) for (name,) in tables)
    if tables:
        cursor.execute(sql.SQL("VACUUM {}").format(names))
    if cursor.execute("SELECT pg_has_role('pg_checkpoint', 'usage')").fetchone()[0]:
        cursor.execute("CHECKPOINT")
    cursor.execute(f"SET statement_timeout = '{STATEMENT_SECONDS}s'")


def _lost_references(connection: Connection) -> list[str]:
    found = []
    for table, other, names, keys in connection.exec_driver_sql(REFERENCES).all():
        is_set = " AND ".join(f'a."{name}" IS NOT NULL' for name in names)
        matches = " AND ".join(f'a."{name}" = b."{key}"' for name, key in zip(names, keys, strict=True))
        there = f"EXISTS (SELECT 1 FROM {other} b WHERE {matches})"  # noqa: S608 -- names from the server's catalogue
        asked = f"SELECT 1 FROM {table} a WHERE {is_set} AND NOT {there} LIMIT 1"  # noqa: S608 -- as above
        if connection.exec_driver_sql(asked).first() is not None:
            found.append(f"a row of {table} names a row of {other} that is not there")
    return sorted(set(found))


def _failed_checksums(connection: Connection) -> list[str]:
    asked = "SELECT coalesce(checksum_failures, 0) FROM pg_stat_database WHERE datname = current_database()"
    failures = connection.exec_driver_sql(asked).scalar_one()
    return [f"{failures} pages failed their checksum"] if failures else []


def _bad_indexes(connection: Connection) -> list[str]:
    """What ``amcheck`` says of every index, where a superuser has installed it and we may call it."""
    asked = (
        "SELECT e.extnamespace::regnamespace::text FROM pg_extension e WHERE extname = 'amcheck' AND"
        " has_function_privilege(e.extnamespace::regnamespace || '.bt_index_check(regclass, boolean)', 'execute')"
    )
    schema = connection.exec_driver_sql(asked).scalar()
    if schema is None:
        return []
    found = []
    for name in connection.exec_driver_sql(INDEXES).scalars().all():
        try:
            connection.exec_driver_sql(f"SELECT {schema}.bt_index_check('{name}', true)")
        except TamperedError:
            found.append(f"the index {name} does not agree with its table")
            break  # the server ended this transaction; the next look finds the next
    return found
