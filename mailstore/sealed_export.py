"""One message as it lies sealed, with all that opening it takes: docs/formats/sealed-export.md.

Two files, so that they can go different ways: what is sealed, and the keys. ``read_sealed_message`` opens them without
anything of ours.
"""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mailstore import message_records, part_records, sealed_copies
from mailstore.database import Database
from mailstore.dictionary_records import MailDictionaries
from mailstore.errors import TamperedError
from mailstore.message import MessageId
from mailstore.message_keys import MessageKeys
from mailstore.object_store import ObjectStore
from mailstore.read_sealed_message import FORMAT, KEYS_FORMAT, RefusedError, opened
from mailstore.recipe import PartId, Recipe
from mailstore.sealed_columns import recipe_context
from mailstore.sealed_format import dictionary_of, open_sealed
from mailstore.shared_parts import SharedParts


@dataclass(frozen=True)
class SealedExport:
    """The two files."""

    message: MessageId
    sealed: bytes = field(repr=False)
    keys: bytes = field(repr=False)

    def content(self) -> bytes:
        """What the stand-alone reader makes of them. ``TamperedError`` when it refuses them."""
        try:
            return opened(self.sealed, self.keys)
        except RefusedError as error:
            raise TamperedError(f"the export of message {self.message} does not open: {error}") from error


class SealedExports:
    """Exports messages for those whom the caller found entitled."""

    def __init__(self, database: Database, keys: MessageKeys, spool_directory: Path, objects: ObjectStore) -> None:
        self._database = database
        self._keys = keys
        self._spool_directory = spool_directory
        self._objects = objects
        self._parts = SharedParts(database, objects, keys)
        self._dictionaries = MailDictionaries(database, keys)

    def of(self, message: MessageId) -> SealedExport:
        """The export of one message. Raises as ``Retrieval.content`` does."""
        with self._database.read() as connection:
            stored = message_records.stored(connection, message)
        copies = sealed_copies.copies_of(stored)
        found = sealed_copies.read_any(copies, spool_directory=self._spool_directory, objects=self._objects)
        is_recipe = found.copy.is_in_store and found.copy.digest != stored.sealed_digest
        keys = {str(message): self._keys.key(message).hex()}
        told: dict[str, Any] = {
            "format": FORMAT,
            "message": message,
            "kind": "recipe" if is_recipe else "message",
            "sealed": _text(found.sealed),
            "dictionaries": self._dictionary(found.sealed, keys),
            "parts": self._shared(found.sealed, message, keys) if is_recipe else [],
        }
        return SealedExport(message, _json(told), _json({"format": KEYS_FORMAT, "message": message, "keys": keys}))

    def _dictionary(self, sealed: bytes, keys: dict[str, str]) -> list[dict[str, Any]]:
        """The dictionary that a sealed object needs, sealed, if it needs one; its key goes to the others."""
        number = dictionary_of(sealed)
        if not number:
            return []
        name, kept = self._dictionaries.sealed(number)
        keys[name] = self._keys.key(name).hex()
        return [{"number": number, "id": name, "sealed": _text(kept)}]

    def _shared(self, sealed: bytes, message: MessageId, keys: dict[str, str]) -> list[dict[str, Any]]:
        """The shared parts that a recipe needs, sealed; their keys go to the others."""
        key, context = self._keys.key(message), recipe_context(message)
        packed = open_sealed(sealed, key=key, context=context, dictionaries=self._dictionaries.by_number)
        return [self._part(part, keys) for part in Recipe.from_bytes(packed).parts]

    def _part(self, wanted: PartId, keys: dict[str, str]) -> dict[str, Any]:
        with self._database.read() as connection:
            part = part_records.part(connection, wanted)
        keys[wanted] = self._keys.key(MessageId(wanted)).hex()
        return {"id": wanted, "sealed": _text(self._parts.sealed(part))}


def _text(data: bytes) -> str:
    return b64encode(data).decode("ascii")


def _json(told: dict[str, Any]) -> bytes:
    return json.dumps(told, indent=1).encode() + b"\n"
