"""What the rows of every keystore are asked, whatever engine keeps them.

``batches``: one row for every group commit. ``message_keys``: which messages have a key, of which batch. ``destroyed``:
a tombstone for every key that died. ``high_water``: one row, how far the row database had come. Questions are written
once, with ``?`` for each value.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Final, Protocol

from mailstore.errors import DestroyedError, NotFoundError, RefusedError, TamperedError
from mailstore.instants import instant_of, microseconds
from mailstore.keystore import (
    BEYOND_ALL_IDS,
    BatchOfKeys,
    Destroyed,
    HighWater,
    KeptKey,
    KeystoreCopy,
    RewrappedBatch,
    WrappedKey,
)
from mailstore.message import MessageId

AT_ONCE: Final = 500

_COUNTED: Final = ("batches", "message_keys", "destroyed")

Found = list[tuple[Any, ...]]


class KeySnapshot(Protocol):
    """The rows of one moment."""

    def ask(self, question: str, values: Sequence[object] = ()) -> Found:
        """Run one question."""


class KeyTransaction(Protocol):
    """One durable transaction, alone among the writers."""

    def ask(self, question: str, values: Sequence[object] = ()) -> Found:
        """Run one statement; what it finds, if it asks for anything."""

    def tell(self, statement: str, values: Sequence[object] = ()) -> None:
        """Run one statement that asks for nothing; what is wrong with it may be raised at the end of all."""

    def run_each(self, statement: str, values: Sequence[Sequence[object]]) -> None:
        """Run one statement for each of many values."""


class KeyRows(ABC):
    """A keystore's contract as far as it is the same everywhere."""

    @abstractmethod
    def _ask(self, question: str, values: Sequence[object] = ()) -> Found:
        """What the newest committed rows answer."""

    @abstractmethod
    def _writing(self) -> AbstractContextManager[KeyTransaction]:
        """Begin a transaction; it is durable at the end of the block, undone by an exception."""

    def _adding(self) -> AbstractContextManager[KeyTransaction]:
        """As ``_writing``, for what comes with every message: nothing is asked that finds no row."""
        return self._writing()

    @abstractmethod
    def _reading(self) -> AbstractContextManager[KeySnapshot]:
        """Everything asked inside is of one moment. Short: nothing can be destroyed for good meanwhile."""

    @property
    @abstractmethod
    def _keys_asked(self) -> str:
        """The question for message, batch and wrapped key of every key, ``k`` being ``message_keys``."""

    @abstractmethod
    def _wrapped(self, message: MessageId) -> tuple[Any, ...] | None:
        """Batch, fingerprint, wrapped batch key or None, wrapped message key; None for a message without a key."""

    @abstractmethod
    def _insert_keys(self, transaction: KeyTransaction, keys: Sequence[KeptKey]) -> None:
        """Add keys whose batches are there and whose messages have none."""

    @abstractmethod
    def _page_of_keys(self, after: str) -> list[KeptKey]:
        """The first keys behind an id, in the order of ids, ``AT_ONCE`` at most."""

    def add_batch(self, wrapped: BatchOfKeys) -> None:
        """As the port says."""
        with self._adding() as transaction:
            _refuse_destroyed(transaction, [message for message, _ in wrapped.message_keys])
            transaction.tell(
                "INSERT INTO batches (batch, made_at, sealed_for, wrapped) VALUES (?, ?, ?, ?)",
                (wrapped.batch, microseconds(wrapped.made_at), wrapped.sealed_for, wrapped.wrapped),
            )
            keys = [KeptKey(message, wrapped.batch, key) for message, key in wrapped.message_keys]
            self._insert_keys(transaction, keys)

    def wrapped_key(self, message: MessageId) -> WrappedKey:
        """As the port says."""
        row = self._wrapped(message)
        if row is None and self.is_destroyed(message):
            raise DestroyedError(f"message {message} was disposed of", fix=DestroyedError.SEE)
        if row is None:
            raise NotFoundError(f"there is no key for message {message}")
        if row[2] is None or row[3] is None:
            raise TamperedError(f"keystore row message_keys/{message} names a batch that is not there")
        return WrappedKey(message, *row)

    def has_key(self, message: MessageId) -> bool:
        """As the port says."""
        return bool(self._ask("SELECT 1 FROM message_keys WHERE message = ?", (message,)))

    def has_keys(self, messages: Sequence[MessageId]) -> bool:
        """As the port says."""
        marks = ",".join("?" * len(messages))
        question = f"SELECT count(*) FROM message_keys WHERE message IN ({marks})"  # noqa: S608 -- only question marks
        return bool(self._ask(question, tuple(messages))[0][0] == len(messages))

    def is_destroyed(self, message: MessageId) -> bool:
        """As the port says."""
        return bool(self._ask("SELECT 1 FROM destroyed WHERE message = ?", (message,)))

    def destroyed(self) -> Iterator[MessageId]:
        """As the port says."""
        return (mark.message for mark in self.marks())

    def destroyed_at(self, message: MessageId) -> datetime | None:
        """As the port says."""
        found = self._ask("SELECT at FROM destroyed WHERE message = ?", (message,))
        return instant_of(found[0][0]) if found else None

    def messages_keyed_before(
        self, instant: datetime, *, since: str = "", until: str = BEYOND_ALL_IDS
    ) -> Iterator[MessageId]:
        """As the port says."""
        after = since
        while page := self._ask(
            "SELECT k.message FROM message_keys k JOIN batches b USING (batch)"
            " WHERE k.message > ? AND k.message < ? AND b.made_at < ? ORDER BY k.message LIMIT ?",
            (after, until, microseconds(instant), AT_ONCE),
        ):
            yield from (MessageId(row[0]) for row in page)
            after = page[-1][0]

    def batches(self) -> Iterator[BatchOfKeys]:
        """As the port says."""
        after = b""
        question = "SELECT batch, made_at, sealed_for, wrapped FROM batches WHERE batch > ? ORDER BY batch LIMIT ?"
        while page := self._ask(question, (after, AT_ONCE)):
            for batch, made_at, sealed_for, wrapped in page:
                yield BatchOfKeys(batch, instant_of(made_at), sealed_for, wrapped, ())
            after = page[-1][0]

    def pairs_named(self) -> dict[bytes, int]:
        """As the port says."""
        found = self._ask("SELECT sealed_for, count(*) FROM batches GROUP BY sealed_for")
        return {bytes(pair): int(count) for pair, count in found}

    def batches_not_for(self, pair: bytes, *, after: bytes, at_most: int) -> list[BatchOfKeys]:
        """As the port says."""
        question = (
            "SELECT batch, made_at, sealed_for, wrapped FROM batches"
            " WHERE batch > ? AND sealed_for <> ? ORDER BY batch LIMIT ?"
        )
        return [
            BatchOfKeys(batch, instant_of(made_at), sealed_for, wrapped, ())
            for batch, made_at, sealed_for, wrapped in self._ask(question, (after, pair, at_most))
        ]

    def rewrap(self, batches: Sequence[RewrappedBatch]) -> int:
        """As the port says."""
        statement = "UPDATE batches SET sealed_for = ?, wrapped = ? WHERE batch = ? AND wrapped = ? RETURNING 1"
        with self._writing() as transaction:
            swapped = [
                transaction.ask(statement, (each.sealed_for, each.wrapped, each.batch, each.was)) for each in batches
            ]
        return sum(len(found) for found in swapped)

    def kept_keys(self) -> Iterator[KeptKey]:
        """As the port says."""
        after = ""
        while page := self._page_of_keys(after):
            yield from page
            after = page[-1].message

    def marks(self) -> Iterator[Destroyed]:
        """As the port says."""
        after = ""
        question = "SELECT message, at, is_proved FROM destroyed WHERE message > ? ORDER BY message LIMIT ?"
        while page := self._ask(question, (after, AT_ONCE)):
            yield from (Destroyed(MessageId(row[0]), instant_of(row[1]), bool(row[2])) for row in page)
            after = page[-1][0]

    def high_water(self) -> HighWater | None:
        """As the port says."""
        found = self._ask("SELECT entries, leaf FROM high_water WHERE id = 1")
        return HighWater(int(found[0][0]), bytes(found[0][1])) if found else None

    def set_high_water(self, seen: HighWater) -> None:
        """As the port says."""
        with self._writing() as transaction:
            transaction.run_each(
                "INSERT INTO high_water (id, entries, leaf) VALUES (1, ?, ?) ON CONFLICT (id) DO UPDATE"
                " SET entries = excluded.entries, leaf = excluded.leaf WHERE high_water.entries < excluded.entries",
                [(seen.entries, seen.leaf)],
            )

    def copied(self, since: datetime | None = None) -> KeystoreCopy:
        """As the port says."""
        from_then = None if since is None else microseconds(since)
        with self._reading() as rows:
            batches, keys, marks = (
                int(rows.ask(f"SELECT count(*) FROM {table}")[0][0])  # noqa: S608 -- three names of ours
                for table in _COUNTED
            )
            sealed_for = frozenset(bytes(row[0]) for row in rows.ask("SELECT DISTINCT sealed_for FROM batches"))
            return KeystoreCopy(
                batch_count=batches,
                key_count=keys,
                mark_count=marks,
                sealed_for=sealed_for,
                batches=_batches_since(rows, from_then),
                keys=_keys_since(rows, self._keys_asked, from_then),
                marks=_marks_since(rows, from_then),
            )

    def take_high_water(self, seen: HighWater) -> None:
        """As the port says."""
        with self._writing() as transaction:
            transaction.run_each(
                "INSERT INTO high_water (id, entries, leaf) VALUES (1, ?, ?) ON CONFLICT (id) DO UPDATE"
                " SET entries = excluded.entries, leaf = excluded.leaf",
                [(seen.entries, seen.leaf)],
            )

    def adopt(
        self,
        *,
        batches: Sequence[BatchOfKeys] = (),
        kept_keys: Sequence[KeptKey] = (),
        marks: Sequence[Destroyed] = (),
    ) -> None:
        """As the port says."""
        with self._writing() as transaction:
            transaction.run_each(
                "INSERT INTO batches (batch, made_at, sealed_for, wrapped) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                [(each.batch, microseconds(each.made_at), each.sealed_for, each.wrapped) for each in batches],
            )
            transaction.run_each(
                "INSERT INTO destroyed (message, at, is_proved) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                [(mark.message, microseconds(mark.at), int(mark.is_proved)) for mark in marks],
            )
            question = "SELECT 1 FROM message_keys WHERE message = ?"
            self._insert_keys(transaction, [key for key in kept_keys if not transaction.ask(question, (key.message,))])


def _batches_since(rows: KeySnapshot, since: int | None) -> tuple[BatchOfKeys, ...]:
    asked = "SELECT batch, made_at, sealed_for, wrapped FROM batches"
    found = rows.ask(asked) if since is None else rows.ask(f"{asked} WHERE made_at >= ?", (since,))
    return tuple(BatchOfKeys(row[0], instant_of(row[1]), row[2], row[3], ()) for row in found)


def _keys_since(rows: KeySnapshot, asked: str, since: int | None) -> tuple[KeptKey, ...]:
    of_batches = f"{asked} WHERE k.batch IN (SELECT batch FROM batches WHERE made_at >= ?)"  # noqa: S608 -- our own words
    found = rows.ask(asked) if since is None else rows.ask(of_batches, (since,))
    return tuple(KeptKey(MessageId(row[0]), row[1], row[2]) for row in found)


def _marks_since(rows: KeySnapshot, since: int | None) -> tuple[Destroyed, ...]:
    asked = "SELECT message, at, is_proved FROM destroyed"
    found = rows.ask(asked) if since is None else rows.ask(f"{asked} WHERE at >= ?", (since,))
    return tuple(Destroyed(MessageId(row[0]), instant_of(row[1]), bool(row[2])) for row in found)


def not_proved(transaction: KeyTransaction, messages: Sequence[MessageId]) -> list[MessageId]:
    """Those of which it is not known yet that their key is gone for good.

    A key that was destroyed and proved to be, and is back, was brought back by an older file.
    """
    question = (
        "SELECT 1 FROM destroyed d WHERE d.message = ? AND d.is_proved = 1"
        " AND NOT EXISTS (SELECT 1 FROM message_keys k WHERE k.message = d.message)"
    )
    return [message for message in messages if not transaction.ask(question, (message,))]


def bury(transaction: KeyTransaction, messages: Sequence[MessageId], *, at: datetime) -> None:
    """Delete the rows of messages, and leave a tombstone each."""
    transaction.run_each("DELETE FROM message_keys WHERE message = ?", [(message,) for message in messages])
    transaction.run_each(
        "INSERT INTO destroyed (message, at) VALUES (?, ?) ON CONFLICT DO NOTHING",
        [(message, microseconds(at)) for message in messages],
    )


def mark_proved(transaction: KeyTransaction, messages: Sequence[MessageId]) -> None:
    """A run for these has nothing to do any more."""
    transaction.run_each("UPDATE destroyed SET is_proved = 1 WHERE message = ?", [(message,) for message in messages])


def _refuse_destroyed(transaction: KeyTransaction, messages: Sequence[MessageId]) -> None:
    marks = ",".join("?" * len(messages))
    question = f"SELECT message FROM destroyed WHERE message IN ({marks})"  # noqa: S608 -- only question marks go in
    if messages and transaction.ask(question, messages):
        raise RefusedError("a destroyed message takes no new key")
