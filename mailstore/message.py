"""Core: the nouns of a message on its way through the house.

``content`` is always the very bytes that came after DATA with dot-stuffing undone (RFC 5321 section 4.5.2).
Trace fields that we add are kept beside them, never in them.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NewType

from mailstore.addresses import Address, header_addresses

MessageId = NewType("MessageId", str)
"""Our own name for a message: 26 characters of base32, random, says nothing. Not the Message-ID header field."""

AccountId = NewType("AccountId", str)
"""A person who can sign in: 26 characters of base32, random."""

ID_BYTES = 16


def identifier_from(randomness: bytes) -> str:
    """An identifier made of 16 random bytes: 26 characters of lower-case base32 without padding."""
    if len(randomness) != ID_BYTES:
        raise ValueError("an identifier takes 16 random bytes")
    return base64.b32encode(randomness).decode("ascii").rstrip("=").lower()


class Origin(StrEnum):
    """The door through which a message came in."""

    SMTP = "smtp"
    SUBMISSION = "submission"
    WEBMAIL = "webmail"
    PORTAL = "portal"
    SYSTEM = "system"


class Route(StrEnum):
    """How a message reaches one recipient. UNDECIDED: an outside recipient whose server was not asked yet."""

    MAILBOX = "mailbox"
    TLS = "tls"
    PORTAL = "portal"
    UNDECIDED = "undecided"


class RecipientState(StrEnum):
    """Where one recipient's copy stands."""

    QUEUED = "queued"
    DEFERRED = "deferred"
    DELIVERED = "delivered"
    NOTIFIED = "notified"
    OPENED = "opened"
    FAILED = "failed"


class Scan(StrEnum):
    """What the scanners of the door said of a message. OFF: nobody asked. UNSCANNED: one of them gave no answer."""

    OFF = ""
    CLEAN = "clean"
    JUNK = "junk"
    UNSCANNED = "unscanned"


@dataclass(frozen=True)
class Envelope:
    """The SMTP envelope (RFC 5321 section 2.3.1). ``sender`` is None for the null reverse-path ``<>``."""

    sender: Address | None
    recipients: tuple[Address, ...]


@dataclass(frozen=True)
class Peer:
    """Who handed us the message, as the trace field will say."""

    address: str = ""
    helo: str = ""
    tls: str = ""
    account: AccountId | None = None


@dataclass(frozen=True)
class ReceivedMessage:
    """A message at the front door: frozen, whole, and not yet promised to anyone."""

    envelope: Envelope
    content: bytes = field(repr=False)
    received_at: datetime
    origin: Origin
    peer: Peer = Peer()
    scan: Scan = Scan.OFF


@dataclass(frozen=True)
class MessageSummary:
    """What a list shows of a message. Sealed under the message's own key: it dies with it.

    ``sender`` and ``recipients`` are the envelope; the other addresses are header fields as displayed.
    """

    subject: str = field(default="", repr=False)
    from_: str = field(default="", repr=False)
    to: str = field(default="", repr=False)
    cc: str = field(default="", repr=False)
    date: str = field(default="", repr=False)
    header_message_id: str = field(default="", repr=False)
    references: tuple[str, ...] = field(default=(), repr=False)
    sender: str = field(default="", repr=False)
    recipients: tuple[str, ...] = field(default=(), repr=False)
    trace_fields: str = field(default="", repr=False)

    @property
    def shown_sender(self) -> str:
        """Who a list says it is from: what From says, or the envelope's sender when From names nobody."""
        names_somebody = any(each.display_name or each.address for each in header_addresses(self.from_))
        return self.from_ if names_somebody else self.sender


@dataclass(frozen=True)
class RecipientPlan:
    """One recipient's way, decided or still to be decided, with the reasons in plain words."""

    address: Address
    route: Route
    reasons: tuple[str, ...] = field(repr=False)
    state: RecipientState
    mailbox: str | None = None


@dataclass(frozen=True)
class StoredObject:
    """A sealed copy in the object store: its name, its length in bytes, and the SHA-256 of its bytes.

    ``dictionary`` is the number of the one without which it does not open, if there is one.
    """

    name: str
    length: int
    digest: bytes = field(repr=False)
    dictionary: int | None = None


@dataclass(frozen=True)
class StoredMessage:
    """A message that is durably ours: the row, verified, without anything that needs the message key.

    ``segment``/``offset`` say where the copy in the spool lies, of ``sealed_length`` bytes with the SHA-256
    ``sealed_digest``; ``segment`` is None once that copy was released. ``object`` is the copy in the object store,
    None before ``promoted_at``. For a while a message has both (``sealed_copies``).
    """

    id: MessageId
    received_at: datetime
    origin: Origin
    size_bytes: int
    conversation: str
    sender_index: bytes = field(repr=False)
    author: AccountId | None
    segment: str | None
    offset: int
    sealed_length: int
    sealed_digest: bytes = field(repr=False)
    object_name: str | None
    sealed_summary: bytes = field(repr=False)
    object_length: int | None = None
    object_digest: bytes | None = field(default=None, repr=False)
    promoted_at: datetime | None = None
    object_dictionary: int | None = None

    @property
    def object(self) -> StoredObject | None:
        """The copy in the object store."""
        if self.object_name is None or self.object_length is None or self.object_digest is None:
            return None
        return StoredObject(self.object_name, self.object_length, self.object_digest, self.object_dictionary)


@dataclass(frozen=True)
class StoredRecipient:
    """One recipient row, verified and opened. ``position`` is its place in the envelope, from 0."""

    message: MessageId
    position: int
    address: str = field(repr=False)
    route: Route
    reasons: tuple[str, ...] = field(repr=False)
    state: RecipientState
    attempts: int
    changed_at: datetime
    last_reply: str = field(default="", repr=False)
