"""Core: what a search, a hold and a rule may look at in one message, whether it is indexed or not.

Queries are answered from the index, rules and holds from the message itself. Both see this one document, cut into
words by ``archive.words``, so that they cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from itertools import chain

import idna

from archive import words
from archive.words import words_of
from mailstore.addresses import Address, header_addresses
from mailstore.message import Envelope, MessageId, Origin

DEFINITION = f"{words.DEFINITION}/2"
"""What a word is, and the version of what else a query may look at. An index made under another is made anew."""


class Field(StrEnum):
    """A part of a message that a query can name."""

    FROM = "from"
    TO = "to"
    CC = "cc"
    BCC = "bcc"
    PARTICIPANT = "participant"
    SUBJECT = "subject"
    BODY = "body"
    FILENAME = "filename"
    ATTACHMENT = "attachment"


class Direction(StrEnum):
    """Which way a message went, by the door through which it came in: what a sender claims makes no difference."""

    RECEIVED = "received"
    SENT = "sent"
    SYSTEM = "system"


_DIRECTIONS = {
    Origin.SMTP: Direction.RECEIVED,
    Origin.PORTAL: Direction.RECEIVED,
    Origin.SUBMISSION: Direction.SENT,
    Origin.WEBMAIL: Direction.SENT,
    Origin.SYSTEM: Direction.SYSTEM,
}


def direction_of(origin: Origin) -> Direction:
    """RECEIVED: from another server or from a patient. SENT: written by staff. SYSTEM: written by ourselves."""
    return _DIRECTIONS[origin]


ADDRESS_FIELDS = frozenset({Field.FROM, Field.TO, Field.CC, Field.BCC, Field.PARTICIPANT})

EVERYWHERE = (Field.SUBJECT, Field.PARTICIPANT, Field.BODY, Field.FILENAME, Field.ATTACHMENT)
"""Where a word without a field is looked for; the participants include everyone in from, to, cc and bcc."""

# RFC 5322 section 3.6: the fields that name people, by what a query calls them.
_HEADER_FIELDS = {
    Field.FROM: ("from", "sender"),
    Field.TO: ("to",),
    Field.CC: ("cc",),
    Field.BCC: ("bcc",),
    Field.PARTICIPANT: ("reply-to", "resent-from", "resent-sender", "resent-to", "resent-cc", "resent-bcc"),
}


_WORKED_OUT = frozenset({"words", "vocabulary"})


@dataclass(frozen=True)
class IndexDocument:
    """One message as a query sees it.

    ``texts`` holds the separate texts of each field: a phrase is found within one of them, never across two.
    ``addresses`` holds canonical addresses. ``received_at`` is our own clock's, in UTC.
    ``size_bytes`` is the size of the message as it was taken in. ``sender_domain`` is the canonical domain of the
    first address in the From field, of the envelope's sender when there is none, else empty.
    """

    id: MessageId
    received_at: datetime
    category: str
    has_attachment: bool
    texts: Mapping[Field, tuple[str, ...]] = field(repr=False)
    addresses: Mapping[Field, frozenset[str]] = field(repr=False)
    size_bytes: int = 0
    sender_domain: str = ""
    direction: Direction = Direction.RECEIVED

    @cached_property
    def words(self) -> Mapping[Field, tuple[list[str], ...]]:
        """The words of each text of each field, folded."""
        return {name: tuple(map(words_of, texts)) for name, texts in self.texts.items()}

    @cached_property
    def vocabulary(self) -> Mapping[Field, frozenset[str]]:
        """The distinct words of each field."""
        return {name: frozenset(chain.from_iterable(texts)) for name, texts in self.words.items()}

    def in_category(self, category: str) -> IndexDocument:
        """The same message, classified. What was cut into words stays cut."""
        if category == self.category:
            return self
        other = replace(self, category=category)
        vars(other).update({name: found for name, found in vars(self).items() if name in _WORKED_OUT})
        return other


@dataclass(frozen=True)
class _People:
    """Names and addresses gathered for one field."""

    texts: tuple[str, ...] = ()
    addresses: frozenset[str] = frozenset()

    def __or__(self, other: _People) -> _People:
        """Everyone of both."""
        return _People(tuple(dict.fromkeys(self.texts + other.texts)), self.addresses | other.addresses)


def document_of(
    *,
    message: MessageId,
    received_at: datetime,
    category: str,
    envelope: Envelope,
    header_fields: Mapping[str, Iterable[str]],
    subjects: Iterable[str],
    bodies: Iterable[str],
    file_names: Iterable[str],
    attachment_texts: Iterable[str],
    has_attachment: bool,
    size_bytes: int = 0,
    direction: Direction = Direction.RECEIVED,
) -> IndexDocument:
    """The document of one message.

    ``header_fields`` maps lower-case names to all values of that field as they were sent: when a field stands there
    twice, both count, so that a second one hides nothing. ``bodies`` and ``attachment_texts`` are plain text.
    """
    people = {name: _from_headers(header_fields, sources) for name, sources in _HEADER_FIELDS.items()}
    people[Field.FROM] |= _from_envelope([envelope.sender] if envelope.sender else [])
    people[Field.BCC] |= _from_envelope(_blind(envelope, people))
    people[Field.PARTICIPANT] = _everyone(people) | _from_envelope(envelope.recipients)
    texts = {name: found.texts for name, found in people.items()} | {
        Field.SUBJECT: tuple(subjects),
        Field.BODY: tuple(bodies),
        Field.FILENAME: tuple(file_names),
        Field.ATTACHMENT: tuple(attachment_texts),
    }
    addresses = {name: found.addresses for name, found in people.items()}
    return IndexDocument(
        id=message,
        received_at=received_at,
        category=category,
        has_attachment=has_attachment,
        texts=texts,
        addresses=addresses,
        size_bytes=size_bytes,
        sender_domain=_sender_domain(header_fields, envelope),
        direction=direction,
    )


def _sender_domain(header_fields: Mapping[str, Iterable[str]], envelope: Envelope) -> str:
    written = (entry.address for value in header_fields.get("from", ()) for entry in header_addresses(value))
    sender = next(filter(None, written), envelope.sender)
    return sender.canonical.rpartition("@")[2] if sender else ""


def _blind(envelope: Envelope, people: Mapping[Field, _People]) -> list[Address]:
    """Envelope recipients that no To or Cc field names: the blind copies (RFC 5322 section 3.6.3)."""
    named = people[Field.TO].addresses | people[Field.CC].addresses
    return [recipient for recipient in envelope.recipients if recipient.canonical not in named]


def _everyone(people: Mapping[Field, _People]) -> _People:
    everyone = _People()
    for found in people.values():
        everyone |= found
    return everyone


def _from_headers(header_fields: Mapping[str, Iterable[str]], sources: Iterable[str]) -> _People:
    found = _People()
    for value in chain.from_iterable(header_fields.get(source, ()) for source in sources):
        for entry in header_addresses(value):
            found |= _People((entry.display_name,) if entry.display_name else ())
            found |= _from_envelope([entry.address]) if entry.address else _People((entry.raw,))
    return found


def _from_envelope(addresses: Iterable[Address]) -> _People:
    found = tuple(addresses)
    texts = chain.from_iterable(map(_spellings, found))
    return _People(tuple(dict.fromkeys(texts)), frozenset(address.canonical for address in found))


def _spellings(address: Address) -> list[str]:
    """The address as written and, for an internationalised domain, also in its other form (RFC 5890)."""
    if address.domain.isascii() and "xn--" not in address.domain.lower():
        return [address.text]
    canonical = address.canonical
    local, _, domain = canonical.rpartition("@")
    try:
        return [address.text, canonical, f"{local}@{idna.decode(domain)}"]
    except idna.IDNAError:
        return [address.text, canonical]
