"""One segment of the index, asked: conditions become sets of document numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import reduce
from typing import Any, assert_never

from whoosh.reading import SegmentReader, TermNotFound

from archive.index_document import Field
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
from archive.search_index import QueryTooWideError
from archive.whoosh_schema import ATTACHMENT, CATEGORY, HAS, ID, RECEIVED_AT, message_of, places_in
from mailstore.instants import microseconds
from mailstore.message import MessageId

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
    """A segment and what is asked of it again and again: ids and dates by document number."""

    def __init__(self, reader: SegmentReader) -> None:
        self._reader = reader
        self.name: str = reader.segment().segment_id()
        self.document_count: int = reader.doc_count()
        self._all: Documents = frozenset(reader.all_doc_ids())
        self.ids: list[MessageId] = [message_of(v) for v in self._column(ID)]
        self.numbers: dict[MessageId, int] = {message: number for number, message in enumerate(self.ids)}
        self.received: list[int] = list(self._column(RECEIVED_AT))

    def close(self) -> None:
        """Let go of its files."""
        self._reader.close()

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
                return self._having(where, address)
            case _:
                assert_never(condition)
        return frozenset().union(*found)

    def _with_fact(self, condition: FactCondition) -> Documents:
        match condition:
            case IdIs(message):
                return self._having(ID, message)
            case CategoryIs(category):
                return self._having(CATEGORY, category)
            case HasAttachment():
                return self._having(HAS, ATTACHMENT)
            case ReceivedFrom(instant):
                return self._received(microseconds(instant).__le__)
            case ReceivedBefore(instant):
                return self._received(microseconds(instant).__gt__)
            case _:
                assert_never(condition)

    def _received(self, fits: Callable[[int], bool]) -> Documents:
        return frozenset(number for number in self._all if fits(self.received[number]))

    def _with_words(self, name: Field, words: tuple[str, ...], deadline: Deadline) -> Documents:
        found = reduce(frozenset.intersection, (self._having(name, word) for word in dict.fromkeys(words)), self._all)
        if len(words) == 1 or not found:
            return found
        return frozenset(self._with_phrase(name, words, sorted(found), deadline))

    def _with_phrase(
        self, name: Field, words: tuple[str, ...], candidates: list[int], deadline: Deadline
    ) -> Iterator[int]:
        """Of the candidates, those in which some place of the first word is followed by all others."""
        postings = [self._reader.postings(name.value, word) for word in words]
        for number in candidates:
            deadline.check()
            starts: set[int] | None = None
            for distance, posting in enumerate(postings):
                posting.skip_to(number)
                here = {place - distance for place in places_in(posting.value())}
                starts = here if starts is None else starts & here
            if starts:
                yield number

    def _with_prefix(self, name: Field, start: str, deadline: Deadline) -> Documents:
        found: set[int] = set()
        with suppress(TermNotFound):
            for count, term in enumerate(self._reader.expand_prefix(name.value, start)):
                if count >= MOST_PREFIX_WORDS:
                    raise QueryTooWideError("the prefix stands for too many words", fix="Write more of the word.")
                deadline.check()
                if b"@" not in term:
                    found |= self._having(name.value, term)
        return frozenset(found)

    def _having(self, name: str, term: str | bytes) -> Documents:
        try:
            return frozenset(self._reader.postings(name, term).all_ids())
        except TermNotFound:
            return frozenset()

    def _column(self, name: str) -> Iterator[Any]:
        return iter(self._reader.column_reader(name, translate=False))
