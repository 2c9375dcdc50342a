from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from archive import archive_records, disposal_records, hold_records, tables
from archive.archive_check import INDEX, ArchiveStores, check
from archive.archive_repair import ArchiveRepair
from archive.disposal_records import DisposalState
from archive.index_care import IndexCare, RebuildMark
from archive.intake import Intake
from archive.search_index import SearchIndex
from archive.search_index_whoosh import WhooshIndex
from mailstore import audit_trail, message_records, outbox
from mailstore.consistency_problem import Finding, Kind
from mailstore.consistency_repair import REPAIRED
from mailstore.message import MessageId
from mailstore.sealed_rows import rows_of
from tests import index_files
from tests.records_room import RECORDS, RecordsRoom


class CheckedRoom:
    """A records room, held against itself and mended."""

    def __init__(self, directory: Path) -> None:
        self.room = RecordsRoom(directory)
        self.mark = RebuildMark(directory / "index-rebuild")
        desk = self.room.desk
        self.stores = ArchiveStores(self.room.vault.database, self.opened, self.mark, desk.due_records, desk.guarding)

    def opened(self) -> SearchIndex:
        storage = index_files.storage_in(self.room.directory / "index", self.room.vault.ring.index_key)
        return WhooshIndex(storage)

    def found(self, *, opens_messages: bool = True) -> list[Finding]:
        return list(check(self.stores, opens_messages=opens_messages))

    def problems(self) -> list[tuple[Kind, str]]:
        return [(each.kind, each.object) for each in self.found()]

    def repair(self) -> list[bool]:
        intake = Intake(
            database=self.room.vault.database,
            documents=self.room.documents,
            index=self.room.index,
            schedule_in_force=self.room.desk.schedules.in_force,
            living_holds=self.room.desk.living_holds,
            evidence=self.room.desk.evidence,
            clock=self.room.clock,
            trusted_clock=self.room.vault.trusted_clock,
        )
        care = IndexCare(
            database=self.room.vault.database,
            intake=intake,
            opened=self.opened,
            directory=lambda: self.room.directory / "index",
            mark=self.mark,
        )
        mend = ArchiveRepair(self.stores, self.room.desk.holds, care, self.room.clock)
        return [mend.mended(each) for each in self.found()]

    def queued(self, message: MessageId) -> set[outbox.Kind]:
        with self.room.vault.database.read() as connection:
            return {kind for kind, _, _ in outbox.work_on(connection, [message], tuple(outbox.Kind))}


@pytest.fixture
def checked(tmp_path: Path) -> Iterator[CheckedRoom]:
    made = CheckedRoom(tmp_path / "data")
    yield made
    made.room.vault.close()


def test_sound_archive_has_no_findings(checked: CheckedRoom) -> None:
    checked.room.put_in_force()
    checked.room.receive(is_indexed=True)
    checked.room.receive(body="litigated", is_indexed=True)
    checked.room.desk.holds.place(RECORDS, name="Adams", reason="counsel", query="litigated")
    assert checked.problems() == []


def test_message_that_nothing_brings_into_the_archive_is_queued_again(checked: CheckedRoom) -> None:
    message = checked.room.receive(is_captured=False)
    assert checked.problems() == [(Kind.CAPTURE_NOT_QUEUED, message)]
    assert checked.repair() == [True]
    assert outbox.Kind.CAPTURE in checked.queued(message)
    assert checked.problems() == []


def test_message_that_nothing_brings_into_the_index_is_queued_again(checked: CheckedRoom) -> None:
    message = checked.room.receive()
    with checked.room.vault.database.write() as connection:
        archive_records.forget_index_of(connection, message)
    assert checked.problems() == [(Kind.INDEX_NOT_QUEUED, message)]
    assert checked.repair() == [True]
    assert outbox.Kind.INDEX in checked.queued(message)
    assert checked.problems() == []


def test_gap_in_the_index_is_filled_again(checked: CheckedRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailstore.message_pages.PAGE", 2)
    messages = [checked.room.receive(is_indexed=True) for _ in range(5)]
    checked.room.index.remove(messages[2:3])
    assert checked.problems() == [(Kind.INDEX_GAP, messages[2])]
    assert checked.repair() == [True]
    assert outbox.Kind.INDEX in checked.queued(messages[2])
    assert checked.problems() == []


def test_disposed_message_that_the_index_still_holds_is_taken_out(checked: CheckedRoom) -> None:
    message = checked.room.receive(is_indexed=True)
    checked.room.receive(is_indexed=True)
    checked.room.vault.destroy([message])
    with checked.room.vault.database.write() as connection:
        archive_records.remove_entry(connection, message)
    assert checked.problems() == [(Kind.INDEX_SURPLUS, message)]
    assert checked.repair() == [True]
    assert checked.problems() == []
    assert checked.opened().document_count() == 1


def test_index_that_holds_more_than_can_be_named_is_made_anew(checked: CheckedRoom) -> None:
    message = checked.room.receive(is_indexed=True)
    kept = checked.room.receive(is_indexed=True)
    with checked.room.vault.database.write() as connection:
        archive_records.remove_entry(connection, message)
        message_records.remove(connection, [message])
    assert checked.problems() == [(Kind.INDEX_SURPLUS, INDEX)]
    assert checked.repair() == [True]
    assert checked.problems() == []
    assert checked.opened().document_count() == 1
    assert checked.room.is_alive(kept)


def test_damaged_index_is_made_anew(checked: CheckedRoom) -> None:
    checked.room.receive(is_indexed=True)
    shutil.rmtree(checked.room.directory / "index")
    assert [kind for kind, _ in checked.problems()] == [Kind.INDEX_DAMAGED]
    assert checked.repair() == [True]
    assert checked.problems() == []


def test_index_that_is_being_made_anew_is_left_alone(checked: CheckedRoom) -> None:
    message = checked.room.receive(is_indexed=True)
    checked.room.index.remove([message])
    with checked.mark.held():
        assert checked.problems() == []


def test_coverage_that_a_hold_lost_is_listed_again(checked: CheckedRoom) -> None:
    checked.room.put_in_force()
    message = checked.room.receive(body="litigated", is_indexed=True)
    hold = checked.room.desk.holds.place(RECORDS, name="Adams", reason="counsel", query="litigated").id
    with checked.room.vault.database.write() as connection:
        hold_records.forget_message(connection, message)
    assert checked.problems() == [(Kind.HOLD_COVERAGE_MISSING, hold)]
    assert checked.found(opens_messages=False) == []
    assert checked.repair() == [True]
    assert checked.problems() == []
    assert checked.room.desk.holds.messages_of(RECORDS, hold) == [message]


def test_hold_whose_evaluation_broke_off_is_evaluated(checked: CheckedRoom) -> None:
    checked.room.put_in_force()
    message = checked.room.receive(body="litigated", is_indexed=True)
    hold = checked.room.desk.holds.place(RECORDS, name="Adams", reason="counsel", query="litigated").id
    with checked.room.vault.database.write() as connection:
        hold_records.forget_message(connection, message)
        changes = {"evaluated_at": None}
        rows_of(connection).update(connection, tables.holds, tables.holds.c.id == hold, changes)
    assert checked.problems() == [(Kind.HOLD_NOT_EVALUATED, hold)]
    assert checked.repair() == [True]
    assert checked.room.desk.holds.messages_of(RECORDS, hold) == [message]
    assert checked.problems() == []


def test_disposal_that_was_interrupted_is_left_to_a_person(checked: CheckedRoom) -> None:
    checked.room.put_in_force()
    checked.room.receive(is_indexed=True)
    disposal = checked.room.approved()
    with checked.room.vault.database.write() as connection:
        disposal_records.change(connection, disposal, state=DisposalState.RUNNING)
    assert checked.problems() == [(Kind.DISPOSAL_UNFINISHED, disposal)]
    assert checked.repair() == [False]


def test_completed_disposal_without_its_certificate_is_found(checked: CheckedRoom) -> None:
    checked.room.put_in_force()
    checked.room.receive(is_indexed=True)
    disposal = checked.room.approved()
    changes = {"state": DisposalState.COMPLETED, "certificate": "c" * 26}
    with checked.room.vault.database.write() as connection:
        disposal_records.change(connection, disposal, **changes)
    assert checked.problems() == [(Kind.CERTIFICATE_MISSING, disposal)]
    assert checked.repair() == [False]


def test_every_repair_is_in_the_audit_log(checked: CheckedRoom) -> None:
    message = checked.room.receive(is_captured=False)
    checked.repair()
    with checked.room.vault.database.read() as connection:
        [entry] = audit_trail.of_events(connection, (REPAIRED,))
    assert (entry.object, entry.detail) == (message, {"kind": "capture_not_queued"})
