"""The way from the spool into the object store, and the clearing away of what nobody was promised.

No key is needed: sealed bytes move as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from mailstore import message_records, spool
from mailstore.database import Database
from mailstore.errors import DestroyedError, NotFoundError, StorageUnavailableError
from mailstore.failpoint import reached
from mailstore.keystore import Keystore
from mailstore.message import MessageId, StoredMessage
from mailstore.object_layout import new_object_name
from mailstore.object_store import ObjectStore
from mailstore.retrieval import sealed_bytes
from mailstore.sealed_format import Randomness
from mailstore.wall_clock import Clock

_ORPHAN_AGE = timedelta(hours=1)
_ORPHANS_EXPLAINED = 256
"""More keys without rows than crashes leave (64 each): rather a row database from an old backup. Touch nothing."""


@dataclass(frozen=True)
class Swept:
    """What a sweep removed. ``unexplained_keys``: keys without rows, too many to be a crash's, left as they are."""

    segments: int
    objects: int
    keys: int
    unexplained_keys: int


class Promotion:
    """Moves messages into the object store and releases the spool behind them. May run in several processes."""

    def __init__(
        self,
        database: Database,
        keystore: Keystore,
        spool_directory: Path,
        objects: ObjectStore,
        *,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._database = database
        self._keystore = keystore
        self._spool_directory = spool_directory
        self._objects = objects
        self._clock = clock
        self._randomness = randomness

    def promote(self, message: MessageId) -> None:
        """Move one message, whole. Already moved, or disposed of: nothing to do.

        1. Put the sealed bytes under a fresh name. 2. Read them back and compare. 3. Set the place in the row, in
        a transaction in which message and object are both still there. A crash in between leaves an object
        without a row, for ``sweep``; the message stays in the spool and is promoted anew.

        Raises ``TamperedError`` when the spool's bytes are not what was written, ``StorageUnavailableError``.
        """
        stored = self._still_in_spool(message)
        if stored is None:
            return
        sealed = sealed_bytes(stored, spool_directory=self._spool_directory, objects=self._objects)
        name = new_object_name(self._randomness)
        self._objects.put(name, sealed)
        reached("promotion.after_put")
        if hashlib.sha256(self._objects.get(name)).digest() != stored.sealed_digest:
            self._objects.delete(name)
            raise StorageUnavailableError(f"the object store gave back other bytes than it got for {name}")
        if not self._place_set(stored, name):
            self._objects.delete(name)
        reached("promotion.after_rows")

    def sweep(self) -> Swept:
        """Release finished spool segments and clear away what a crash left: objects and keys without a row.

        A key counts as left over when it is older than an hour; depositing checks its keys in the transaction
        that writes the rows, and this one holds that lock, so that no message comes to rest on a swept key.
        """
        segments = self._release_segments()
        objects = self._sweep_objects()
        keys, unexplained = self._sweep_keys()
        return Swept(segments, objects, keys, unexplained)

    def _still_in_spool(self, message: MessageId) -> StoredMessage | None:
        with self._database.read() as connection:
            try:
                stored = message_records.stored(connection, message)
            except (DestroyedError, NotFoundError):
                return None
        return stored if stored.object_name is None else None

    def _place_set(self, before: StoredMessage, name: str) -> bool:
        """False when the message was moved by someone else, or destroyed, meanwhile."""
        with self._database.write() as connection:
            try:
                now = message_records.stored(connection, before.id)
            except (DestroyedError, NotFoundError):
                return False
            if now.object_name is not None:
                return False
            if not self._objects.exists(name):
                raise StorageUnavailableError(f"object {name} was swept away before its row came")
            message_records.set_location(connection, before.id, object_name=name)
        return True

    def _release_segments(self) -> int:
        """Closed first, rows second: a closed segment gets no new rows, an open one may."""
        released = 0
        for segment in spool.segments(self._spool_directory):
            if self._is_closed(segment) and not self._is_needed(segment):
                spool.release(self._spool_directory, segment)
                reached("promotion.after_release")
                released += 1
        return released

    def _is_closed(self, segment: str) -> bool:
        try:
            return spool.is_closed(self._spool_directory, segment)
        except NotFoundError:
            return False

    def _is_needed(self, segment: str) -> bool:
        with self._database.read() as connection:
            return bool(message_records.in_segment(connection, segment))

    def _sweep_objects(self) -> int:
        with self._database.read() as connection:
            known = message_records.object_names(connection)
        swept = 0
        for name in [name for name in self._objects.names() if name not in known]:
            with self._database.write() as connection:
                if name not in message_records.object_names(connection):
                    self._objects.delete(name)
                    swept += 1
        return swept

    def _sweep_keys(self) -> tuple[int, int]:
        before = self._clock.now() - _ORPHAN_AGE
        with self._database.write() as connection:
            known = set(message_records.all_ids(connection))
            orphans = _without(self._keystore.messages_keyed_before(before), known)
            if len(orphans) > _ORPHANS_EXPLAINED:
                return 0, len(orphans)
            if orphans:
                self._keystore.destroy(orphans, at=self._clock.now())
        return len(orphans), 0


def _without(messages: Iterable[MessageId], known: set[MessageId]) -> list[MessageId]:
    return [message for message in messages if message not in known]
