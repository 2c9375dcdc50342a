"""The wrapped message keys, in a SQLite file of their own: backups of the data hold no keys.

Each row is bound to its batch and message by the encryption itself (``key_hierarchy``): a changed or swapped row
does not unwrap and is named. Destroying a row is the point from which a message is unreadable everywhere.
"""

from __future__ import annotations

import mmap
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from mailstore.errors import (
    DestroyedError,
    NotFoundError,
    RefusedError,
    StorageUnavailableError,
    TamperedError,
)
from mailstore.failpoint import reached
from mailstore.instants import instant_of, microseconds
from mailstore.message import MessageId

_APPLICATION_ID = 0x53524B53
_VERSION = 1
_BUSY_SECONDS = 10
_AT_ONCE = 500
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
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_VERSION};
"""


@dataclass(frozen=True)
class BatchOfKeys:
    """The keys of one group commit, all wrapped: what the depositing role hands over."""

    batch: bytes
    made_at: datetime
    sealed_for: bytes
    wrapped: bytes = field(repr=False)
    message_keys: tuple[tuple[MessageId, bytes], ...] = field(repr=False)


@dataclass(frozen=True)
class WrappedKey:
    """One message's key and the batch key it is wrapped under, both still wrapped."""

    message: MessageId
    batch: bytes
    sealed_for: bytes
    wrapped_batch_key: bytes = field(repr=False)
    wrapped_message_key: bytes = field(repr=False)


class Keystore:
    """The keystore file, open. May be used from many threads, and by several processes at once."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise NotFoundError("the keystore is not there", fix="Restore keystore.sqlite3 from a backup of the keys.")
        self._path = path
        self._lock = threading.RLock()
        with _answering():
            self._connection = _connected(path)
            found = [self._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in _IDENTITY]
        if found != [_APPLICATION_ID, _VERSION]:
            self._connection.close()
            raise TamperedError("keystore.sqlite3 is not a keystore that this release knows")

    @classmethod
    def create(cls, path: Path) -> Keystore:
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

    def add_batch(self, wrapped: BatchOfKeys) -> None:
        """Keep a batch durably: all of its keys or none. ``RefusedError`` when one belongs to a destroyed message."""
        with self._writing() as connection:
            self._refuse_destroyed(connection, [message for message, _ in wrapped.message_keys])
            connection.execute(
                "INSERT INTO batches VALUES (?, ?, ?, ?)",
                (wrapped.batch, microseconds(wrapped.made_at), wrapped.sealed_for, wrapped.wrapped),
            )
            connection.executemany(
                "INSERT INTO message_keys VALUES (?, ?, ?)",
                [(message, wrapped.batch, key) for message, key in wrapped.message_keys],
            )

    def wrapped_key(self, message: MessageId) -> WrappedKey:
        """A message's key, wrapped. ``DestroyedError`` after its destruction, ``NotFoundError`` if there never was one.

        ``TamperedError`` when its batch is missing.
        """
        row = self._one(
            "SELECT k.batch, b.sealed_for, b.wrapped, k.wrapped FROM message_keys k"
            " LEFT JOIN batches b USING (batch) WHERE k.message = ?",
            (message,),
        )
        if row is None and self.is_destroyed(message):
            raise DestroyedError(f"message {message} was disposed of", fix=DestroyedError.SEE)
        if row is None:
            raise NotFoundError(f"there is no key for message {message}")
        if row[2] is None:
            raise TamperedError(f"keystore row message_keys/{message} names a batch that is not there")
        return WrappedKey(message, *row)

    def has_key(self, message: MessageId) -> bool:
        """True while the message's key exists."""
        return self._one("SELECT 1 FROM message_keys WHERE message = ?", (message,)) is not None

    def has_keys(self, messages: Sequence[MessageId]) -> bool:
        """True while every one of these messages' keys exists. For at most a few hundred messages."""
        marks = ",".join("?" * len(messages))
        query = f"SELECT count(*) FROM message_keys WHERE message IN ({marks})"  # noqa: S608 -- only question marks
        row = self._one(query, tuple(messages))
        return row is not None and row[0] == len(messages)

    def is_destroyed(self, message: MessageId) -> bool:
        """True when the message's key was destroyed."""
        return self._one("SELECT 1 FROM destroyed WHERE message = ?", (message,)) is not None

    def destroyed(self) -> Iterator[MessageId]:
        """Every message whose key was destroyed, in the order of their ids."""
        after = ""
        query = "SELECT message FROM destroyed WHERE message > ? ORDER BY message LIMIT ?"
        while page := self._all(query, (after, _AT_ONCE)):
            yield from (MessageId(row[0]) for row in page)
            after = page[-1][0]

    def destroyed_at(self, message: MessageId) -> datetime | None:
        """When the message's key was destroyed; None when it was not."""
        row = self._one("SELECT at FROM destroyed WHERE message = ?", (message,))
        return None if row is None else instant_of(row[0])

    def messages_keyed_before(self, instant: datetime) -> Iterator[MessageId]:
        """The messages whose keys were made before an instant, in the order of their ids."""
        after = ""
        while page := self._all(
            "SELECT k.message FROM message_keys k JOIN batches b USING (batch)"
            " WHERE k.message > ? AND b.made_at < ? ORDER BY k.message LIMIT ?",
            (after, microseconds(instant), _AT_ONCE),
        ):
            yield from (MessageId(row[0]) for row in page)
            after = page[-1][0]

    def destroy(self, messages: Sequence[MessageId], *, at: datetime) -> None:
        """Destroy the keys of ``messages``: from here on nobody can read them, whatever copies there are.

        1. Read the wrapped bytes that are about to die. 2. In one durable transaction delete the rows (overwritten
        with zeros, ``secure_delete``) and keep a tombstone each: id and time only. 3. Write the journal back into the
        file and cut it to nothing. 4. Search all files for the bytes of step 1; where a rearranged page kept a copy,
        or an earlier run was cut short and the bytes are no longer known, write the whole file anew and search again.
        5. Mark the tombstones as proved: a run for them has nothing to do any more.
        Whatever does not succeed is ``StorageUnavailableError``: run it again, it converges.
        """
        with self._writing() as connection:
            dying = [message for message in messages if not self._is_proved(connection, message)]
            doomed = self._wrapped_bytes(connection, dying)
            connection.executemany("DELETE FROM message_keys WHERE message = ?", [(m,) for m in dying])
            connection.executemany(
                "INSERT OR IGNORE INTO destroyed (message, at) VALUES (?, ?)", [(m, microseconds(at)) for m in dying]
            )
        if not dying:
            return
        reached("keystore.after_rows")
        self._truncate_journal()
        if len(doomed) < len(dying) or self._still_in_files(doomed):
            self._write_anew()
        if self._still_in_files(doomed):
            raise StorageUnavailableError("destroyed keys are still found in the keystore's files")
        with self._writing() as connection:
            connection.executemany("UPDATE destroyed SET is_proved = 1 WHERE message = ?", [(m,) for m in dying])

    def remnants(self, wrapped: Iterable[bytes]) -> bool:
        """True when any of these wrapped keys can still be found in the keystore's files."""
        return self._still_in_files(list(wrapped))

    def _refuse_destroyed(self, connection: sqlite3.Connection, messages: list[MessageId]) -> None:
        marks = ",".join("?" * len(messages))
        query = f"SELECT message FROM destroyed WHERE message IN ({marks})"  # noqa: S608 -- only question marks go in
        if connection.execute(query, messages).fetchone() is not None:
            raise RefusedError("a destroyed message takes no new key")

    def _is_proved(self, connection: sqlite3.Connection, message: MessageId) -> bool:
        """True when the key was destroyed, proved to be gone, and not brought back since by an older file."""
        query = (
            "SELECT 1 FROM destroyed WHERE message = ?1 AND is_proved"
            " AND NOT EXISTS (SELECT 1 FROM message_keys WHERE message = ?1)"
        )
        return connection.execute(query, (message,)).fetchone() is not None

    def _wrapped_bytes(self, connection: sqlite3.Connection, messages: Sequence[MessageId]) -> list[bytes]:
        query = "SELECT wrapped FROM message_keys WHERE message = ?"
        rows = (connection.execute(query, (message,)).fetchone() for message in messages)
        return [row[0] for row in rows if row is not None]

    def _truncate_journal(self) -> None:
        with self._lock, _answering():
            is_busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if is_busy:
            raise StorageUnavailableError("the keystore is being read and its journal cannot be cut now")

    def _write_anew(self) -> None:
        with self._lock, _answering():
            self._connection.execute("VACUUM")
        self._truncate_journal()

    def _still_in_files(self, wanted: list[bytes]) -> bool:
        files = [self._path.with_name(self._path.name + suffix) for suffix in _JOURNALS]
        return any(_holds_any(file, wanted) for file in files if file.exists())

    def _one(self, query: str, values: tuple[object, ...]) -> tuple[Any, ...] | None:
        rows = self._all(query, values)
        return rows[0] if rows else None

    def _all(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        with self._lock, _answering():
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _answering():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise


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


def _as_ours(error: sqlite3.Error) -> StorageUnavailableError | TamperedError:
    damaged = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
    if getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE in damaged:
        return TamperedError(f"keystore.sqlite3 is damaged: {error}")
    return StorageUnavailableError(f"the keystore cannot be used: {error}")


def _holds_any(path: Path, wanted: list[bytes]) -> bool:
    with path.open("rb") as file:
        if not wanted or os.fstat(file.fileno()).st_size == 0:
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return any(content.find(piece) >= 0 for piece in wanted)
