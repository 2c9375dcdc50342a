from __future__ import annotations

from pathlib import Path

from archive import archive_records
from archive.search_query import parse
from mailstore.message import MessageId
from tests.records_room import RECORDS, SCHEDULE, RecordsRoom


def category(room: RecordsRoom, message: MessageId) -> str:
    with room.vault.database.read() as connection:
        entry = archive_records.find(connection, message)
    assert entry is not None
    return entry.category


def found(room: RecordsRoom, query: str) -> list[MessageId]:
    return [hit.id for hit in room.index.search(parse(query), limit=10).items]


def test_new_schedule_reaches_rows_and_index(tmp_path: Path) -> None:
    room = RecordsRoom(tmp_path / "data")
    letter, bill = room.receive("newsletter", is_indexed=True), room.receive("invoice", is_indexed=True)
    assert room.desk.reclassification.run() == 0
    room.put_in_force()
    assert room.desk.reclassification.run() == 2
    assert (category(room, letter), category(room, bill)) == ("passing", "billing")
    assert found(room, "category:billing") == [bill]
    room.put_in_force(SCHEDULE.replace("billing", "money"))
    assert room.desk.reclassification.run() == 2
    assert (found(room, "category:billing"), found(room, "category:money")) == ([], [bill])
    assert room.desk.reclassification.run() == 0


def test_message_destroyed_meanwhile_does_not_come_back(tmp_path: Path) -> None:
    room = RecordsRoom(tmp_path / "data")
    room.put_in_force()
    room.receive(is_indexed=True)
    room.desk.disposal_run.run(RECORDS, room.approved())
    assert room.desk.reclassification.run() == 0
    assert room.index.document_count() == 0


def test_message_that_cannot_be_opened_stays_unclassified(tmp_path: Path) -> None:
    room = RecordsRoom(tmp_path / "data")
    message = room.receive()
    for segment in room.vault.spool.iterdir():
        segment.write_bytes(b"x" * segment.stat().st_size)
    room.put_in_force()
    assert room.desk.reclassification.run() == 1
    assert category(room, message) == "unclassified"
