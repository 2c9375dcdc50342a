"""Files that several messages carry, kept once: put when they are first seen, found again by a keyed digest.

A part is durable before a row speaks of it: its key, then its object, read back; its row comes with the first link to
it (``part_records``). What a crash leaves before that has no row and is swept away like a message's leavings.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from datetime import datetime, timedelta

from mailstore import part_records
from mailstore.database import Database
from mailstore.errors import NotFoundError, StorageUnavailableError, TamperedError
from mailstore.failpoint import reached
from mailstore.key_hierarchy import MessageKey, part_digest
from mailstore.message import ID_BYTES, MessageId, StoredObject, identifier_from
from mailstore.message_keys import MessageKeys
from mailstore.object_layout import new_object_name
from mailstore.object_store import ObjectStore
from mailstore.part_records import SharedPart
from mailstore.recipe import PartId
from mailstore.sealed_format import Context, Randomness, open_sealed, seal
from mailstore.wall_clock import Clock

_LEVEL = 3
"""Files are mostly packed already: looking longer for what repeats costs much and finds little."""

_UNLINKED_KEPT = 256
_UNLINKED_FOR = timedelta(minutes=10)
"""How long a part without a row is counted on: far less than the hour after which it may be swept away."""


def sealed_part(part: SharedPart, objects: ObjectStore) -> bytes:
    """The sealed bytes of a part, proved to be what was written. ``TamperedError`` when they are not. Needs no key."""
    try:
        sealed = objects.get(part.object.name)
    except NotFoundError:
        raise TamperedError(f"object {part.object.name} of shared part {part.id} is missing") from None
    if not hmac.compare_digest(hashlib.sha256(sealed).digest(), part.object.digest):
        raise TamperedError(f"object {part.object.name} of shared part {part.id} is not what was written")
    return sealed


class SharedParts:
    """Opens shared parts. Safe to use from many threads."""

    def __init__(self, database: Database, objects: ObjectStore, keys: MessageKeys) -> None:
        self._database = database
        self._objects = objects
        self._keys = keys

    def content(self, wanted: PartId) -> bytes:
        """The content of a part. Raises ``TamperedError`` naming what is missing or changed, and as keys do."""
        with self._database.read() as connection:
            part = part_records.part(connection, wanted)
        key = self._keys.key(MessageId(part.id))
        return open_sealed(self.sealed(part), key=key, context=_context(part.id))

    def sealed(self, part: SharedPart) -> bytes:
        """The sealed bytes of a part, proved to be what was written. ``TamperedError`` when they are not."""
        return sealed_part(part, self._objects)


class PartKeeping:
    """Keeps content as shared parts. Of one worker's promotion: used by one thread at a time."""

    def __init__(
        self,
        database: Database,
        objects: ObjectStore,
        keys: MessageKeys,
        archive_key: bytes,
        *,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._database = database
        self._objects = objects
        self._keys = keys
        self._archive_key = archive_key
        self._clock = clock
        self._randomness = randomness
        self._parts = SharedParts(database, objects, keys)
        self._unlinked: OrderedDict[bytes, tuple[datetime, SharedPart]] = OrderedDict()

    def kept(self, content: bytes) -> SharedPart:
        """The part with this content: one that is here and still whole, or a new one.

        Raises ``StorageUnavailableError`` when the store does not take it or gives back other bytes.
        """
        digest = part_digest(self._archive_key, content)
        with self._database.read() as connection:
            recorded = part_records.with_digest(connection, digest)
        if recorded is not None:
            return recorded if self._is_whole(recorded) else self._put_again(recorded, content)
        waiting = self._waiting(digest)
        return waiting if waiting is not None else self._new(digest, content)

    def _is_whole(self, part: SharedPart) -> bool:
        """A store may lose what it acknowledged: nothing more is hung on an object that is gone."""
        try:
            self._parts.sealed(part)
        except TamperedError:
            return False
        return True

    def _put_again(self, part: SharedPart, content: bytes) -> SharedPart:
        """The same part under another name: all messages that need it have it again."""
        kept = self._put(part.id, self._keys.key(MessageId(part.id)), content)
        with self._database.write() as connection:
            part_records.set_object(connection, part.id, kept)
            return part_records.part(connection, part.id)

    def _new(self, digest: bytes, content: bytes) -> SharedPart:
        name = PartId(identifier_from(self._randomness(ID_BYTES)))
        key = self._keys.made(MessageId(name), clock=self._clock, randomness=self._randomness)
        reached("shared_parts.after_key")
        part = SharedPart(name, digest, len(content), self._put(name, key, content))
        self._unlinked[digest] = (self._clock.now(), part)
        while len(self._unlinked) > _UNLINKED_KEPT:
            self._unlinked.popitem(last=False)
        return part

    def _put(self, name: PartId, key: MessageKey, content: bytes) -> StoredObject:
        sealed = seal(content, key=key, context=_context(name), randomness=self._randomness, level=_LEVEL)
        kept = StoredObject(new_object_name(self._randomness), len(sealed), hashlib.sha256(sealed).digest())
        self._objects.put(kept.name, sealed)
        reached("shared_parts.after_put")
        if self._objects.get(kept.name) != sealed:
            self._objects.delete(kept.name)
            raise StorageUnavailableError(f"the object store gave back other bytes than it got for {kept.name}")
        return kept

    def _waiting(self, digest: bytes) -> SharedPart | None:
        """A part that was kept a moment ago for a message whose row does not say so yet."""
        since, part = self._unlinked.get(digest, (None, None))
        is_fresh = since is not None and timedelta(0) <= self._clock.now() - since < _UNLINKED_FOR
        return part if is_fresh else None


def _context(part: PartId) -> Context:
    return ("shared part", part, 1)
