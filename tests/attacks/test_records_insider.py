"""Somebody with a hand in the database, or with two hats, tries to make records die."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from archive.decision_time import ClockWentBackError
from archive.disposal_run import RunOutcome
from archive.tables import disposal_items
from archive.two_persons import NotPermittedError, SecondPersonNeededError
from mailstore.actor import Actor, Role
from mailstore.errors import TamperedError
from tests import database_room
from tests.records_room import APPROVER, COOLING_OFF, RECORDS, SCHEDULE, RecordsRoom


@pytest.fixture
def room(tmp_path: Path) -> RecordsRoom:
    return RecordsRoom(tmp_path / "data")


def by_hand(room: RecordsRoom, *statements: str) -> None:
    for statement in statements:
        database_room.attack(room.directory / database_room.ROWS, statement)


def refused(run: Callable[[], RunOutcome]) -> None:
    with pytest.raises(TamperedError):
        run()


def test_hold_row_deleted_by_hand_frees_nothing(room: RecordsRoom) -> None:
    room.put_in_force()
    message = room.receive()
    disposal = room.approved()
    room.desk.holds.place(RECORDS, name="n", reason="r")
    by_hand(room, "DELETE FROM hold_messages", "DELETE FROM holds")
    refused(lambda: room.desk.disposal_run.run(RECORDS, disposal))
    with pytest.raises(TamperedError):
        room.desk.disposals.propose(RECORDS)
    assert room.is_alive(message)


def test_hold_row_and_its_audit_entry_deleted_by_hand_frees_nothing(room: RecordsRoom) -> None:
    room.put_in_force()
    message = room.receive()
    disposal = room.approved()
    room.desk.holds.place(RECORDS, name="n", reason="r")
    by_hand(
        room,
        "DELETE FROM hold_messages",
        "DELETE FROM holds",
        "DELETE FROM audit_entries WHERE event = 'hold.placed'",
    )
    refused(lambda: room.desk.disposal_run.run(RECORDS, disposal))
    assert room.is_alive(message)


def test_hold_marked_released_by_hand_frees_nothing(room: RecordsRoom) -> None:
    room.put_in_force()
    message = room.receive()
    disposal = room.approved()
    room.desk.holds.place(RECORDS, name="n", reason="r")
    by_hand(room, "UPDATE holds SET state = 'released'")
    refused(lambda: room.desk.disposal_run.run(RECORDS, disposal))
    assert room.is_alive(message)


def test_message_taken_out_of_a_hold_by_hand_stays_covered(room: RecordsRoom) -> None:
    room.put_in_force()
    message = room.receive()
    disposal = room.approved()
    room.desk.holds.place(RECORDS, name="n", reason="r", custodians=["alice@clinic.example"])
    by_hand(room, "DELETE FROM hold_messages")
    assert room.desk.disposal_run.run(RECORDS, disposal).destroyed == 0
    assert room.is_alive(message)


def test_record_swapped_into_the_set_after_approval_lives(room: RecordsRoom) -> None:
    room.put_in_force()
    approved, other = room.receive(), room.receive("invoice")
    disposal = room.approved()
    database_room.attack(room.directory / database_room.ROWS, "UPDATE disposal_items SET message = ?", other)
    refused(lambda: room.desk.disposal_run.run(RECORDS, disposal))
    assert room.is_alive(approved)
    assert room.is_alive(other)


def test_record_added_to_the_set_with_a_good_seal_lives(room: RecordsRoom) -> None:
    """Even somebody who has the row key cannot add to what the audit log saw approved."""
    room.put_in_force()
    room.receive()
    disposal = room.approved()
    late = room.receive()
    another = room.desk.disposals.propose(RECORDS)
    [item] = [each for each in room.desk.disposals.show(RECORDS, another.id).items if each.message == late]
    with room.vault.database.write() as connection:
        values = {"disposal": disposal, **vars(item)}
        room.vault.database.rows.insert(connection, disposal_items, values)
    refused(lambda: room.desk.disposal_run.run(RECORDS, disposal))
    assert room.is_alive(late)


def test_schedule_put_in_force_by_hand_destroys_nothing(room: RecordsRoom) -> None:
    room.put_in_force()
    message = room.receive("invoice")
    room.desk.schedules.propose(RECORDS, SCHEDULE.replace("10 years", "0 days"))
    by_hand(room, "UPDATE schedules SET state = CASE state WHEN 'active' THEN 'retired' ELSE 'active' END")
    with pytest.raises(TamperedError):
        room.desk.disposals.propose(RECORDS)
    assert room.is_alive(message)


def test_older_shorter_schedule_rolled_back_with_its_good_seal_destroys_nothing(room: RecordsRoom) -> None:
    room.put_in_force(SCHEDULE.replace("10 years", "0 days"))
    rows = room.directory / database_room.ROWS
    before = database_room.attack(rows, "SELECT * FROM schedules")
    room.put_in_force()
    message = room.receive("invoice")
    database_room.attack(rows, "DELETE FROM schedules")
    marks = ",".join("?" * len(before[0]))
    for row in before:
        database_room.attack(rows, f"INSERT INTO schedules VALUES ({marks})", *row)  # noqa: S608  # question marks only
    with pytest.raises(TamperedError):
        room.desk.disposals.propose(RECORDS)
    assert room.is_alive(message)


def test_shortened_schedule_never_applies_to_what_was_approved_before(room: RecordsRoom) -> None:
    room.put_in_force()
    bill, letter = room.receive("invoice"), room.receive()
    disposal = room.approved()
    room.put_in_force(SCHEDULE.replace("10 years", "0 days"))
    assert room.desk.disposal_run.run(RECORDS, disposal).destroyed == 0
    assert room.is_alive(bill)
    assert room.is_alive(letter)


def test_one_account_in_two_roles_is_one_person(room: RecordsRoom) -> None:
    room.put_in_force()
    room.receive()
    proposed = room.desk.disposals.propose(RECORDS)
    with pytest.raises(SecondPersonNeededError):
        room.desk.disposals.approve(Actor(RECORDS.account, Role.APPROVER), proposed.id, set_hash=proposed.set_hash)
    with pytest.raises(NotPermittedError):
        room.desk.disposals.approve(Actor(RECORDS.account, Role.ADMIN), proposed.id, set_hash=proposed.set_hash)


def test_clock_set_back_after_approval_destroys_nothing(room: RecordsRoom) -> None:
    room.put_in_force()
    message = room.receive()
    disposal = room.approved()
    room.receive()
    room.clock.advance(-timedelta(days=1))
    with pytest.raises(ClockWentBackError):
        room.desk.disposal_run.run(RECORDS, disposal)
    with pytest.raises(ClockWentBackError):
        room.desk.disposals.propose(RECORDS)
    assert room.is_alive(message)


def test_clock_set_back_does_not_shorten_the_cooling_off(room: RecordsRoom) -> None:
    room.put_in_force()
    message = room.receive()
    proposed = room.desk.disposals.propose(RECORDS)
    room.clock.advance(-COOLING_OFF)
    with pytest.raises(ClockWentBackError):
        room.desk.disposals.approve(APPROVER, proposed.id, set_hash=proposed.set_hash)
    assert room.is_alive(message)


def test_audit_log_that_does_not_hold_stops_the_run(room: RecordsRoom) -> None:
    room.put_in_force()
    message = room.receive()
    disposal = room.approved()
    by_hand(room, "UPDATE audit_entries SET actor = 'nobody' WHERE event = 'message.accepted'")
    refused(lambda: room.desk.disposal_run.run(RECORDS, disposal))
    assert room.is_alive(message)
