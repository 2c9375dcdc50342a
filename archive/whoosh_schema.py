"""How a document lies in a Whoosh segment: words with their places, facts as whole terms, two columns.

No text of a message is stored, only words with their places; what a result shows comes from the sealed message.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from struct import pack, unpack
from typing import Any

from whoosh.columns import FixedBytesColumn, NumericColumn
from whoosh.fields import FieldType, Schema
from whoosh.formats import Existence, Format

from archive.index_document import Field, IndexDocument
from archive.words import fold
from mailstore.instants import microseconds
from mailstore.message import MessageId

ID = "id"
CATEGORY = "category"
HAS = "has"
RECEIVED_AT = "received_at"
ATTACHMENT = "attachment"
"""The one term of ``HAS``."""

ID_BYTES = 26
_PLACE_BYTES = 4

_Term = tuple[bytes, int, float, bytes]
"""What Whoosh takes: the term, how often, its weight (always 1: nothing is scored), the encoded places."""


class PlacesFormat(Format):  # type: ignore[misc]  # whoosh carries no types
    """A posting's value: the places of the word in the field, 32-bit little-endian numbers."""

    posting_size = -1

    def decode_frequency(self, value: bytes) -> int:
        """How often the word stands in the field."""
        return len(value) // _PLACE_BYTES


def places_in(value: bytes) -> tuple[int, ...]:
    """The places that a posting's value tells."""
    return unpack(f"<{len(value) // _PLACE_BYTES}I", value)


class WordsField(FieldType):  # type: ignore[misc]  # whoosh carries no types
    """Words of separate texts, one place apart within a text and two between texts, so that no phrase crosses.

    Whole addresses are terms too, at place 0; they hold an @ and so are never mistaken for words.
    """

    def __init__(self) -> None:
        super().__init__(PlacesFormat(), analyzer=None)

    def index(self, value: tuple[Iterable[list[str]], Iterable[str]], **_: Any) -> Iterator[_Term]:
        """The terms of one field of one document."""
        texts, addresses = value
        places: defaultdict[str, list[int]] = defaultdict(list)
        start = 1
        for words in texts:
            for place, word in enumerate(words, start):
                places[word].append(place)
            start += len(words) + 1
        for word, found in places.items():
            yield word.encode(), 1, 1.0, pack(f"<{len(found)}I", *found)
        for address in addresses:
            yield address.encode(), 1, 1.0, pack("<I", 0)


class FactField(FieldType):  # type: ignore[misc]  # whoosh carries no types
    """A fact as one whole term; ``column`` keeps it readable by document as well."""

    def __init__(self, column: Any = None) -> None:
        super().__init__(Existence(), analyzer=None, sortable=column)

    def index(self, value: str, **_: Any) -> Iterator[_Term]:
        """The one term."""
        yield value.encode(), 1, 1.0, b""


class MomentField(FieldType):  # type: ignore[misc]  # whoosh carries no types
    """Microseconds since 1970 by document, not searchable as a term."""

    indexed = False

    def __init__(self) -> None:
        super().__init__(None, analyzer=None, sortable=NumericColumn("q"))

    def to_column_value(self, value: int) -> int:
        """The number itself."""
        return value


def schema() -> Schema:
    """The schema of every segment."""
    words = {name.value: WordsField() for name in Field}
    facts = {ID: FactField(FixedBytesColumn(ID_BYTES)), CATEGORY: FactField(), HAS: FactField()}
    return Schema(**words, **facts, **{RECEIVED_AT: MomentField()})


def terms_of(document: IndexDocument) -> dict[str, Any]:
    """The document as the keyword arguments of Whoosh's ``add_document``."""
    fields: dict[str, Any] = {
        name.value: (texts, document.addresses.get(name, ())) for name, texts in document.words.items() if texts
    }
    fields |= {ID: document.id, CATEGORY: fold(document.category), RECEIVED_AT: microseconds(document.received_at)}
    return fields | ({HAS: ATTACHMENT} if document.has_attachment else {})


def message_of(column_value: bytes) -> MessageId:
    """The id that a column tells."""
    return MessageId(column_value.decode("ascii"))
