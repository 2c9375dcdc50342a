"""Writes one commit of the index: new documents, and segments rewritten without what was removed."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from itertools import groupby
from operator import itemgetter

from whoosh.codec.whoosh3 import W3Codec, W3Segment
from whoosh.index import TOC, EmptyIndexError, clean_files

from archive.index_document import IndexDocument
from archive.posting_file import Piece, Postings, joined, packed_postings, write_postings
from archive.sealed_index_storage import SealedIndexStorage
from archive.whoosh_schema import ID_COLUMN, RECEIVED_COLUMN, SCHEMA, terms_of
from archive.whoosh_segment import POSTINGS, IndexSegment
from mailstore.instants import microseconds
from mailstore.message import MessageId

MOST_SEGMENT_DOCUMENTS = 2_000
"""A segment grows no further. Removing a message rewrites one segment, so this bounds what a removal costs."""

SEGMENTS_PER_TIER = 6
TIERS = (64, 512, MOST_SEGMENT_DOCUMENTS)
"""Segments below the same one of these sizes are merged once there are that many of them."""

_NAME = "ARCHIVE"


def table_of(storage: SealedIndexStorage) -> TOC:
    """Which segments there are; none when there is no index yet."""
    try:
        return TOC.read(storage, _NAME, schema=SCHEMA)
    except EmptyIndexError:
        return TOC(SCHEMA, [], -1)


class IndexWriter:
    """One commit being prepared. The caller has the lock of the storage and publishes afterwards."""

    def __init__(self, storage: SealedIndexStorage) -> None:
        self._storage = storage
        self._table = table_of(storage)
        self._codec = W3Codec()
        self._segment = self._codec.new_segment(storage, _NAME)
        self._columns = self._codec.per_document_writer(storage, self._segment)
        self._count = 0
        self._removed: set[MessageId] = set()

    def remove(self, messages: Collection[MessageId]) -> None:
        """Leave these out: whatever segment holds one of them is rewritten in this commit."""
        self._removed |= set(messages)

    def commit(self, holding: Collection[str], added: Iterable[IndexDocument]) -> None:
        """Write everything. ``holding``: the names of the segments that hold removed messages."""
        fresh = self._terms_of(added)
        segments: list[W3Segment] = self._table.segments
        rewritten = [each for each in segments if each.segment_id() in holding]
        merged = rewritten + _small_ones([each for each in segments if each not in rewritten])
        opened = [IndexSegment(self._storage, segment) for segment in merged]
        terms = [fresh, *map(self._taken_over, opened)]
        staying = [each for each in segments if each not in merged]
        if self._count:
            staying.append(self._finished(terms))
        for segment in opened:
            segment.close()
        table = TOC(SCHEMA, staying, self._table.generation + 1)
        table.write(self._storage, _NAME)
        clean_files(self._storage, _NAME, table.generation, staying)

    def _terms_of(self, documents: Iterable[IndexDocument]) -> Iterator[Piece]:
        """Take new documents in; their terms in order."""
        terms: defaultdict[bytes, list[int | bytes]] = defaultdict(list)
        for document in documents:
            number = self._next_document(document.id.encode(), microseconds(document.received_at))
            for term, places in terms_of(document):
                terms[term] += (number, places)
        return ((term, 0, packed_postings(terms[term])) for term in sorted(terms))

    def _next_document(self, message: bytes, received: int) -> int:
        number = self._count
        self._columns.start_doc(number)
        self._columns.add_column_value("id", ID_COLUMN, message)
        self._columns.add_column_value("received_at", RECEIVED_COLUMN, received)
        self._columns.finish_doc()
        self._count += 1
        return number

    def _taken_over(self, segment: IndexSegment) -> Iterator[Piece]:
        """Take over what a segment holds, except what is removed; its terms in order."""
        first = self._count
        staying = [number for number, message in enumerate(segment.ids) if message not in self._removed]
        for number in staying:
            self._next_document(segment.ids[number].encode(), segment.received[number])
        if len(staying) == segment.count:
            return ((term, first, packed) for term, packed in segment.all_postings())
        numbers = {old: new for new, old in enumerate(staying)}
        kept = ((term, first, Postings(packed).renumbered(numbers)) for term, packed in segment.all_postings())
        return (piece for piece in kept if piece[2])

    def _finished(self, sources: Iterable[Iterator[Piece]]) -> W3Segment:
        """Write the terms of all sources, which count their documents on from each other: one term at a time."""
        self._columns.close()
        in_order = groupby(heapq.merge(*sources), key=itemgetter(0))
        with self._segment.create_file(self._storage, POSTINGS) as file:
            write_postings(file, ((term, joined(list(pieces))) for term, pieces in in_order))
        self._segment.set_doc_count(self._count)
        return self._segment


def _small_ones(segments: Iterable[W3Segment]) -> list[W3Segment]:
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
