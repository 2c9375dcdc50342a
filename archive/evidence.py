"""Opens one message and says what schedules and holds need to know of it. What cannot be opened is said, not hidden."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from archive import archive_records, doubted_captures
from archive.index_document import IndexDocument
from archive.legal_hold import Evidence
from mailstore import mailboxes
from mailstore.addresses import parse_mailbox
from mailstore.database import Database
from mailstore.errors import StorageUnavailableError, StrongroomError
from mailstore.key_hierarchy import address_index
from mailstore.message import MessageId, StoredMessage

CapturedAt = Callable[[MessageId], datetime | None]
"""When the archive captured a message, by the trusted time; None when it has not yet."""

OwnMailboxes = Callable[[Collection[str]], frozenset[str]]
"""The ids of the mailboxes here that these canonical addresses name; addresses of others are left out."""


def own_mailboxes_of(database: Database, lookup_key: bytes) -> OwnMailboxes:
    """Looks addresses up among those of our mailboxes."""

    def look_up(addresses: Collection[str]) -> frozenset[str]:
        indexes = [address_index(lookup_key, parse_mailbox(address)) for address in addresses]
        with database.read() as connection:
            return mailboxes.named_by(connection, indexes)

    return look_up


def captured_at_of(database: Database) -> CapturedAt:
    """Looks it up in the archive."""

    def look_up(message: MessageId) -> datetime | None:
        with database.read() as connection:
            entry = archive_records.find(connection, message)
            return None if entry is None else doubted_captures.proved_at(connection, message) or entry.captured_at

    return look_up


@dataclass(frozen=True)
class ReadDocument:
    """A message taken apart. ``unread_parts`` counts what may hold text and could not be read.

    ``unread_reasons`` says why in one plain word each, where that is known.
    """

    document: IndexDocument = field(repr=False)
    unread_parts: int
    unread_reasons: tuple[str, ...] = ()


class DocumentSource(Protocol):
    """Opens a message and takes it apart. Raises ``StrongroomError`` when it cannot be opened."""

    def read(self, message: StoredMessage) -> ReadDocument:
        """The document of the message itself, never of the index."""
        ...


class EvidenceReader:
    """Gathers ``Evidence`` of single messages."""

    def __init__(self, *, documents: DocumentSource, own_mailboxes: OwnMailboxes, captured_at: CapturedAt) -> None:
        self._documents = documents
        self._own_mailboxes = own_mailboxes
        self._captured_at = captured_at

    def of(self, message: StoredMessage) -> Evidence:
        """What is known of the message. One that is damaged or cannot be taken apart has no document.

        Raises ``StorageUnavailableError``: a disk that does not answer now says nothing about the message.
        """
        captured_at = self._captured_at(message.id)
        try:
            read = self._documents.read(message)
        except StorageUnavailableError:
            raise
        except StrongroomError:
            return Evidence(message.received_at, document=None, is_whole=False, captured_at=captured_at)
        return replace(self.of_document(read), captured_at=captured_at)

    def of_document(self, read: ReadDocument) -> Evidence:
        """The same for a message that is open already and not captured yet."""
        addresses = {address for found in read.document.addresses.values() for address in found}
        return Evidence(
            received_at=read.document.received_at,
            document=read.document,
            is_whole=not read.unread_parts,
            mailboxes=self._own_mailboxes(addresses),
        )
