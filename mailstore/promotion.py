"""The way from the spool into the object store, and the clearing away of what nobody was promised.

No key is needed: sealed bytes move as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from mailstore import message_records, spool
from mailstore.database import Database
from mailstore.errors import NotFoundError, StorageUnavailableError
from mailstore.failpoint import reached
from mailstore.keystore import Keystore
from mailstore.message import MessageId, StoredMessage
from mailstore.object_layout import new_object_names
from mailstore.object_store import ObjectStore
from mailstore.retrieval import sealed_bytes
from mailstore.sealed_format import Randomness
from mailstore.wall_clock import Clock

_ORPHAN_AGE = timedelta(hours=1)
ORPHANS_EXPLAINED = 256
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
        """Move one message. As ``promote_all``."""
        self.promote_all([message])

    def promote_all(self, messages: Sequence[MessageId]) -> None:
        """Move messages, up to a few hundred at once, each whole. Already moved, or disposed of: nothing to do.

        1. Put the sealed bytes under fresh names. 2. Read them back and compare. 3. Set the places in the rows, in
        a transaction in which messages and objects are all still there. A crash in between leaves objects
        without a row, for ``sweep``; the messages stay in the spool and are promoted anew.

        Raises ``TamperedError`` when the spool's bytes are not what was written, ``StorageUnavailableError``; then
        none was moved.
        """
        names = new_object_names(len(messages), self._randomness)
        moving = dict(zip(names, self._still_in_spool(messages), strict=False))
        if not moving:
            return
        self._objects.put_all({name: self._spooled(stored) for name, stored in moving.items()})
        reached("promotion.after_put")
        self._refuse_other_bytes(moving)
        placed = self._places_set(moving)
        reached("promotion.after_rows")
        for name in moving.keys() - placed:
            self._objects.delete(name)

    def sweep(self) -> Swept:
        """Release finished spool segments and clear away what a crash left: objects and keys without a row.

        A key counts as left over when it is older than an hour; depositing checks its keys in the transaction
        that writes the rows, and this one holds that lock, so that no message comes to rest on a swept key.
        """
        segments = self._release_segments()
        objects = self._sweep_objects()
        keys, unexplained = self._sweep_keys()
        return Swept(segments, objects, keys, unexplained)

    def _still_in_spool(self, messages: Sequence[MessageId]) -> list[StoredMessage]:
        with self._database.read() as connection:
            stored = message_records.stored_many(connection, messages)
        return [message for message in stored if message.object_name is None]

    def _spooled(self, stored: StoredMessage) -> bytes:
        return sealed_bytes(stored, spool_directory=self._spool_directory, objects=self._objects)

    def _refuse_other_bytes(self, moving: Mapping[str, StoredMessage]) -> None:
        for name, stored in moving.items():
            if hashlib.sha256(self._objects.get(name)).digest() != stored.sealed_digest:
                raise StorageUnavailableError(f"the object store gave back other bytes than it got for {name}")

    def _places_set(self, moving: Mapping[str, StoredMessage]) -> set[str]:
        """The names that rows point at now; no row does where a message was moved or destroyed meanwhile."""
        with self._database.write() as connection:
            ids = [stored.id for stored in moving.values()]
            waiting = {now.id for now in message_records.stored_many(connection, ids) if now.object_name is None}
            placed = {stored.id: name for name, stored in moving.items() if stored.id in waiting}
            for name in placed.values():
                if not self._objects.exists(name):
                    raise StorageUnavailableError(f"object {name} was swept away before its row came")
            message_records.set_locations(connection, placed)
        return set(placed.values())

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
            if len(orphans) > ORPHANS_EXPLAINED:
                return 0, len(orphans)
            if orphans:
                self._keystore.destroy(orphans, at=self._clock.now())
        return len(orphans), 0


def _without(messages: Iterable[MessageId], known: set[MessageId]) -> list[MessageId]:
    return [message for message in messages if message not in known]
