"""One segment of the index, asked: conditions become sets of document numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from typing import assert_never

from whoosh.codec.whoosh3 import W3Segment

from archive.index_document import Field
from archive.posting_file import PostingFile, Postings
from archive.query_conditions import (
    AddressIs,
    AllOf,
    AnyOf,
    CategoryIs,
    FactCondition,
    HasAttachment,
    IdIs,
    Not,
    Prefix,
    Query,
    ReceivedBefore,
    ReceivedFrom,
    TextCondition,
    Words,
    fields_of,
)
from archive.sealed_index_storage import SealedIndexStorage
from archive.search_index import QueryTooWideError
from archive.whoosh_schema import (
    HAS_ATTACHMENT,
    ID_COLUMN,
    RECEIVED_COLUMN,
    address_term,
    category_term,
    word_term,
)
from mailstore.instants import microseconds
from mailstore.message import MessageId

POSTINGS = ".postings"
"""How the file of a segment's postings ends."""

MOST_PREFIX_WORDS = 2_000
"""Words of one segment and field that one prefix may stand for."""

Documents = frozenset[int]


class Deadline:
    """A moment after which a query is given up."""

    def __init__(self, *, seconds: float) -> None:
        self._ends = time.monotonic() + seconds

    def check(self) -> None:
        """Raises ``QueryTooWideError`` once the time is over."""
        if time.monotonic() > self._ends:
            raise QueryTooWideError(
                "the query reads too large a part of the archive",
                fix="Add a date, a field or another word.",
            )


class IndexSegment:
    """A segment that is open, with its ids and dates by document number."""

    def __init__(self, storage: SealedIndexStorage, segment: W3Segment) -> None:
        self.name: str = segment.segment_id()
        name = segment.make_filename(POSTINGS)
        self._file = storage.open_file(name)
        self._postings = PostingFile(self._file, storage.file_length(name))
        columns = segment.codec().per_document_reader(storage, segment)
        self.ids: list[MessageId] = [MessageId(v.decode()) for v in columns.column_reader("id", ID_COLUMN)]
        self.received: list[int] = list(columns.column_reader("received_at", RECEIVED_COLUMN))
        columns.close()
        self.numbers: dict[MessageId, int] = {message: number for number, message in enumerate(self.ids)}
        self._all: Documents = frozenset(range(len(self.ids)))

    def close(self) -> None:
        """Let go of its files."""
        self._file.close()

    def holds(self, messages: Collection[MessageId]) -> bool:
        """True when any of these messages is in it."""
        return not self.numbers.keys().isdisjoint(messages)

    def all_postings(self) -> Iterator[tuple[bytes, Postings]]:
        """Everything it holds, term by term in order."""
        return self._postings.beginning_with(b"")

    def matching(self, query: Query, deadline: Deadline) -> Documents:
        """The documents that the query asks for."""
        deadline.check()
        match query:
            case Not(inner):
                return self._all - self.matching(inner, deadline)
            case AllOf(queries):
                return self._matching_all(queries, deadline)
            case AnyOf(queries):
                return frozenset().union(*(self.matching(part, deadline) for part in queries))
            case Words() | Prefix() | AddressIs():
                return self._with_text(query, deadline)
            case _:
                return self._with_fact(query)

    def _matching_all(self, queries: tuple[Query, ...], deadline: Deadline) -> Documents:
        found = self._all
        for part in queries:
            found &= self.matching(part, deadline)
            if not found:
                break
        return found

    def _with_text(self, condition: TextCondition, deadline: Deadline) -> Documents:
        match condition:
            case Words(where, words):
                found = (self._with_words(name, words, deadline) for name in fields_of(where))
            case Prefix(where, start):
                found = (self._with_prefix(name, start, deadline) for name in fields_of(where))
            case AddressIs(where, address):
                return self._having(address_term(where, address))
            case _:
                assert_never(condition)
        return frozenset().union(*found)

    def _with_fact(self, condition: FactCondition) -> Documents:
        match condition:
            case IdIs(message):
                return frozenset({self.numbers[message]} if message in self.numbers else ())
            case CategoryIs(category):
                return self._having(category_term(category))
            case HasAttachment():
                return self._having(HAS_ATTACHMENT)
            case ReceivedFrom(instant):
                return self._received(microseconds(instant).__le__)
            case ReceivedBefore(instant):
                return self._received(microseconds(instant).__gt__)
            case _:
                assert_never(condition)

    def _received(self, fits: Callable[[int], bool]) -> Documents:
        return frozenset(number for number in self._all if fits(self.received[number]))

    def _with_words(self, name: Field, words: tuple[str, ...], deadline: Deadline) -> Documents:
        distinct = {word: self._postings.find(word_term(name, word)) for word in words}
        found = self._all
        for postings in distinct.values():
            if postings is None:
                return frozenset()
            found = found.intersection(postings.documents)
        if len(words) == 1 or not found:
            return found
        deadline.check()
        places = {word: postings.places(found) for word, postings in distinct.items() if postings}
        return frozenset(number for number in found if _is_phrase([places[word][number] for word in words]))

    def _with_prefix(self, name: Field, start: str, deadline: Deadline) -> Documents:
        found: set[int] = set()
        for count, (term, postings) in enumerate(self._postings.beginning_with(word_term(name, start))):
            if count >= MOST_PREFIX_WORDS:
                raise QueryTooWideError("the prefix stands for too many words", fix="Write more of the word.")
            deadline.check()
            if b"@" not in term:
                found.update(postings.documents)
        return frozenset(found)

    def _having(self, term: bytes) -> Documents:
        postings = self._postings.find(term)
        return frozenset(postings.documents) if postings else frozenset()


def _is_phrase(places: list[frozenset[int]]) -> bool:
    """True when some place of the first word is followed by all others, one after the other."""
    starts: set[int] = set(places[0])
    for distance, here in enumerate(places):
        starts &= {place - distance for place in here}
    return bool(starts)
