"""Merging segments: what it keeps, and how little memory it takes."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

from archive.index_document import Field, IndexDocument
from archive.search_index_whoosh import WhooshIndex
from archive.search_query import parse
from archive.whoosh_writer import SEGMENTS_PER_TIER
from mailstore.message import MessageId, identifier_from
from tests.index_files import storage_in

BATCH = 60
WORDS = 400
START = datetime(2026, 1, 1, tzinfo=UTC)


def document(number: int) -> IndexDocument:
    """A letter whose words are shared by a few others each, and one word of its own."""
    words = " ".join(f"w{(number * 7 + place * 13) % 5000}" for place in range(WORDS))
    message = MessageId(identifier_from(number.to_bytes(16, "big")))
    text = f"own{number} {words} follows own{number}"
    return IndexDocument(message, START + timedelta(minutes=number), "clinical", False, {Field.BODY: (text,)}, {})


def batch(number: int) -> list[IndexDocument]:
    return [document(each) for each in range(number * BATCH, (number + 1) * BATCH)]


def test_merge_keeps_every_word_and_place_of_every_segment(tmp_path: Path) -> None:
    index = WhooshIndex(storage_in(tmp_path / "index", bytes(32)))
    for number in range(SEGMENTS_PER_TIER + 1):
        index.add(batch(number))
    gone = document(BATCH + 3)
    index.remove([gone.id])
    for number in (0, BATCH - 1, BATCH + 2, BATCH + 4, SEGMENTS_PER_TIER * BATCH, SEGMENTS_PER_TIER * BATCH + 59):
        (hit,) = index.search(parse(f'"follows own{number}"'), limit=9).items
        assert (hit.id, hit.received_at) == (document(number).id, START + timedelta(minutes=number))
    assert index.search(parse(f"own{BATCH + 3}"), limit=9).total == 0
    assert index.document_count() == (SEGMENTS_PER_TIER + 1) * BATCH - 1


def test_merge_does_not_hold_all_postings_in_memory(tmp_path: Path) -> None:
    """Held as objects the postings below take nine MiB and more; a process would keep that room for good."""
    index = WhooshIndex(storage_in(tmp_path / "index", bytes(32)))
    for number in range(SEGMENTS_PER_TIER):
        index.add(batch(number))
    one_more = [document(SEGMENTS_PER_TIER * BATCH)]
    one_more[0].words  # noqa: B018 - worked out before the measurement
    tracemalloc.start()
    try:
        index.add(one_more)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert index.document_count() == SEGMENTS_PER_TIER * BATCH + 1
    assert peak < 4 * 2**20
