"""The keystore in an SQLite file of its own: the default."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from mailstore import key_rows
from mailstore.errors import NotFoundError, RefusedError, StorageUnavailableError, TamperedError
from mailstore.failpoint import reached
from mailstore.file_search import holds_any
from mailstore.key_rows import Found, KeyRows, KeySnapshot, KeyTransaction
from mailstore.keystore import KeptKey
from mailstore.message import MessageId
from mailstore.writing_turn import WritingTurn

_APPLICATION_ID = 0x53524B53
_VERSION = 1
_BUSY_SECONDS = 10
_IDENTITY = ("application_id", "user_version")
_PRIMARY_CODE = 0xFF
_JOURNALS = ("", "-wal", "-shm", "-journal")

_SCHEMA = f"""
CREATE TABLE batches (
  batch BLOB PRIMARY KEY, made_at INTEGER NOT NULL, sealed_for BLOB NOT NULL, wrapped BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE message_keys (
  message TEXT PRIMARY KEY, batch BLOB NOT NULL, wrapped BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE destroyed (
  message TEXT PRIMARY KEY, at INTEGER NOT NULL, is_proved INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE high_water (
  id INTEGER PRIMARY KEY, entries INTEGER NOT NULL, leaf BLOB NOT NULL
);
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_VERSION};
"""


@dataclass(frozen=True)
class _Transaction:
    """One transaction on the file's connection."""

    connection: sqlite3.Connection

    def ask(self, question: str, values: Sequence[object] = ()) -> Found:
        """Run one statement."""
        return self.connection.execute(question, tuple(values)).fetchall()

    def tell(self, statement: str, values: Sequence[object] = ()) -> None:
        """Run one statement that asks for nothing."""
        self.connection.execute(statement, tuple(values))

    def run_each(self, statement: str, values: Sequence[Sequence[object]]) -> None:
        """Run one statement for each of many values."""
        self.connection.executemany(statement, values)


class SqliteKeystore(KeyRows):
    """The keystore file, open."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise NotFoundError("the keystore is not there", fix="Restore keystore.sqlite3 from a backup of the keys.")
        self._path = path
        self._lock = threading.RLock()
        self._turn = WritingTurn(path, patience_seconds=_BUSY_SECONDS)
        with _answering():
            self._connection = _connected(path)
            found = [self._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in _IDENTITY]
        if found != [_APPLICATION_ID, _VERSION]:
            self._connection.close()
            raise TamperedError("keystore.sqlite3 is not a keystore that this release knows")

    @classmethod
    def create(cls, path: Path) -> SqliteKeystore:
        """Make an empty keystore. ``RefusedError`` when the file is there: keys are never silently replaced."""
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            raise RefusedError("there is a keystore already") from None
        with _answering():
            connection = _connected(path)
            connection.executescript(f"BEGIN;{_SCHEMA}COMMIT;")
            connection.close()
        return cls(path)

    def close(self) -> None:
        """Give the file back."""
        with self._lock:
            self._connection.close()

    def destroy(self, messages: Sequence[MessageId], *, at: datetime) -> None:
        """As the port says.

        1. Read the wrapped bytes that are about to die. 2. In one durable transaction delete the rows (overwritten
        with zeros, ``secure_delete``) and keep a tombstone each: id and time only. 3. Write the journal back into the
        file and cut it to nothing. 4. Search all files for the bytes of step 1; where a rearranged page kept a copy,
        or an earlier run was cut short and the bytes are no longer known, write the whole file anew and search again.
        5. Mark the tombstones as proved: a run for them has nothing to do any more.
        """
        with self._writing() as transaction:
            dying = key_rows.not_proved(transaction, messages)
            doomed = _wrapped_bytes(transaction, dying)
            key_rows.bury(transaction, dying, at=at)
        if not dying:
            return
        reached("keystore.after_rows")
        self._truncate_journal()
        if len(doomed) < len(dying) or self.remnants(doomed):
            self._write_anew()
        if self.remnants(doomed):
            raise StorageUnavailableError("destroyed keys are still found in the keystore's files")
        with self._writing() as transaction:
            key_rows.mark_proved(transaction, dying)

    def forget_old_wraps(self) -> None:
        """As the port says: the file is written anew, and its journal cut."""
        self._write_anew()

    def remnants(self, wrapped: Iterable[bytes]) -> bool:
        """True when any of these wrapped keys can still be found in the keystore's files."""
        files = [self._path.with_name(self._path.name + suffix) for suffix in _JOURNALS]
        wanted = list(wrapped)
        return any(holds_any(file, wanted) for file in files if file.exists())

    def shortcomings(self) -> list[str]:
        """None: the file is ours alone."""
        return []

    def cautions(self) -> list[str]:
        """None: what is in no backup is nowhere else."""
        return []

    def unmake(self) -> None:
        """As the port says."""
        self.close()
        for suffix in _JOURNALS:
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    @property
    def _keys_asked(self) -> str:
        return "SELECT k.message, k.batch, k.wrapped FROM message_keys k"

    @contextmanager
    def _reading(self) -> Iterator[KeySnapshot]:
        """A connection of its own: nobody who wants one key waits for a copy of all."""
        with _answering(), closing(_connected(self._path)) as connection:
            connection.execute("BEGIN")
            yield _Transaction(connection)

    def _wrapped(self, message: MessageId) -> tuple[Any, ...] | None:
        found = self._ask(
            "SELECT k.batch, b.sealed_for, b.wrapped, k.wrapped FROM message_keys k"
            " LEFT JOIN batches b USING (batch) WHERE k.message = ?",
            (message,),
        )
        return found[0] if found else None

    def _insert_keys(self, transaction: KeyTransaction, keys: Sequence[KeptKey]) -> None:
        rows = [(key.message, key.batch, key.wrapped) for key in keys]
        transaction.run_each("INSERT INTO message_keys VALUES (?, ?, ?)", rows)

    def _page_of_keys(self, after: str) -> list[KeptKey]:
        question = "SELECT message, batch, wrapped FROM message_keys WHERE message > ? ORDER BY message LIMIT ?"
        return [KeptKey(MessageId(row[0]), *row[1:]) for row in self._ask(question, (after, key_rows.AT_ONCE))]

    def _truncate_journal(self) -> None:
        with self._lock, _answering():
            is_busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if is_busy:
            raise StorageUnavailableError("the keystore is being read and its journal cannot be cut now")

    def _write_anew(self) -> None:
        with self._lock, _answering():
            self._connection.execute("VACUUM")
        self._truncate_journal()

    def _ask(self, question: str, values: Sequence[object] = ()) -> Found:
        with self._lock, _answering():
            return self._connection.execute(question, tuple(values)).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[KeyTransaction]:
        with self._lock, self._turn.held(), _answering():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield _Transaction(self._connection)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise


def _wrapped_bytes(transaction: KeyTransaction, messages: Sequence[MessageId]) -> list[bytes]:
    found = (transaction.ask("SELECT wrapped FROM message_keys WHERE message = ?", (each,)) for each in messages)
    return [rows[0][0] for rows in found if rows]


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    for setting in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {setting}").fetchone()
    return connection


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _as_ours(error) from error
    except UnicodeDecodeError as error:
        # the driver's own, of a message that quotes the damaged text of a table
        raise TamperedError("keystore.sqlite3 is damaged: its tables are not text") from error


def _as_ours(error: sqlite3.Error) -> StorageUnavailableError | TamperedError:
    damaged = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
    if getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE in damaged:
        return TamperedError(f"keystore.sqlite3 is damaged: {error}")
    return StorageUnavailableError(f"the keystore cannot be used: {error}")
