"""The search index on Whoosh's file format, over sealed files.

Whoosh writes, merges and reads postings. Boolean logic, phrases and dates are worked out in ``whoosh_segment`` on
sets of document numbers, so that the answers are those of ``query_conditions.matches``; nothing is scored.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from heapq import nlargest
from typing import TypeVar

from whoosh.codec.whoosh3 import W3Codec, W3Segment
from whoosh.fields import Schema
from whoosh.index import TOC, EmptyIndexError, FileIndex
from whoosh.reading import SegmentReader
from whoosh.writing import SegmentWriter

from archive.index_document import IndexDocument
from archive.query_conditions import Query
from archive.sealed_index_storage import SealedIndexStorage
from archive.search_index import Hit, Hits, IndexOutdatedError
from archive.whoosh_schema import schema, terms_of
from archive.whoosh_segment import Deadline, IndexSegment
from archive.words import DEFINITION
from mailstore.errors import StorageUnavailableError
from mailstore.instants import instant_of
from mailstore.message import MessageId

QUERY_SECONDS = 5.0
LOCK_SECONDS = 60.0
POOL_MIB = 512
"""Postings that are sorted at once when a segment is written, by Whoosh's own generous count."""

MOST_SEGMENT_DOCUMENTS = 2_000
"""A segment grows no further. Removing a message rewrites one segment, so this bounds what a removal costs."""

SEGMENTS_PER_TIER = 6
TIERS = (64, 512, MOST_SEGMENT_DOCUMENTS)
"""Segments below the same one of these sizes are merged once there are that many of them."""

_NAME = "ARCHIVE"
_Answer = TypeVar("_Answer")
_TRIES = 5


def merge_policy(writer: SegmentWriter, segments: list[W3Segment]) -> list[W3Segment]:
    """Which segments stay as they are. Every one that holds a removed message is rewritten without it, now."""
    damaged = [segment for segment in segments if segment.has_deletions()]
    whole = [segment for segment in segments if not segment.has_deletions()]
    merged = damaged + _small_ones(whole)
    for segment in merged:
        if segment.doc_count():
            reader = SegmentReader(writer.storage, writer.schema, segment)
            writer.add_reader(reader)
            reader.close()
    return [segment for segment in whole if segment not in merged]


def _small_ones(segments: list[W3Segment]) -> list[W3Segment]:
    """The segments of the first tier that is full, as many as make one segment of the greatest size."""
    tiers: defaultdict[int, list[W3Segment]] = defaultdict(list)
    for segment in segments:
        fitting = [limit for limit in TIERS if segment.doc_count_all() < limit]
        if fitting:
            tiers[fitting[0]].append(segment)
    for limit in TIERS:
        if len(tiers[limit]) >= SEGMENTS_PER_TIER:
            return _within_one(tiers[limit])
    return []


def _within_one(segments: list[W3Segment]) -> list[W3Segment]:
    chosen: list[W3Segment] = []
    room = MOST_SEGMENT_DOCUMENTS
    for segment in sorted(segments, key=lambda each: each.doc_count_all()):
        room -= segment.doc_count_all()
        if room < 0:
            break
        chosen.append(segment)
    return chosen


class WhooshIndex:
    """A ``SearchIndex``. Safe to share between threads; each process has its own."""

    def __init__(self, storage: SealedIndexStorage) -> None:
        self._reading = storage
        self._writing = storage.another_view()
        self._schema = schema()
        self._lock = threading.Lock()
        self._opened: object = None
        self._segments: dict[str, IndexSegment] = {}

    def add(self, documents: Iterable[IndexDocument]) -> None:
        """Index these, durably when this returns. A message that is there already is replaced."""
        fresh = {document.id: document for document in documents}
        if not fresh:
            return
        with self._writer() as writer:
            self._delete(writer, fresh)
            for document in fresh.values():
                writer.add_document(**terms_of(document))

    def remove(self, messages: Collection[MessageId]) -> None:
        """Take these out so that no word of theirs is left in any file, durably when this returns."""
        if not messages:
            return
        with self._writer() as writer:
            self._delete(writer, messages)

    def search(self, query: Query, *, limit: int, among: Collection[MessageId] | None = None) -> Hits:
        """The newest ``limit`` messages that match, of ``among`` if given. Raises ``QueryTooWideError``."""
        deadline = Deadline(seconds=QUERY_SECONDS)
        wanted = None if among is None else frozenset(among)
        return self._ask(lambda segments: _hits(segments, query, deadline, limit, wanted))

    def document_count(self) -> int:
        """How many messages the index holds."""
        return self._ask(lambda segments: sum(segment.document_count for segment in segments))

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
        listed = {segment.segment_id(): segment for segment in _table(self._reading, self._schema).segments}
        for name in self._segments.keys() - listed.keys():
            self._segments.pop(name).close()
        for name in listed.keys() - self._segments.keys():
            self._segments[name] = IndexSegment(SegmentReader(self._reading, self._schema, listed[name]))

    @contextmanager
    def _writer(self) -> Iterator[SegmentWriter]:
        storage = self._writing.create()
        with storage.exclusively(seconds=LOCK_SECONDS):
            _require_definition(storage)
            index = _Index(storage, self._schema)
            writer = SegmentWriter(index, _lk=False, limitmb=POOL_MIB, compound=False, codec=W3Codec())
            try:
                yield writer
                writer.commit(mergetype=merge_policy)
            except BaseException:
                if not writer.is_closed:
                    writer.cancel()
                raise
            storage.publish()

    def _delete(self, writer: SegmentWriter, messages: Collection[MessageId]) -> None:
        """Mark the messages as removed; the lock is ours, so the newest view is the writer's own."""
        listed = {segment.segment_id(): segment for segment in writer.segments}
        for name, number in self._ask(lambda segments: list(_places(segments, messages))):
            listed[name].delete_document(number)


class _Index(FileIndex):  # type: ignore[misc]  # whoosh carries no types
    """An index that may not be there yet: then it has no segments."""

    def __init__(self, storage: SealedIndexStorage, its_schema: Schema) -> None:
        self.storage = storage
        self.indexname = _NAME
        self._schema = its_schema

    def _read_toc(self) -> TOC:
        return _table(self.storage, self._schema)


def _table(storage: SealedIndexStorage, its_schema: Schema) -> TOC:
    try:
        return TOC.read(storage, _NAME, schema=its_schema)
    except EmptyIndexError:
        return TOC(its_schema, [], -1)


def _require_definition(storage: SealedIndexStorage) -> None:
    if storage.made_with != DEFINITION:
        raise IndexOutdatedError(
            "the index was made with another definition of a word", fix="Rebuild the index from the messages."
        )


def _places(segments: Iterable[IndexSegment], messages: Collection[MessageId]) -> Iterator[tuple[str, int]]:
    for segment in segments:
        for message in segment.numbers.keys() & messages:
            yield segment.name, segment.numbers[message]


def _hits(
    segments: Iterable[IndexSegment],
    query: Query,
    deadline: Deadline,
    limit: int,
    among: frozenset[MessageId] | None,
) -> Hits:
    found = [
        (segment.received[number], segment.ids[number])
        for segment in segments
        for number in segment.matching(query, deadline)
        if among is None or segment.ids[number] in among
    ]
    newest = nlargest(limit, found)
    return Hits(len(found), tuple(Hit(message, instant_of(count)) for count, message in newest))
