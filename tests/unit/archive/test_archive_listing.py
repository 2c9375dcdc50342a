from __future__ import annotations

from pathlib import Path

import pytest

from archive.archive_listing import LISTED, ArchiveListing
from archive.two_persons import NotPermittedError
from mailstore.message import MessageId
from tests.records_room import CLINICIAN, RECORDS, RecordsRoom


@pytest.fixture
def room(tmp_path: Path) -> RecordsRoom:
    return RecordsRoom(tmp_path / "data")


def listing(room: RecordsRoom) -> ArchiveListing:
    return ArchiveListing(database=room.vault.database, retrieval=room.vault.retrieval(), clock=room.clock)


def test_list_shows_subjects_and_is_in_the_audit_log_once(room: RecordsRoom) -> None:
    here, gone = room.receive("knee"), MessageId("z" * 26)
    found = listing(room).of(RECORDS, [here, gone], about="d" * 26)
    assert [(each.subject, each.from_) for each in found.values()] == [("knee", "sender@elsewhere.example")]
    assert room.events(LISTED) == ["d" * 26]


def test_empty_list_is_no_event(room: RecordsRoom) -> None:
    assert listing(room).of(RECORDS, [], about="d" * 26) == {}
    assert room.events(LISTED) == []


def test_list_is_for_those_who_keep_records(room: RecordsRoom) -> None:
    message = room.receive()
    with pytest.raises(NotPermittedError):
        listing(room).of(CLINICIAN, [message], about="d" * 26)
