"""Core: what a query means once it is understood, and whether a message is what it asks for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias, assert_never

from archive.index_document import EVERYWHERE, Direction, Field, IndexDocument
from archive.words import fold
from mailstore.message import MessageId


@dataclass(frozen=True)
class Words:
    """These words next to each other in one text of the field; without a field, in any of ``EVERYWHERE``."""

    where: Field | None
    words: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True)
class Prefix:
    """A word that begins like this."""

    where: Field | None
    start: str = field(repr=False)


@dataclass(frozen=True)
class AddressIs:
    """Exactly this mailbox, in its canonical spelling."""

    where: Field
    address: str = field(repr=False)


@dataclass(frozen=True)
class IdIs:
    """The message of this id."""

    id: MessageId


@dataclass(frozen=True)
class CategoryIs:
    """Classified so; compared folded and whole."""

    name: str


@dataclass(frozen=True)
class ReceivedFrom:
    """Received at this instant or later."""

    instant: datetime


@dataclass(frozen=True)
class ReceivedBefore:
    """Received earlier than this instant."""

    instant: datetime


@dataclass(frozen=True)
class HasAttachment:
    """Carries at least one attachment."""


@dataclass(frozen=True)
class SenderDomainIs:
    """From an address of exactly this domain, in its canonical spelling."""

    domain: str = field(repr=False)


@dataclass(frozen=True)
class DirectionIs:
    """Received, sent, or written by the appliance itself."""

    direction: Direction


@dataclass(frozen=True)
class Not:
    """Everything that ``query`` does not match."""

    query: Query


@dataclass(frozen=True)
class AllOf:
    """What every one of these matches."""

    queries: tuple[Query, ...]


@dataclass(frozen=True)
class AnyOf:
    """What at least one of these matches."""

    queries: tuple[Query, ...]


TextCondition: TypeAlias = Words | Prefix | AddressIs
MarkCondition: TypeAlias = CategoryIs | HasAttachment | SenderDomainIs | DirectionIs
"""What is one word about a whole message."""

FactCondition: TypeAlias = IdIs | ReceivedFrom | ReceivedBefore | MarkCondition
Leaf: TypeAlias = TextCondition | FactCondition
Query: TypeAlias = Leaf | Not | AllOf | AnyOf


def leaves(query: Query) -> Iterator[Leaf]:
    """The conditions of a query, in the order they were written, whatever joins them."""
    match query:
        case Not(inner):
            yield from leaves(inner)
        case AllOf(queries) | AnyOf(queries):
            for part in queries:
                yield from leaves(part)
        case _:
            yield query


def matches(query: Query, document: IndexDocument) -> bool:
    """True when the message is one of those that the query asks for: the same answer as the index gives."""
    match query:
        case Not(inner):
            return not matches(inner, document)
        case AllOf(queries):
            return all(matches(part, document) for part in queries)
        case AnyOf(queries):
            return any(matches(part, document) for part in queries)
        case Words() | Prefix() | AddressIs():
            return _text_matches(query, document)
        case _:
            return _fact_matches(query, document)


def _text_matches(condition: TextCondition, document: IndexDocument) -> bool:
    match condition:
        case Words(where, words):
            return any(_holds_words(document, name, words) for name in fields_of(where))
        case Prefix(where, start):
            return any(word.startswith(start) for name in fields_of(where) for word in document.vocabulary[name])
        case AddressIs(where, address):
            return address in document.addresses[where]
        case _:
            assert_never(condition)


def _fact_matches(condition: FactCondition, document: IndexDocument) -> bool:
    match condition:
        case IdIs(message):
            return document.id == message
        case ReceivedFrom(instant):
            return document.received_at >= instant
        case ReceivedBefore(instant):
            return document.received_at < instant
        case _:
            return _mark_matches(condition, document)


def _mark_matches(condition: MarkCondition, document: IndexDocument) -> bool:
    match condition:
        case CategoryIs(category):
            return fold(document.category) == category
        case HasAttachment():
            return document.has_attachment
        case SenderDomainIs(domain):
            return document.sender_domain == domain
        case DirectionIs(direction):
            return document.direction is direction
        case _:
            assert_never(condition)


def marks_of(document: IndexDocument) -> Iterator[MarkCondition]:
    """Every one-word condition that a message meets: what an index keeps of it beside words and addresses."""
    yield CategoryIs(fold(document.category))
    yield SenderDomainIs(document.sender_domain)
    yield DirectionIs(document.direction)
    if document.has_attachment:
        yield HasAttachment()


def fields_of(where: Field | None) -> tuple[Field, ...]:
    """The fields that a condition looks into."""
    return EVERYWHERE if where is None else (where,)


def _holds_words(document: IndexDocument, name: Field, words: tuple[str, ...]) -> bool:
    if not document.vocabulary[name].issuperset(words):
        return False
    return len(words) == 1 or any(_holds_phrase(text, list(words)) for text in document.words[name])


def _holds_phrase(text: list[str], words: list[str]) -> bool:
    last = len(text) - len(words)
    return any(text[at : at + len(words)] == words for at in range(last + 1) if text[at] == words[0])
