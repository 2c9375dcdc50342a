"""The keystore in a PostgreSQL database of its own.

The server never overwrites a row in place, and keeps what was written in its write-ahead log. So keys lie on shelves,
tables of some thousand keys each: destroying a key writes the survivors of its shelf into a new file and drops the old
one, and then has the server drop its log up to that moment. ``docs/decisions/postgresql.md`` says what the server must
be set to, and what stays beyond our sight: blocks of the disk that the server's file system has freed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, cast

import psycopg
from sqlalchemy import make_url

from mailstore import key_rows
from mailstore.database_postgresql import READ, WRITE, WRITE_WORDS, pool, translated
from mailstore.errors import (
    DuplicateRowError,
    NotFoundError,
    RefusedError,
    StorageUnavailableError,
    TamperedError,
)
from mailstore.failpoint import reached
from mailstore.file_search import holds_any
from mailstore.key_rows import Found, KeyRows, KeySnapshot, KeyTransaction
from mailstore.key_transaction_postgresql import PipelinedTransaction, StepwiseTransaction, asked
from mailstore.keystore import KeptKey
from mailstore.message import MessageId

WHAT: Final = "the keystore"
PATIENCE_SECONDS: Final = 30
SHELF_KEYS: Final = 8_192
"""Keys on one shelf: all of it is written anew when one of them dies, in some ten milliseconds."""

_VERSION: Final = 1

_SCHEMA: Final = """
CREATE TABLE keystore (version integer PRIMARY KEY);
CREATE TABLE batches (
  batch bytea PRIMARY KEY, made_at bigint NOT NULL, sealed_for bytea NOT NULL, wrapped bytea NOT NULL
);
CREATE TABLE message_keys (
  message text COLLATE "C" PRIMARY KEY, batch bytea NOT NULL, shelf integer NOT NULL
);
CREATE TABLE destroyed (
  message text COLLATE "C" PRIMARY KEY, at bigint NOT NULL, is_proved integer NOT NULL DEFAULT 0
);
CREATE TABLE high_water (id integer PRIMARY KEY, entries bigint NOT NULL, leaf bytea NOT NULL);
CREATE TABLE shelves (shelf integer PRIMARY KEY, taken integer NOT NULL);
CREATE TABLE shelved_keys (
  shelf integer NOT NULL, message text COLLATE "C" NOT NULL, wrapped bytea NOT NULL, PRIMARY KEY (shelf, message)
) PARTITION BY LIST (shelf);
"""

_RIGHTS: Final = """
SELECT pg_has_role('pg_checkpoint', 'usage'),
  has_function_privilege('pg_switch_wal()', 'execute'),
  has_function_privilege('pg_ls_waldir()', 'execute') AND has_function_privilege('pg_control_checkpoint()', 'execute'),
  current_setting('wal_recycle') = 'off'
"""
_SHORTCOMINGS: Final = (
    "its role may not write checkpoints: GRANT pg_checkpoint TO it",
    "its role may not switch the write-ahead log: GRANT EXECUTE ON FUNCTION pg_switch_wal() TO it",
    "its role may not see the write-ahead log: GRANT pg_monitor TO it",
    "the server keeps the old bytes of its write-ahead log: set wal_recycle = off",
)
"""Each makes it impossible to prove that a key was destroyed."""

_ARCHIVE: Final = "the server archives its write-ahead log: delete archives within 30 days, as backups of keys"
"""A practice may live with this one, as it does with backups."""

_BATCHES_ANEW: Final = (
    "LOCK TABLE batches IN ACCESS EXCLUSIVE MODE",
    "CREATE TEMPORARY TABLE living_batches ON COMMIT DROP AS SELECT * FROM batches",
    "TRUNCATE batches",
    "INSERT INTO batches SELECT * FROM living_batches ORDER BY batch",
    "DROP TABLE living_batches",
)
"""``TRUNCATE`` gives the table a new file; what an old snapshot could still see of the old one goes with it."""

_PLACES: Final = """
SELECT current_setting('data_directory', true), oid::text FROM pg_database
  WHERE datname = current_database() AND pg_has_role('pg_read_all_settings', 'usage')
"""

_KEPT_LOG: Final = """
SELECT count(*) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'
  AND name < (SELECT redo_wal_file FROM pg_control_checkpoint())
"""


class PostgresqlKeystore(KeyRows):
    """The keystore database, open."""

    _is_closed = False

    def __init__(self, url: str, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._pool = pool(make_url(url), patience_seconds, what=WHAT)
        found = self._ask("SELECT to_regclass('public.keystore') IS NOT NULL")
        if not found[0][0]:
            self.close()
            raise NotFoundError("the keystore is not there", fix="Restore its database from a backup of the keys.")
        if self._ask("SELECT version FROM keystore") != [(_VERSION,)]:
            self.close()
            raise TamperedError("the keystore's database is not one that this release knows")

    @classmethod
    def create(cls, url: str) -> PostgresqlKeystore:
        """Make an empty keystore. ``RefusedError`` when the database holds anything, or could never forget a key."""
        made = cls.__new__(cls)
        made._pool = pool(make_url(url), PATIENCE_SECONDS, what=WHAT)  # noqa: SLF001 -- it is one of us
        try:
            made._furnish()  # noqa: SLF001 -- as above
        finally:
            made.close()
        return cls(url)

    def close(self) -> None:
        """Give the connections back."""
        self._is_closed = True
        self._pool.dispose()

    def destroy(self, messages: Sequence[MessageId], *, at: datetime) -> None:
        """As the port says.

        1. In one durable transaction delete the rows, write what stays on their shelves into new files, and keep a
        tombstone each. 2. Have the server begin a new file of its write-ahead log, and drop those before. 3. See that
        none of them is left, and, where we may read the server's files, search them all for the dead keys. 4. Mark
        the tombstones as proved.
        """
        with self._writing() as transaction:
            dying = key_rows.not_proved(transaction, messages)
            shelves = {shelf for message in dying for shelf in _shelf_of(transaction, message)}
            doomed = _wrapped_bytes(transaction, dying)
            key_rows.bury(transaction, dying, at=at)
            for shelf in sorted(shelves):
                _clear(transaction, shelf)
        if not dying:
            return
        reached("keystore.after_rows")
        self._refuse_server_that_keeps()
        self._drop_log()
        reached("keystore.after_log")
        if self.remnants(doomed):
            raise StorageUnavailableError("destroyed keys are still found in the keystore's files")
        with self._writing() as transaction:
            key_rows.mark_proved(transaction, dying)

    def forget_old_wraps(self) -> None:
        """As the port says: batches are copied to a table of their own, and the old one goes with its file."""
        with self._writing() as transaction:
            for statement in _BATCHES_ANEW:
                transaction.ask(statement)
        reached("keystore.after_batches")
        self._refuse_server_that_keeps()
        self._drop_log()

    def remnants(self, wrapped: Iterable[bytes]) -> bool:
        """True when any of these wrapped keys is in a row, or in a file of the server that we may read."""
        wanted = list(wrapped)
        asked = "SELECT 1 FROM shelved_keys WHERE wrapped = ANY(?) LIMIT 1"
        return bool(wanted and self._ask(asked, (wanted,))) or any(_holds(file, wanted) for file in self._files())

    def shortcomings(self) -> list[str]:
        """Rights and settings of the server that are missing."""
        return [sentence for sentence, is_well in zip(_SHORTCOMINGS, self._ask(_RIGHTS)[0], strict=True) if not is_well]

    def cautions(self) -> list[str]:
        """An archive of the write-ahead log."""
        return [] if self._ask("SHOW archive_mode") == [("off",)] else [_ARCHIVE]

    def _refuse_server_that_keeps(self) -> None:
        """Without these the log keeps the dead keys, and nobody could prove that it does not."""
        missing = self.shortcomings()
        if missing:
            raise StorageUnavailableError(
                f"keys were deleted, and {WHAT}'s server may still hold them: {missing[0]}",
                fix="mend it, then run the disposal again",
            )

    def _drop_log(self) -> None:
        """Nothing that was logged before this moment is in a file of the log afterwards."""
        with self._cursor() as cursor:
            cursor.execute("SET statement_timeout = 0")
            cursor.execute("SELECT pg_switch_wal()")
            cursor.execute("CHECKPOINT")
            left = asked(cursor, _KEPT_LOG)[0][0]
            cursor.execute("RESET statement_timeout")
        if left:
            raise StorageUnavailableError(
                f"the server of {WHAT} still keeps {left} older files of its write-ahead log",
                fix="look for replication slots, wal_keep_size, a stuck archive_command; then run the disposal again",
            )

    def _files(self) -> Iterator[Path]:
        """The log and this database's files, where they are on this machine and we may read them."""
        found = self._ask(_PLACES)
        place = Path(found[0][0]) if found else None
        if place is None or not _is_readable(place):
            return iter(())
        folders = (place / "pg_wal", place / "base" / found[0][1], place / "base" / "pgsql_tmp")
        return (path for folder in folders if folder.is_dir() for path in folder.rglob("*") if path.is_file())

    def _furnish(self) -> None:
        with self._writing() as transaction:
            if transaction.ask("SELECT 1 FROM pg_tables WHERE schemaname = 'public' LIMIT 1"):
                raise RefusedError(f"the database for {WHAT} is not empty", fix="name an empty database")
            transaction.ask(_SCHEMA)
            transaction.ask("INSERT INTO keystore VALUES (?)", (_VERSION,))
        missing = self.shortcomings()
        if missing:
            self.unmake()
            raise RefusedError(f"{WHAT} could never destroy a key here: {missing[0]}", fix="; ".join(missing))

    def unmake(self) -> None:
        """As the port says."""
        with self._writing() as transaction:
            transaction.ask(
                "DROP TABLE IF EXISTS keystore, batches, message_keys, destroyed, high_water, shelves, shelved_keys"
            )

    @property
    def _keys_asked(self) -> str:
        shelves = "shelved_keys s ON s.shelf = k.shelf AND s.message = k.message"
        return f"SELECT k.message, k.batch, s.wrapped FROM message_keys k JOIN {shelves}"  # noqa: S608 -- our own words

    @contextmanager
    def _reading(self) -> Iterator[KeySnapshot]:
        with self._cursor() as cursor:
            cursor.execute(READ)
            yield StepwiseTransaction(cursor)

    def _wrapped(self, message: MessageId) -> tuple[Any, ...] | None:
        found = self._ask(
            "SELECT k.batch, b.sealed_for, b.wrapped, s.wrapped FROM message_keys k LEFT JOIN batches b USING (batch)"
            " LEFT JOIN shelved_keys s ON s.shelf = k.shelf AND s.message = k.message WHERE k.message = ?",
            (message,),
        )
        return found[0] if found else None

    def _insert_keys(self, transaction: KeyTransaction, keys: Sequence[KeptKey]) -> None:
        shelf = _shelf_with_room(transaction, len(keys))
        transaction.run_each(
            "INSERT INTO message_keys (message, batch, shelf) VALUES (?, ?, ?)",
            [(key.message, key.batch, shelf) for key in keys],
        )
        transaction.run_each(
            "INSERT INTO shelved_keys (shelf, message, wrapped) VALUES (?, ?, ?)",
            [(shelf, key.message, key.wrapped) for key in keys],
        )

    def _page_of_keys(self, after: str) -> list[KeptKey]:
        question = (
            "SELECT k.message, k.batch, s.wrapped FROM message_keys k"
            " JOIN shelved_keys s ON s.shelf = k.shelf AND s.message = k.message"
            " WHERE k.message > ? ORDER BY k.message LIMIT ?"
        )
        return [KeptKey(MessageId(row[0]), *row[1:]) for row in self._ask(question, (after, key_rows.AT_ONCE))]

    def _ask(self, question: str, values: Sequence[object] = ()) -> Found:
        with self._cursor() as cursor:
            return asked(cursor, question, values)

    @contextmanager
    def _writing(self) -> Iterator[KeyTransaction]:
        with self._cursor() as cursor:
            cursor.execute(WRITE)
            yield StepwiseTransaction(cursor)
            cursor.execute("COMMIT")

    @contextmanager
    def _adding(self) -> Iterator[KeyTransaction]:
        with self._connection() as connection, connection.pipeline():
            transaction = PipelinedTransaction(connection)
            for words in WRITE_WORDS:
                transaction.tell(words)
            yield transaction
            transaction.tell("COMMIT")

    @contextmanager
    def _cursor(self) -> Iterator[psycopg.Cursor[Any]]:
        with self._connection() as connection:
            yield connection.cursor()

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection of the pool's; what is not committed at the end is undone."""
        if self._is_closed:
            raise StorageUnavailableError(f"{WHAT} was closed")
        try:
            with closing(self._pool.raw_connection()) as connection:
                yield cast("psycopg.Connection[Any]", connection.driver_connection)
        except psycopg.Error as error:
            raise _as_ours(error) from error


def _shelf_with_room(transaction: KeyTransaction, count: int) -> int:
    """The newest shelf, or one more when it is full. There is one writer at a time."""
    found = transaction.ask(
        "UPDATE shelves SET taken = taken + ? WHERE shelf = (SELECT max(shelf) FROM shelves) AND taken < ?"
        " RETURNING shelf",
        (count, SHELF_KEYS),
    )
    if found:
        return int(found[0][0])
    number = int(transaction.ask("SELECT coalesce(max(shelf), 0) + 1 FROM shelves")[0][0])
    transaction.tell(f"CREATE TABLE {_table(number)} PARTITION OF shelved_keys FOR VALUES IN ({number})")
    transaction.tell("INSERT INTO shelves VALUES (?, ?)", (number, count))
    return number


def _table(shelf: int) -> str:
    return f"shelf_{shelf:08d}"


def _shelf_of(transaction: KeyTransaction, message: MessageId) -> list[int]:
    return [int(row[0]) for row in transaction.ask("SELECT shelf FROM message_keys WHERE message = ?", (message,))]


def _wrapped_bytes(transaction: KeyTransaction, messages: Sequence[MessageId]) -> list[bytes]:
    question = (
        "SELECT s.wrapped FROM message_keys k JOIN shelved_keys s ON s.shelf = k.shelf AND s.message = k.message"
        " WHERE k.message = ANY(?)"
    )
    return [row[0] for row in transaction.ask(question, (list(messages),))]


def _clear(transaction: KeyTransaction, shelf: int) -> None:
    """Write the living keys of a shelf into a new file; the old one goes with the transaction, dead rows and all.

    ``VACUUM FULL`` would carry along what an old snapshot of somebody else's could still see.
    """
    table = _table(shelf)
    transaction.ask(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
    transaction.ask(
        f"CREATE TEMPORARY TABLE living ON COMMIT DROP AS SELECT s.* FROM {table} s JOIN message_keys k USING (message)"  # noqa: S608 -- the table's name is a number of ours
    )
    transaction.ask(f"TRUNCATE {table}")
    transaction.ask(f"INSERT INTO {table} SELECT * FROM living ORDER BY message")  # noqa: S608 -- as above
    transaction.ask("DROP TABLE living")


def _is_readable(place: Path) -> bool:
    try:
        return any((place / "pg_wal").iterdir())
    except OSError:
        return False


def _holds(file: Path, wanted: Sequence[bytes]) -> bool:
    try:
        return holds_any(file, wanted)
    except FileNotFoundError:  # the server removed it meanwhile
        return False


def _as_ours(error: psycopg.Error) -> Exception:
    ours = translated(error, WHAT)
    if isinstance(ours, DuplicateRowError):
        return StorageUnavailableError(f"{WHAT} has this key or batch already")
    return ours or error
