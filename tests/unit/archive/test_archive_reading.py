"""The archive's own door: the role, then the entry, then the content."""

from __future__ import annotations

from pathlib import Path

import pytest

from archive.archive_reading import OPENED, ArchiveReading
from archive.two_persons import NotPermittedError
from mailstore.actor import SYSTEM, Actor
from mailstore.errors import DestroyedError, NotFoundError
from mailstore.message import MessageId
from tests.records_room import APPROVER, CLINICIAN, RECORDS, RecordsRoom


@pytest.fixture
def room(tmp_path: Path) -> RecordsRoom:
    return RecordsRoom(tmp_path)


def reading(room: RecordsRoom) -> ArchiveReading:
    return ArchiveReading(database=room.vault.database, retrieval=room.vault.retrieval(), clock=room.clock)


@pytest.mark.parametrize("actor", [RECORDS, APPROVER])
def test_those_who_keep_records_open_a_message_and_leave_an_entry(room: RecordsRoom, actor: Actor) -> None:
    message = room.receive("Results", body="all is well")
    opened = reading(room).open(actor, message)
    assert opened.content.endswith(b"all is well\r\n")
    assert opened.summary.subject == "Results"
    assert room.events(OPENED) == [message]


@pytest.mark.parametrize("actor", [CLINICIAN, SYSTEM])
def test_nobody_else_opens_a_message_of_the_archive_the_appliance_included(room: RecordsRoom, actor: Actor) -> None:
    message = room.receive()
    with pytest.raises(NotPermittedError):
        reading(room).open(actor, message)
    assert room.events(OPENED) == []


def test_message_that_is_not_captured_yet_or_not_there_is_not_found(room: RecordsRoom) -> None:
    message = room.receive(is_captured=False)
    for absent in (message, MessageId("a" * 26)):
        with pytest.raises(NotFoundError):
            reading(room).open(RECORDS, absent)
    assert room.events(OPENED) == []


def test_disposed_message_stays_closed_to_records_too(room: RecordsRoom) -> None:
    message = room.receive("newsletter")
    room.put_in_force()
    room.desk.disposal_run.run(RECORDS, room.approved())
    with pytest.raises(DestroyedError):
        reading(room).open(RECORDS, message)
