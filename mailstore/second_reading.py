"""Reads once more what promotion put into the object store, before the spool lets go of what it was made from.

What must be there is all that a message is made of: its own object, and the object of every shared part it needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mailstore import part_records, sealed_copies, shared_parts
from mailstore.database import Database
from mailstore.errors import TamperedError
from mailstore.message import MessageId, StoredMessage
from mailstore.object_store import ObjectStore
from mailstore.part_records import PartLinks
from mailstore.promotion import READS_AT_ONCE
from mailstore.recipe import PartId


class SecondReading:
    """One reading. A part is read once in it, however many messages need it."""

    def __init__(self, database: Database, spool_directory: Path, objects: ObjectStore, links: PartLinks) -> None:
        self._database = database
        self._spool_directory = spool_directory
        self._objects = objects
        self._links = links
        self._parts: dict[PartId, str | None] = {}

    def lost(self, messages: Sequence[StoredMessage]) -> dict[MessageId, str]:
        """The messages of which the store lost something, each with the object that is missing or not what was put.

        Raises ``StorageUnavailableError`` when the store does not answer, ``TamperedError`` when a row does not hold.
        """
        needed = self._needed(messages)
        fresh = sorted({part for named in needed.values() for part in named} - self._parts.keys())
        with ThreadPoolExecutor(READS_AT_ONCE, "verify") as threads:
            self._parts |= zip(fresh, threads.map(self._lost_part, fresh), strict=True)
            own = list(threads.map(self._lost_object, messages))
        found = {}
        for message, name in zip(messages, own, strict=True):
            gone = [each for each in (name, *map(self._parts.__getitem__, needed[message.id])) if each is not None]
            if gone:
                found[message.id] = gone[0]
        return found

    def _needed(self, messages: Sequence[StoredMessage]) -> Mapping[MessageId, Sequence[PartId]]:
        with self._database.read() as connection:
            return {message.id: self._links.of(connection, message.id) for message in messages}

    def _lost_object(self, message: StoredMessage) -> str | None:
        try:
            for copy in sealed_copies.copies_of(message):
                if copy.is_in_store:
                    sealed_copies.read_copy(copy, spool_directory=self._spool_directory, objects=self._objects)
        except TamperedError:
            return message.object_name
        return None

    def _lost_part(self, wanted: PartId) -> str | None:
        """A part whose row is gone is lost by its own name: promotion makes it anew."""
        name: str = wanted
        try:
            with self._database.read() as connection:
                part = part_records.part(connection, wanted)
            name = part.object.name
            shared_parts.sealed_part(part, self._objects)
        except TamperedError:
            return name
        return None
