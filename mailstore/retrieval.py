"""Opening what was stored, for someone the caller found entitled.

Each open asks the keystore for the wrapped key anew (``message_keys``), so that nothing opens after its destruction.
Bytes are held against the digest in the sealed row before any key touches them, and come from whichever copy is whole
(``sealed_copies``).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mailstore import message_records, recipe, sealed_columns, sealed_copies
from mailstore.database import Database
from mailstore.dictionary_records import MailDictionaries
from mailstore.errors import DestroyedError, NotFoundError, StrongroomError, TamperedError
from mailstore.key_hierarchy import MessageKey
from mailstore.message import MessageId, MessageSummary, StoredMessage, StoredRecipient
from mailstore.message_columns import RecipientRow
from mailstore.message_keys import MessageKeys
from mailstore.object_store import ObjectStore
from mailstore.recipe import Recipe
from mailstore.sealed_columns import RecipientDetail, content_context, recipe_context
from mailstore.sealed_copies import SealedBytes
from mailstore.sealed_format import NONCE_BYTES, Randomness, open_sealed
from mailstore.shared_parts import SharedParts

DAMAGED = MessageSummary(subject="(this message is damaged and cannot be shown)")
"""What lists show of a message whose key or summary is missing or not what was written. Opening it is refused."""


class Retrieval:
    """Opens bodies and columns with the keys of their messages. Safe to use from many threads.

    ``reads_second_copy``: the object store is elsewhere, so that what the spool still has may stand in for it.
    """

    def __init__(
        self,
        database: Database,
        keys: MessageKeys,
        spool_directory: Path,
        objects: ObjectStore,
        *,
        randomness: Randomness,
        reads_second_copy: bool = True,
    ) -> None:
        self._database = database
        self._reads_second_copy = reads_second_copy
        self._spool_directory = spool_directory
        self._objects = objects
        self._keys = keys
        self._parts = SharedParts(database, objects, keys)
        self._dictionaries = MailDictionaries(database, keys)
        self._randomness = randomness

    def content(self, message: MessageId) -> bytes:
        """The very bytes that came after DATA.

        Raises ``NotFoundError``, ``DestroyedError``, ``WrongKeyError`` with another ring, and ``TamperedError``
        naming the row, object or segment of which a byte is not what was written.
        """
        return self.content_of(self._stored(message))

    def content_of(self, stored: StoredMessage) -> bytes:
        """As ``content``, for whoever read the row just now."""
        key = self._key(stored.id)
        try:
            found = self._sealed_bytes(stored)
        except TamperedError:
            found = self._moved_meanwhile(stored)
        try:
            content = self._opened(stored, found, key)
        except StrongroomError as error:
            raise type(error)(f"{found.copy.name} of message {stored.id}: {error.message}") from error
        if len(content) != stored.size_bytes:
            raise TamperedError(f"{found.copy.name} of message {stored.id} is not as long as its row says")
        return content

    def prove_key(self, message: MessageId) -> None:
        """Unwrap a message's key and forget it. Raises as ``content`` does when it does not open."""
        self._key(message)

    def summary(self, stored: StoredMessage) -> MessageSummary:
        """What a list shows of a message. Raises as ``content`` does."""
        return _summary(stored, self._key(stored.id))

    def summaries(self, messages: Iterable[StoredMessage]) -> dict[MessageId, MessageSummary]:
        """The summaries of many messages, for lists: one that is damaged is ``DAMAGED``, and hides no other.

        Those that were destroyed meanwhile are left out.
        """
        asked = list(messages)
        keys = self._keys.keys([stored.id for stored in asked])
        found: dict[MessageId, MessageSummary] = {}
        for stored in asked:
            try:
                found[stored.id] = _summary(stored, keys[stored.id])
            except DestroyedError:
                continue
            except (TamperedError, NotFoundError):
                found[stored.id] = DAMAGED
        return found

    def recipients(self, message: MessageId) -> list[StoredRecipient]:
        """The recipients of a message, by their place in the envelope. Raises as ``content`` does."""
        with self._database.read() as connection:
            rows = message_records.recipient_rows(connection, message)
        key = self._key(message)
        return [_recipient(message, row, key) for row in rows]

    def recipient(self, message: MessageId, position: int) -> StoredRecipient:
        """One recipient of a message. Raises as ``content`` does."""
        with self._database.read() as connection:
            row = message_records.recipient_row(connection, message, position)
        return _recipient(message, row, self._key(message))

    def seal_detail(self, message: MessageId, position: int, detail: RecipientDetail) -> bytes:
        """The ``sealed_detail`` column for a recipient of whom more is known now."""
        nonce = self._randomness(NONCE_BYTES)
        return sealed_columns.ColumnSealer(self._key(message), message).detail(detail, position=position, nonce=nonce)

    def _stored(self, message: MessageId) -> StoredMessage:
        with self._database.read() as connection:
            return message_records.stored(connection, message)

    def _sealed_bytes(self, stored: StoredMessage) -> SealedBytes:
        """Of a message that has left the spool for the same disk, the one copy that counts."""
        copies = sealed_copies.copies_of(stored)
        chosen = copies if self._reads_second_copy else copies[-1:]
        return sealed_copies.read_any(chosen, spool_directory=self._spool_directory, objects=self._objects)

    def _moved_meanwhile(self, before: StoredMessage) -> SealedBytes:
        """Between the row and the bytes the message may have been moved or destroyed: look once more."""
        stored = self._stored(before.id)
        self._key(before.id)
        return self._sealed_bytes(stored)

    def _opened(self, stored: StoredMessage, found: SealedBytes, key: MessageKey) -> bytes:
        """The content of a copy. One in the store that is not the spool's very bytes is a recipe."""
        if not found.copy.is_in_store or found.copy.digest == stored.sealed_digest:
            return open_sealed(found.sealed, key=key, context=content_context(stored.id))
        context = recipe_context(stored.id)
        packed = open_sealed(found.sealed, key=key, context=context, dictionaries=self._dictionaries.by_number)
        return recipe.content_of(Recipe.from_bytes(packed), self._parts.content)

    def _key(self, message: MessageId) -> MessageKey:
        return self._keys.key(message)


def _summary(stored: StoredMessage, key: MessageKey | StrongroomError) -> MessageSummary:
    """The summary with its key, or what is wrong with the key."""
    if isinstance(key, StrongroomError):
        raise key
    return sealed_columns.open_summary(stored.sealed_summary, key=key, message=stored.id)


def _recipient(message: MessageId, row: RecipientRow, key: MessageKey) -> StoredRecipient:
    detail = sealed_columns.open_detail(row.sealed_detail, key=key, message=message, position=row.position)
    return StoredRecipient(
        message=message,
        position=row.position,
        address=detail.address,
        route=row.route,
        reasons=detail.reasons,
        state=row.state,
        attempts=row.attempts,
        changed_at=row.changed_at,
        last_reply=detail.last_reply,
    )
