"""One segment of the index, asked: conditions become sets of document numbers."""

from __future__ import annotations

import time
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import assert_never, overload

from whoosh.codec.whoosh3 import W3Segment

from archive.index_document import Field
from archive.posting_file import PostingFile
from archive.query_conditions import (
    AddressIs,
    AllOf,
    AnyOf,
    FactCondition,
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
from archive.search_facets import NO, YES, Facet
from archive.search_index import QueryTooWideError
from archive.search_relevance import Signal
from archive.whoosh_schema import (
    CATEGORY_MARK,
    DIRECTION_MARK,
    DOMAIN_MARK,
    HAS_ATTACHMENT,
    ID_BYTES,
    ID_COLUMN,
    RECEIVED_COLUMN,
    address_term,
    mark_term,
    word_term,
)
from mailstore.instants import instant_of, microseconds
from mailstore.message import MessageId

POSTINGS = ".postings"
"""How the file of a segment's postings ends."""

_FACET_MARKS = {CATEGORY_MARK: Facet.CATEGORY, DOMAIN_MARK: Facet.DOMAIN, DIRECTION_MARK: Facet.DIRECTION}

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


class MessageIds(Sequence[MessageId]):
    """The ids of a segment's messages by document number, found again by id; 30 bytes each, however many there are."""

    def __init__(self, ids: Iterable[bytes]) -> None:
        self._ids = b"".join(ids)
        self._in_order = array("I", sorted(range(len(self)), key=self._at))

    def __len__(self) -> int:
        return len(self._ids) // ID_BYTES

    @overload
    def __getitem__(self, number: int) -> MessageId: ...
    @overload
    def __getitem__(self, number: slice) -> list[MessageId]: ...
    def __getitem__(self, number: int | slice) -> MessageId | list[MessageId]:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        if not 0 <= number < len(self):
            raise IndexError(number)
        return MessageId(self._at(number).decode())

    def number_of(self, message: MessageId) -> int | None:
        """The document of a message; None when it is not here."""
        wanted = message.encode()
        place = bisect_left(self._in_order, wanted, key=self._at)
        if place == len(self) or self._at(self._in_order[place]) != wanted:
            return None
        return self._in_order[place]

    def __iter__(self) -> Iterator[MessageId]:
        return map(self.__getitem__, range(len(self)))

    def _at(self, number: int) -> bytes:
        return self._ids[number * ID_BYTES : (number + 1) * ID_BYTES]


class IndexSegment:
    """A segment that is open, with its ids and dates by document number."""

    def __init__(self, storage: SealedIndexStorage, segment: W3Segment) -> None:
        self.name: str = segment.segment_id()
        name = segment.make_filename(POSTINGS)
        self._file = storage.open_file(name)
        self._postings = PostingFile(self._file, storage.file_length(name))
        columns = segment.codec().per_document_reader(storage, segment)
        self.ids = MessageIds(columns.column_reader("id", ID_COLUMN))
        self.received = array("q", columns.column_reader("received_at", RECEIVED_COLUMN))
        columns.close()

    @property
    def count(self) -> int:
        """How many messages it holds."""
        return len(self.ids)

    @property
    def _all(self) -> Documents:
        return frozenset(range(self.count))

    def close(self) -> None:
        """Let go of its files."""
        self._file.close()

    def holds(self, messages: Collection[MessageId]) -> bool:
        """True when any of these messages is in it."""
        return any(self.ids.number_of(message) is not None for message in messages)

    def all_postings(self) -> Iterator[tuple[bytes, bytes]]:
        """Everything it holds, packed, term by term in order."""
        return self._postings.all()

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

    def scores(self, found: Documents, wanted: tuple[Signal, ...], deadline: Deadline) -> Counter[int]:
        """How relevant each of these documents is; those of no relevance are left out."""
        scores: Counter[int] = Counter()
        for signal in wanted:
            waiting = found
            for condition, weight in signal:
                met = waiting & self.matching(condition, deadline)
                scores.update(dict.fromkeys(met, weight))
                waiting -= met
        return scores

    def facets(self, found: Documents, mailboxes: Collection[str]) -> Iterator[tuple[Facet, str, int]]:
        """How many of these documents have which value of which facet."""
        years = Counter(instant_of(self.received[number]).year for number in found)
        yield from ((Facet.YEAR, f"{year:04}", count) for year, count in years.items())
        for mark, facet in _FACET_MARKS.items():
            for term, postings in self._postings.beginning_with(mark):
                yield facet, term[1:].decode(), len(found.intersection(postings.documents))
        attached = len(found & self._having(HAS_ATTACHMENT))
        yield from ((Facet.ATTACHMENT, YES, attached), (Facet.ATTACHMENT, NO, len(found) - attached))
        for address in mailboxes:
            yield Facet.MAILBOX, address, len(found & self._having(address_term(Field.PARTICIPANT, address)))

    def newest_at(self) -> int:
        """When the newest of its messages was received, in microseconds since 1970."""
        return max(self.received, default=0)

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
                number = self.ids.number_of(message)
                return frozenset() if number is None else frozenset({number})
            case ReceivedFrom(instant):
                return self._received(microseconds(instant).__le__)
            case ReceivedBefore(instant):
                return self._received(microseconds(instant).__gt__)
            case _:
                return self._having(mark_term(condition))

    def _received(self, fits: Callable[[int], bool]) -> Documents:
        return frozenset(number for number, received in enumerate(self.received) if fits(received))

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
