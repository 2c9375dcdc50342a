"""The search index on Whoosh's file format, over sealed files.

Whoosh keeps the segments, their table of contents and their columns. Postings have a file of their own
(``posting_file``), and boolean logic, phrases and dates are worked out on sets of document numbers
(``whoosh_segment``), so that the answers are those of ``query_conditions.matches``; nothing of Whoosh's own scores.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable
from heapq import nlargest
from typing import TypeVar

from archive.index_document import DEFINITION, IndexDocument
from archive.query_conditions import Query
from archive.sealed_index_storage import SealedIndexStorage
from archive.search_facets import Facet, FacetCounts, counts_of
from archive.search_index import Hit, Hits, IndexOutdatedError, QueryTooWideError
from archive.search_relevance import Order, Signal, signals
from archive.whoosh_segment import Deadline, IndexSegment
from archive.whoosh_writer import IndexWriter, table_of
from mailstore.errors import StorageUnavailableError
from mailstore.instants import instant_of
from mailstore.message import MessageId

QUERY_SECONDS = 5.0
LOCK_SECONDS = 60.0
_TRIES = 5

_Answer = TypeVar("_Answer")


class WhooshIndex:
    """A ``SearchIndex``. Safe to share between threads; each process has its own."""

    def __init__(self, storage: SealedIndexStorage) -> None:
        self._reading = storage
        self._writing = storage.writing_view()
        self._lock = threading.Lock()
        self._opened: object = None
        self._segments: dict[str, IndexSegment] = {}

    def add(self, documents: Iterable[IndexDocument]) -> None:
        """Index these, durably when this returns. A message that is there already is replaced."""
        fresh = {document.id: document for document in documents}
        if not fresh:
            return
        self._commit(fresh.keys(), fresh.values(), is_removal=False)

    def remove(self, messages: Collection[MessageId], *, more_follow: bool = False) -> None:
        """Take these out so that no word of theirs is left in any file, durably when this returns.

        ``more_follow`` saves nothing here: a removal is whole each time.
        """
        del more_follow
        if messages:
            self._commit(frozenset(messages), (), is_removal=True)

    def search(
        self, query: Query, *, limit: int, among: Collection[MessageId] | None = None, order: Order = Order.NEWEST
    ) -> Hits:
        """The first ``limit`` messages that match, of ``among`` if given. Raises ``QueryTooWideError``."""
        kept = None if among is None else frozenset(among)
        wanted = signals(query) if order is Order.RELEVANCE else ()
        return self._ask(lambda segments: _hits(segments, query, wanted, limit=limit, among=kept))

    def facets(self, query: Query, *, mailboxes: Collection[str], seconds: float) -> FacetCounts:
        """How many of the messages that match have which facet, counted for ``seconds``."""
        deadline = Deadline(seconds=seconds)
        return self._ask(lambda segments: _facets(segments, query, mailboxes, deadline))

    def document_count(self) -> int:
        """How many messages the index holds."""
        return self._ask(lambda segments: sum(segment.count for segment in segments))

    def verify(self) -> None:
        """Read all of it that is not open yet. What is open was verified to the last byte when it was opened."""
        self._ask(lambda _: None)

    def clear(self) -> None:
        """Remove everything, also what is damaged or outdated."""
        with self._lock:
            self._writing.create().erase(seconds=LOCK_SECONDS)

    def _ask(self, question: Callable[[Iterable[IndexSegment]], _Answer]) -> _Answer:
        with self._lock:
            self._refresh()
            return question(self._segments.values())

    def _refresh(self) -> None:
        """Open what a newer commit brought. Its files may be replaced meanwhile: then the newest is looked at again."""
        for _ in range(_TRIES):
            self._reading.refresh()
            if self._opened == self._reading.state:
                return
            try:
                self._open_segments()
            except FileNotFoundError:
                continue
            self._opened = self._reading.state
            return
        raise StorageUnavailableError("the index changes faster than it can be opened")

    def _open_segments(self) -> None:
        _require_definition(self._reading)
        listed = {segment.segment_id(): segment for segment in table_of(self._reading).segments}
        for name in self._segments.keys() - listed.keys():
            self._segments.pop(name).close()
        for name in listed.keys() - self._segments.keys():
            self._reading.verify(f"{name}.")
            self._segments[name] = IndexSegment(self._reading, listed[name])

    def _commit(self, removed: Collection[MessageId], added: Collection[IndexDocument], *, is_removal: bool) -> None:
        """Take out and add in one step. The lock is ours, so the newest view is the writer's own.

        What was removed must also be gone from the copies that anybody made of older states: the secret of those dies.
        """
        storage = self._writing.create()
        with storage.exclusively(seconds=LOCK_SECONDS):
            _require_definition(storage)
            holding = self._ask(lambda segments: [each.name for each in segments if each.holds(removed)])
            if not added and not holding:
                return
            writer = IndexWriter(storage)
            writer.remove(removed)
            writer.commit(holding, added)
            storage.publish(retire_secret=is_removal)


def _require_definition(storage: SealedIndexStorage) -> None:
    if storage.made_with != DEFINITION:
        raise IndexOutdatedError(
            "the index was made with another definition of a word", fix="Rebuild the index from the messages."
        )


def _hits(
    segments: Iterable[IndexSegment],
    query: Query,
    wanted: tuple[Signal, ...],
    *,
    limit: int,
    among: frozenset[MessageId] | None,
) -> Hits:
    deadline = Deadline(seconds=QUERY_SECONDS)
    found: list[tuple[int, int, MessageId]] = []
    for segment in segments:
        numbers = segment.matching(query, deadline)
        scores = segment.scores(numbers, wanted, deadline)
        told = ((scores[number], segment.received[number], segment.ids[number]) for number in numbers)
        found += (each for each in told if among is None or each[2] in among)
    first = nlargest(limit, found)
    return Hits(len(found), tuple(Hit(message, instant_of(count)) for _, count, message in first))


def _facets(
    segments: Iterable[IndexSegment], query: Query, mailboxes: Collection[str], deadline: Deadline
) -> FacetCounts:
    """Count segment by segment, the one with the newest mail first; a segment counts whole or not at all."""
    tallies: list[tuple[Facet, str, int]] = []
    total = 0
    for segment in sorted(segments, key=IndexSegment.newest_at, reverse=True):
        try:
            found = segment.matching(query, deadline)
        except QueryTooWideError:
            return counts_of(tallies, total=total, is_complete=False)
        tallies += segment.facets(found, mailboxes)
        total += len(found)
    return counts_of(tallies, total=total)
