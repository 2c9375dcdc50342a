from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from archive.archive_search import ArchiveSearch
from archive.saved_search import AskedSearch
from archive.search_index import SearchIndex
from tests import index_files
from tests.records_room import RECORDS, RecordsRoom


@pytest.fixture
def room(tmp_path: Path) -> RecordsRoom:
    room = RecordsRoom(tmp_path)
    room.receive("first letter", is_indexed=True)
    room.receive("second letter", is_indexed=True)
    return room


def search_over(room: RecordsRoom, index: SearchIndex) -> ArchiveSearch:
    vault = room.vault
    return ArchiveSearch(
        database=vault.database, index=index, retrieval=vault.retrieval(), documents=room.documents, clock=room.clock
    )


def test_how_long_searches_took_is_known_for_a_day(room: RecordsRoom) -> None:
    search = search_over(room, room.index)
    assert search.query_p95_ms() is None
    for _ in range(3):
        assert search.search(RECORDS, AskedSearch("letter"), limit=5).is_complete
    found = search.query_p95_ms()
    assert found is not None
    assert found > 0
    room.clock.advance(timedelta(days=1, seconds=1))
    assert search.query_p95_ms() is None


def test_search_that_ran_out_of_time_says_that_it_is_incomplete(room: RecordsRoom, tmp_path: Path) -> None:
    index = index_files.sqlite_in(tmp_path / "other", bytes(32), query_seconds=0.0)
    index.add([room.documents.read(room.vault.stored(room.receive("third letter"))).document])
    answer = search_over(room, index).search(RECORDS, AskedSearch("letter"), limit=5)
    assert (answer.is_complete, answer.items) == (False, ())
