"""The way from the spool into the object store. The copy in the spool stays (``spool_release`` lets go of it later).

No key is needed: sealed bytes move as they are, unless ``repack`` makes others of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mailstore import message_records, sealed_copies
from mailstore.database import Database
from mailstore.errors import ObjectStoreDownError, StorageUnavailableError
from mailstore.failpoint import reached
from mailstore.guard_work import NO_GUARD_WORK, GuardWork
from mailstore.message import MessageId, StoredMessage, StoredObject
from mailstore.object_layout import new_object_names
from mailstore.object_store import ObjectStore
from mailstore.repacking import Repack, Repacked
from mailstore.sealed_format import Randomness
from mailstore.wall_clock import Clock

BYTES_AT_ONCE = 16 * 1024 * 1024
"""Sealed bytes that are on their way together: memory stays flat whatever the messages weigh."""

READS_AT_ONCE = 8
"""Objects read back at a time. A store across a network answers several in the time of one."""


@dataclass(frozen=True)
class _Moving:
    """One message under way: its row as read, and what goes into the store."""

    stored: StoredMessage
    name: str
    repacked: Repacked

    @property
    def sealed(self) -> bytes:
        return self.repacked.sealed

    @property
    def object(self) -> StoredObject:
        digest = hashlib.sha256(self.sealed).digest()
        return StoredObject(self.name, len(self.sealed), digest, self.repacked.dictionary)


class Promotion:
    """Puts messages into the object store. May run in several processes."""

    def __init__(
        self,
        database: Database,
        spool_directory: Path,
        objects: ObjectStore,
        *,
        clock: Clock,
        randomness: Randomness,
        repack: Repack | None = None,
        guard_work: GuardWork = NO_GUARD_WORK,
    ) -> None:
        self._database = database
        self._spool_directory = spool_directory
        self._objects = objects
        self._clock = clock
        self._randomness = randomness
        self._repack = repack
        self._guard_work = guard_work

    def promote(self, message: MessageId) -> None:
        """Promote one message. As ``promote_all``."""
        self.promote_all([message])

    def promote_all(self, messages: Sequence[MessageId]) -> None:
        """Promote messages, up to a few hundred at once, each whole. Already there, or disposed of: nothing to do.

        1. Put the sealed bytes under fresh names. 2. Read them back and compare. 3. Record the places, in a
        transaction in which the messages are all still there and in the spool alone. A crash in between leaves
        objects without a row, for ``orphan_sweep``; the messages stay in the spool and are promoted anew.

        Raises ``TamperedError`` when the spool's bytes are not what was written, ``ObjectStoreDownError`` when the
        store did not take them or gives back other bytes. Each group that was recorded before stays so.
        """
        waiting = self._in_spool_alone(messages)
        for group in _grouped(waiting):
            self._promote_group(group)

    def _in_spool_alone(self, messages: Sequence[MessageId]) -> list[StoredMessage]:
        with self._database.read() as connection:
            stored = message_records.stored_many(connection, messages)
        return [message for message in stored if message.object_name is None]

    def _promote_group(self, group: Sequence[StoredMessage]) -> None:
        moving = self._group_put(group)
        self._refuse_other_bytes(moving)
        reached("promotion.after_read_back")
        placed = self._recorded(moving)
        reached("promotion.after_rows")
        for each in moving:
            if each.stored.id not in placed:
                self._objects.delete(each.name)

    def _group_put(self, group: Sequence[StoredMessage]) -> list[_Moving]:
        names = new_object_names(len(group), self._randomness)
        moving = [_Moving(stored, name, self._packed(stored)) for stored, name in zip(group, names, strict=True)]
        with _of_the_store():
            self._objects.put_all({each.name: each.sealed for each in moving})
        reached("promotion.after_put")
        return moving

    def _packed(self, stored: StoredMessage) -> Repacked:
        sealed = self._spooled(stored)
        if self._repack is None:
            return Repacked(sealed)
        with _of_the_store():
            return self._repack.repacked(stored, sealed)

    def _spooled(self, stored: StoredMessage) -> bytes:
        (copy,) = sealed_copies.copies_of(stored)
        return sealed_copies.read_copy(copy, spool_directory=self._spool_directory, objects=self._objects)

    def _refuse_other_bytes(self, moving: Sequence[_Moving]) -> None:
        """Objects with other bytes are taken away again: they are nobody's mail."""
        wrong = [each.name for each, is_same in zip(moving, self._read_back(moving), strict=True) if not is_same]
        for name in wrong:
            self._objects.delete(name)
        if wrong:
            raise ObjectStoreDownError(
                f"the object store gave back other bytes than it got for {wrong[0]}",
                fix="check the disks and the log of the object store",
            )

    def _read_back(self, moving: Sequence[_Moving]) -> list[bool]:
        with _of_the_store(), ThreadPoolExecutor(min(READS_AT_ONCE, len(moving)), "read-back") as threads:
            return list(threads.map(self._is_as_put, moving))

    def _is_as_put(self, each: _Moving) -> bool:
        return self._objects.get(each.name) == each.sealed

    def _recorded(self, moving: Sequence[_Moving]) -> set[MessageId]:
        """The messages whose rows know of the object now; not those promoted or destroyed meanwhile."""
        with self._database.write() as connection:
            stored = message_records.stored_many(connection, [each.stored.id for each in moving])
            waiting = {now.id for now in stored if now.object_name is None}
            placed = {each.stored.id: each.object for each in moving if each.stored.id in waiting}
            message_records.set_promoted(connection, placed, _summaries(moving, placed), now=self._clock.now())
            self._guard_work.add(connection, placed, now=self._clock.now())
            if self._repack is not None:
                self._repack.record(
                    connection, {each.stored.id: each.repacked for each in moving if each.stored.id in placed}
                )
        return set(placed)


def _summaries(moving: Sequence[_Moving], placed: Collection[MessageId]) -> dict[MessageId, bytes]:
    """The summary columns that were sealed anew, of those that found their place."""
    return {
        each.stored.id: summary
        for each in moving
        if each.stored.id in placed and (summary := each.repacked.sealed_summary) is not None
    }


def _grouped(waiting: Sequence[StoredMessage]) -> Iterator[list[StoredMessage]]:
    """Groups of at most ``BYTES_AT_ONCE``; a message that is larger goes alone."""
    group: list[StoredMessage] = []
    size = 0
    for stored in waiting:
        if group and (size + stored.sealed_length > BYTES_AT_ONCE or len(group) == message_records.AT_ONCE):
            yield group
            group, size = [], 0
        group.append(stored)
        size += stored.sealed_length
    if group:
        yield group


@contextmanager
def _of_the_store() -> Iterator[None]:
    """Tells the store's own trouble from a disk's here: it concerns every message alike."""
    try:
        yield
    except StorageUnavailableError as error:
        raise ObjectStoreDownError(error.message, fix=error.fix) from error
