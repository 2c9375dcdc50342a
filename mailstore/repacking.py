"""What a message becomes on its way into the object store: taken apart, shared files out of it, packed harder.

Runs where the key ring is, beside promotion, and never while somebody waits. The message keeps its key; what is sealed
is a recipe (``docs/formats/recipe.md``), and only what opens again to the very bytes is given out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from sqlalchemy import Connection

from mailstore import dictionary_records
from mailstore.database import Database
from mailstore.dictionary_records import MailDictionaries
from mailstore.errors import DestroyedError, StorageUnavailableError, TamperedError
from mailstore.key_hierarchy import MessageKey
from mailstore.keystore import Keystore
from mailstore.message import MessageId, StoredMessage
from mailstore.message_keys import MessageKeys
from mailstore.object_store import ObjectStore
from mailstore.part_records import PartLinks, SharedPart
from mailstore.recipe import SHARED_FROM_BYTES, Encoded, PartId, Piece, Recipe, Shared, content_of, pieces_of, recipe_of
from mailstore.sealed_columns import content_context, packed_summary, recipe_context
from mailstore.sealed_format import NONCE_BYTES, Randomness, dictionary_of, open_sealed, seal
from mailstore.shared_parts import PartKeeping
from mailstore.wall_clock import Clock

_LEVELS = ((64 * 1024, 12), (1024 * 1024, 9))
_LEVEL_BEYOND = 3
"""How hard to pack, by the size of what is packed: a message costs 1 ms at 8 KiB, 30 ms at most up to a megabyte."""


@dataclass(frozen=True)
class Repacked:
    """What is put into the object store instead of the bytes that lie in the spool, and what it needs to open."""

    sealed: bytes = field(repr=False)
    dictionary: int | None = None
    parts: tuple[SharedPart, ...] = ()
    sealed_summary: bytes | None = field(default=None, repr=False)


class Repack(Protocol):
    """Makes the bytes for the object store."""

    def repacked(self, stored: StoredMessage, sealed: bytes) -> Repacked:
        """What to put for a message, of its row and its bytes in the spool."""
        ...

    def record(self, connection: Connection, placed: Mapping[MessageId, Repacked]) -> None:
        """The rest of what must be true when the rows of these messages name their objects, in that transaction.

        ``StorageUnavailableError`` when something they need is gone meanwhile: repack them again.
        """
        ...


class Repacking:
    """Repacks with what the practice's mail shares. Of one worker's promotion."""

    def __init__(
        self,
        keystore: Keystore,
        keys: MessageKeys,
        parts: PartKeeping,
        links: PartLinks,
        dictionaries: MailDictionaries,
        *,
        randomness: Randomness,
    ) -> None:
        self._keystore = keystore
        self._keys = keys
        self._parts = parts
        self._links = links
        self._dictionaries = dictionaries
        self._randomness = randomness

    @classmethod
    def over(
        cls,
        database: Database,
        keystore: Keystore,
        objects: ObjectStore,
        keys: MessageKeys,
        *,
        archive_key: bytes,
        clock: Clock,
        randomness: Randomness,
    ) -> Repacking:
        """Repacking put together from what it stands on."""
        return cls(
            keystore,
            keys,
            PartKeeping(database, objects, keys, archive_key, clock=clock, randomness=randomness),
            PartLinks(archive_key, randomness),
            MailDictionaries(database, keys),
            randomness=randomness,
        )

    def repacked(self, stored: StoredMessage, sealed: bytes) -> Repacked:
        """As ``Repack``. Raises ``TamperedError`` when the message does not open to what its row says."""
        key = self._keys.key(stored.id)
        content = open_sealed(sealed, key=key, context=content_context(stored.id))
        if len(content) != stored.size_bytes:
            raise TamperedError(f"message {stored.id} is not as long as its row says")
        parts: dict[PartId, tuple[SharedPart, bytes]] = {}
        with _dying_meanwhile():
            recipe = recipe_of(content, [self._shared(piece, parts) for piece in pieces_of(content)])
            repacked = self._sealed(stored.id, key, recipe, tuple(part for part, _ in parts.values()))
        nonce = self._randomness(NONCE_BYTES)
        summary = packed_summary(stored.sealed_summary, key=key, message=stored.id, nonce=nonce)
        if not parts and len(repacked.sealed) >= len(sealed):
            return Repacked(sealed, sealed_summary=summary)
        self._prove(stored.id, key, repacked, {name: data for name, (_, data) in parts.items()})
        return replace(repacked, sealed_summary=summary)

    def record(self, connection: Connection, placed: Mapping[MessageId, Repacked]) -> None:
        """As ``Repack``."""
        for number in {each.dictionary for each in placed.values()} - {None}:
            if number is not None and not dictionary_records.is_known(connection, number):
                raise StorageUnavailableError(f"dictionary {number} of the mail was destroyed meanwhile")
        named = {MessageId(part.id) for each in placed.values() for part in each.parts}
        if named and not all(self._keystore.has_key(part) for part in named):
            raise StorageUnavailableError("the key of a shared part was swept away before its row came")
        for message, each in placed.items():
            self._links.replace(connection, message, each.parts)

    def _shared(self, piece: Piece, parts: dict[PartId, tuple[SharedPart, bytes]]) -> Piece:
        if not isinstance(piece, Encoded) or len(piece.data) < SHARED_FROM_BYTES:
            return piece
        part = self._parts.kept(piece.data)
        parts[part.id] = (part, piece.data)
        return Shared(part.id, len(piece.data), piece.line)

    def _sealed(self, message: MessageId, key: MessageKey, recipe: Recipe, parts: tuple[SharedPart, ...]) -> Repacked:
        packed = recipe.to_bytes()
        dictionary = self._dictionaries.newest()
        sealed = seal(
            packed,
            key=key,
            context=recipe_context(message),
            randomness=self._randomness,
            level=_level(len(packed)),
            dictionary=dictionary,
        )
        return Repacked(sealed, dictionary_of(sealed) or None, parts)

    def _prove(self, message: MessageId, key: MessageKey, repacked: Repacked, parts: Mapping[PartId, bytes]) -> None:
        """The recipe's own digest says whether it comes back to the byte; an error here leaves the spool as it is."""
        packed = open_sealed(
            repacked.sealed, key=key, context=recipe_context(message), dictionaries=self._dictionaries.by_number
        )
        content_of(Recipe.from_bytes(packed), parts.__getitem__)


@contextmanager
def _dying_meanwhile() -> Iterator[None]:
    """A part or dictionary that dies at this moment says nothing about the message: it is promoted at the next try.

    Unlike the message's own, which means that nothing is left to promote.
    """
    try:
        yield
    except DestroyedError as error:
        raise StorageUnavailableError(f"what a message shares with others died meanwhile: {error.message}") from error


def _level(size: int) -> int:
    return next((level for largest, level in _LEVELS if size <= largest), _LEVEL_BEYOND)
