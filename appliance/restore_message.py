"""One message, lost or damaged in the living store, brought back from a backup: bytes and key, each proved first.

Bytes must be those that the message's row was sealed over, a key must open; a message that was disposed of is never
brought back, whatever a backup has of it. The row itself is not brought back: without it there is no message here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from appliance import check_wiring
from appliance.front_door_wiring import RANDOMNESS
from appliance.wiring import Appliance
from mailstore import audit_trail, message_records, object_layout, part_records
from mailstore.audit_entry import AuditFact
from mailstore.backup_contents import DataContents
from mailstore.backup_listing import GenerationKind
from mailstore.backup_pack import Marks, chunk_at
from mailstore.errors import DestroyedError, NotFoundError, StrongroomError
from mailstore.keystore import BatchOfKeys, KeptKey
from mailstore.message import MessageId, StoredMessage, StoredObject
from mailstore.part_records import PartLinks
from mailstore.restore_source import RestoreSource
from mailstore.sealed_copies import place_of

RESTORED = "message.restored"


@dataclass(frozen=True)
class RestoredMessage:
    """What was brought back of a message; nothing when all of it was whole."""

    message: MessageId
    parts: tuple[str, ...]


class MessageRestore:
    """Brings single messages back into an open appliance."""

    def __init__(self, appliance: Appliance, source: RestoreSource) -> None:
        self._appliance = appliance
        self._source = source

    def restore(self, message: MessageId) -> RestoredMessage:
        """Bring back what is lost or damaged.

        Raises ``DestroyedError`` for one that was disposed of, ``NotFoundError`` where no row knows of it, or no backup
        has what is wanted.
        """
        appliance = self._appliance
        with appliance.database.read() as connection:
            stored = message_records.stored(connection, message)
            parts = PartLinks(appliance.ring.archive_key, RANDOMNESS).of(connection, message)
            objects = [part_records.part(connection, part).object for part in parts]
        self._refuse_dead([message])
        done = [f"key {each}" for each in (message, *map(MessageId, parts)) if self._key_restored(each)]
        done += [f"object {each.name}" for each in objects if self._object_restored(each)]
        done += self._bytes_restored(stored)
        if done:
            with appliance.database.write() as connection:
                fact = AuditFact(RESTORED, "system", message, {"parts": len(done)})
                audit_trail.append(connection, [fact], now=appliance.clock.now())
        return RestoredMessage(message, tuple(done))

    def _refuse_dead(self, messages: list[MessageId]) -> None:
        for each in messages:
            if self._appliance.keystore.is_destroyed(each):
                raise DestroyedError(f"message {each} was disposed of", fix=DestroyedError.SEE)

    def _key_restored(self, message: MessageId) -> bool:
        """A key that is there and does not open is not replaced: whoever changed it may look on."""
        keystore = self._appliance.keystore
        if keystore.has_key(message):
            return False
        self._refuse_dead([message])
        batches: dict[bytes, BatchOfKeys] = {}
        key: KeptKey | None = None
        newest = self._source.generation(GenerationKind.KEYS, None)
        for contents in self._source.keys_contents(newest) if newest else ():
            for record in self._source.key_records(contents):
                if isinstance(record, BatchOfKeys):
                    batches[record.batch] = record
                elif isinstance(record, KeptKey) and record.message == message:
                    key = record
        if key is None or key.batch not in batches:
            raise NotFoundError(f"no key of message {message} is in the newest backup of the keys")
        with self._appliance.database.write():
            self._refuse_dead([message])  # disposals destroy keys under this lock: none dies between the two lines
            keystore.adopt(batches=[batches[key.batch]], kept_keys=[key])
        self._appliance.message_keys.key(message)
        return True

    def _object_restored(self, wanted: StoredObject) -> bool:
        objects = self._appliance.objects
        try:
            if hashlib.sha256(objects.get(wanted.name)).digest() == wanted.digest:
                return False
        except NotFoundError:
            pass
        sealed = self._chunk(wanted.digest)
        if objects.exists(wanted.name):
            objects.delete(wanted.name)
        objects.put(wanted.name, sealed)
        return True

    def _bytes_restored(self, stored: StoredMessage) -> list[str]:
        if stored.object is not None:
            return [f"object {stored.object.name}"] if self._object_restored(stored.object) else []
        if check_wiring.stores(self._appliance).copies.state(stored).whole:
            return []
        return [f"object {self._spooled_restored(stored)}"]

    def _spooled_restored(self, stored: StoredMessage) -> str:
        """It lay in the spool alone: what the spool had goes into the object store, where the next copy would be."""
        appliance = self._appliance
        sealed = self._from_spool(stored)
        name = object_layout.new_object_name(RANDOMNESS)
        appliance.objects.put(name, sealed)
        placed = StoredObject(name, len(sealed), stored.sealed_digest)
        with appliance.database.write() as connection:
            message_records.set_promoted(connection, {stored.id: placed}, {}, now=appliance.clock.now())
        return name

    def _from_spool(self, stored: StoredMessage) -> bytes:
        place = place_of(stored)
        path = f"spool/{place.segment}" if place else ""
        for contents in self._generations():
            for file in contents.files:
                if place is None or file.path != path:
                    continue
                first, last = place.offset // file.chunk, (place.offset + place.length - 1) // file.chunk
                chunks = self._chunks(contents, list(file.marks[first : last + 1]))
                start = place.offset - first * file.chunk
                sealed = b"".join(chunks)[start : start + place.length]
                if hashlib.sha256(sealed).digest() == stored.sealed_digest:
                    return sealed
        raise NotFoundError(f"no backup has the sealed bytes of message {stored.id}")

    def _chunk(self, digest: bytes) -> bytes:
        for contents in self._generations():
            found = self._chunks(contents, [Marks(contents.mark_key).of_digest(digest)])
            if found and hashlib.sha256(found[0]).digest() == digest:
                return found[0]
        raise NotFoundError("no backup has these sealed bytes")

    def _chunks(self, contents: DataContents, wanted: list[bytes]) -> list[bytes]:
        """The chunks that are in this generation, in order; a missing one is left out."""
        places = {mark: at for mark, at in self._source.places(contents) if mark in set(wanted)}
        marks = Marks(contents.mark_key)
        return [
            chunk_at(self._source.pack(places[mark].pack), places[mark], mark, marks)
            for mark in wanted
            if mark in places
        ]

    def _generations(self) -> Iterator[DataContents]:
        """Newest first; a damaged one does not hide an older whole one."""
        for sequence in reversed(self._source.catalogue.sequences(GenerationKind.DATA)):
            try:
                yield self._source.data_contents(self._source.catalogue.one(GenerationKind.DATA, sequence))
            except StrongroomError:
                continue
