"""How a document lies in a segment of the index: terms with their places, and two columns.

No text of a message is stored, only words with their places; what a result shows comes from the sealed message.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import assert_never

from whoosh.columns import FixedBytesColumn, NumericColumn
from whoosh.fields import COLUMN, Schema

from archive.index_document import Field, IndexDocument
from archive.posting_file import packed_places
from archive.query_conditions import CategoryIs, DirectionIs, HasAttachment, MarkCondition, SenderDomainIs, marks_of

ID_BYTES = 26
ID_COLUMN = FixedBytesColumn(ID_BYTES)
RECEIVED_COLUMN = NumericColumn("q")
"""Microseconds since 1970."""

SCHEMA = Schema(id=COLUMN(ID_COLUMN), received_at=COLUMN(RECEIVED_COLUMN))

_FIELD_MARKS = {name: bytes([number]) for number, name in enumerate(Field, start=1)}
CATEGORY_MARK = b"\x40"
HAS_ATTACHMENT = b"\x41"
DOMAIN_MARK = b"\x42"
DIRECTION_MARK = b"\x43"

_NO_PLACES = b""
_ADDRESS_PLACE = packed_places([0])


def word_term(name: Field, word: str) -> bytes:
    """A word in a field, or the beginning of one."""
    return _FIELD_MARKS[name] + word.encode()


address_term = word_term
"""A whole address is a term beside its words. It holds an @ and no word does, so they are never mistaken."""


def mark_term(condition: MarkCondition) -> bytes:
    """One word about a whole message: its folded category, its sender's domain, its direction."""
    match condition:
        case CategoryIs(name):
            return CATEGORY_MARK + name.encode()
        case SenderDomainIs(domain):
            return DOMAIN_MARK + domain.encode()
        case DirectionIs(direction):
            return DIRECTION_MARK + direction.encode()
        case HasAttachment():
            return HAS_ATTACHMENT
        case _:
            assert_never(condition)


def terms_of(document: IndexDocument) -> Iterator[tuple[bytes, bytes]]:
    """Every term of a document with its packed places."""
    for name, texts in document.words.items():
        mark = _FIELD_MARKS[name]
        for word, places in _places(texts).items():
            yield mark + word.encode(), packed_places(places)
    for name, addresses in document.addresses.items():
        for address in addresses:
            yield address_term(name, address), _ADDRESS_PLACE
    yield from ((mark_term(each), _NO_PLACES) for each in marks_of(document))


def _places(texts: tuple[list[str], ...]) -> dict[str, list[int]]:
    """Words stand one place apart within a text and two apart between texts, so that no phrase crosses."""
    places: defaultdict[str, list[int]] = defaultdict(list)
    start = 1
    for words in texts:
        for place, word in enumerate(words, start):
            places[word].append(place)
        start += len(words) + 1
    return places
