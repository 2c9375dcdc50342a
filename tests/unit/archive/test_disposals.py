from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from archive.disposal_records import DisposalState
from archive.disposals import NoScheduleError, ScheduleChangedError, WrongDisposalStateError, WrongSetError
from archive.two_persons import NotPermittedError, SecondPersonNeededError
from mailstore.actor import SYSTEM, Actor, Role
from mailstore.errors import NotFoundError
from mailstore.message import AccountId, RecipientState
from tests.records_room import APPROVER, CLINICIAN, COOLING_OFF, RECORDS, SCHEDULE, RecordsRoom


@pytest.fixture
def room(tmp_path: Path) -> RecordsRoom:
    return RecordsRoom(tmp_path / "data")


def test_proposal_holds_exactly_what_is_due(room: RecordsRoom) -> None:
    room.put_in_force()
    due = {room.receive("newsletter"), room.receive("newsletter two")}
    for subject in ("newsletter with invoice", "lunch"):
        room.receive(subject)
    room.receive("newsletter", state=RecipientState.DEFERRED)
    room.receive("newsletter", is_captured=False)
    proposed = room.desk.disposals.propose(RECORDS)
    view = room.desk.disposals.show(APPROVER, proposed.id)
    assert {item.message for item in view.items} == due
    assert (proposed.messages, proposed.held, view.record.state) == (2, 0, DisposalState.PROPOSED)
    assert view.record.set_hash == proposed.set_hash


def test_calendar_decides_to_the_microsecond(room: RecordsRoom) -> None:
    room.put_in_force(SCHEDULE.replace("0 days", "1 year"))
    room.receive("newsletter")
    room.clock.advance(timedelta(days=365) - timedelta(microseconds=1))
    assert room.desk.disposals.propose(RECORDS).messages == 0
    room.clock.advance(timedelta(microseconds=1))
    assert room.desk.disposals.propose(RECORDS).messages == 1


def test_messages_whose_category_is_not_past_are_not_opened(room: RecordsRoom) -> None:
    room.put_in_force()
    room.receive("newsletter")
    room.receive("invoice")
    room.receive("lunch")
    room.desk.reclassification.run()
    looked_at: list[int] = []
    proposed = room.desk.disposals.propose(RECORDS, progress=lambda _number, of: looked_at.append(of))
    assert (proposed.messages, looked_at) == (1, [1])


def test_what_an_older_schedule_classified_is_opened_and_decided_anew(room: RecordsRoom) -> None:
    room.put_in_force(SCHEDULE.replace("newsletter", "lunch"))
    room.receive("newsletter")
    room.desk.reclassification.run()
    room.put_in_force()
    assert room.desk.disposals.propose(RECORDS).messages == 1


def test_leap_day_is_not_overlooked(room: RecordsRoom) -> None:
    room.put_in_force(SCHEDULE.replace("0 days", "1 year"))
    room.clock.advance(datetime(2028, 2, 29, 12, tzinfo=UTC) - room.clock.now())
    room.receive("newsletter")
    room.desk.reclassification.run()
    room.clock.advance(datetime(2029, 3, 1, 12, tzinfo=UTC) - room.clock.now())
    assert room.desk.disposals.propose(RECORDS).messages == 1


def test_date_field_is_never_asked(room: RecordsRoom) -> None:
    room.put_in_force(SCHEDULE.replace("0 days", "1 year"))
    room.receive("newsletter", headers="Date: Mon, 1 Jan 1990 00:00:00 +0000\r\n")
    assert room.desk.disposals.propose(RECORDS).messages == 0


def test_held_records_are_counted_and_left_out(room: RecordsRoom) -> None:
    room.put_in_force()
    room.receive(to=("bob@x.example",))
    room.receive()
    room.desk.holds.place(RECORDS, name="n", reason="r", custodians=["bob@x.example"])
    proposed = room.desk.disposals.propose(RECORDS)
    assert (proposed.messages, proposed.held) == (1, 1)


def test_nothing_is_due_without_a_schedule(room: RecordsRoom) -> None:
    room.receive()
    with pytest.raises(NoScheduleError):
        room.desk.disposals.propose(RECORDS)


def test_approval_names_the_exact_set_and_starts_the_cooling_off(room: RecordsRoom) -> None:
    room.put_in_force()
    room.receive()
    proposed = room.desk.disposals.propose(RECORDS)
    with pytest.raises(WrongSetError):
        room.desk.disposals.approve(APPROVER, proposed.id, set_hash=bytes(32))
    approved = room.desk.disposals.approve(APPROVER, proposed.id, set_hash=proposed.set_hash)
    assert approved.state is DisposalState.APPROVED
    assert approved.cooled_off_at == room.clock.now() + COOLING_OFF
    with pytest.raises(WrongDisposalStateError):
        room.desk.disposals.approve(APPROVER, proposed.id, set_hash=proposed.set_hash)


def test_roles_are_kept_apart(room: RecordsRoom) -> None:
    room.put_in_force()
    room.receive()
    with pytest.raises(NotPermittedError):
        room.desk.disposals.propose(APPROVER)
    proposed = room.desk.disposals.propose(RECORDS)
    with pytest.raises(NotPermittedError):
        room.desk.disposals.approve(RECORDS, proposed.id, set_hash=proposed.set_hash)
    turned_approver = Actor(RECORDS.account, Role.APPROVER)
    with pytest.raises(SecondPersonNeededError):
        room.desk.disposals.approve(turned_approver, proposed.id, set_hash=proposed.set_hash)
    for role in (Role.CLINICIAN, Role.ADMIN, Role.PATIENT, Role.FRONTDESK):
        with pytest.raises(NotPermittedError):
            room.desk.disposals.show(Actor(CLINICIAN.account, role), proposed.id)


def test_machine_itself_may_look_and_do_nothing(room: RecordsRoom) -> None:
    room.put_in_force()
    room.receive()
    proposed = room.desk.disposals.propose(RECORDS)
    assert room.desk.disposals.show(SYSTEM, proposed.id).record.messages == 1
    assert room.desk.holds.all(SYSTEM) == []
    for call in (
        lambda: room.desk.disposals.propose(SYSTEM),
        lambda: room.desk.disposals.approve(SYSTEM, proposed.id, set_hash=proposed.set_hash),
        lambda: room.desk.disposal_run.run(SYSTEM, proposed.id),
        lambda: room.desk.holds.place(SYSTEM, name="n", reason="r"),
        lambda: room.desk.schedules.propose(SYSTEM, SCHEDULE),
    ):
        with pytest.raises(NotPermittedError):
            call()


def test_schedule_changed_since_the_proposal_stops_the_approval(room: RecordsRoom) -> None:
    room.put_in_force()
    room.receive()
    proposed = room.desk.disposals.propose(RECORDS)
    room.put_in_force(SCHEDULE.replace("10 years", "7 years"))
    with pytest.raises(ScheduleChangedError):
        room.desk.disposals.approve(APPROVER, proposed.id, set_hash=proposed.set_hash)


def test_disposal_that_is_not_there_is_not_found(room: RecordsRoom) -> None:
    with pytest.raises(NotFoundError) as refused:
        room.desk.disposals.show(RECORDS, "x" * 26)
    assert refused.value.fix


def test_empty_proposal_is_an_honest_answer(room: RecordsRoom) -> None:
    room.put_in_force()
    proposed = room.desk.disposals.propose(RECORDS)
    assert (proposed.messages, proposed.held) == (0, 0)
    assert [record.id for record in room.desk.disposals.all(APPROVER)] == [proposed.id]


def test_proposer_and_approver_take_their_own_step_back_and_nobody_else_does(room: RecordsRoom) -> None:
    room.put_in_force()
    message = room.receive("newsletter")
    proposed = room.desk.disposals.propose(RECORDS)
    for other in (APPROVER, CLINICIAN, Actor(AccountId("z" * 26), Role.RECORDS), SYSTEM):
        with pytest.raises(NotPermittedError):
            room.desk.disposals.withdraw(other, proposed.id)
    room.desk.disposals.approve(APPROVER, proposed.id, set_hash=proposed.set_hash)
    assert room.desk.disposals.withdraw(APPROVER, proposed.id).state is DisposalState.WITHDRAWN
    assert room.events("disposal.withdrawn") == [proposed.id]
    room.clock.advance(COOLING_OFF)
    for step in (
        lambda: room.desk.disposal_run.run(RECORDS, proposed.id),
        lambda: room.desk.disposals.approve(APPROVER, proposed.id, set_hash=proposed.set_hash),
        lambda: room.desk.disposals.withdraw(RECORDS, proposed.id),
    ):
        with pytest.raises(WrongDisposalStateError):
            step()
    assert room.vault.retrieval().content(message)
    assert room.desk.disposals.propose(RECORDS).messages == 1


def test_disposal_that_was_carried_out_cannot_be_withdrawn(room: RecordsRoom) -> None:
    room.put_in_force()
    room.receive("newsletter")
    proposed = room.desk.disposals.propose(RECORDS)
    room.desk.disposals.approve(APPROVER, proposed.id, set_hash=proposed.set_hash)
    room.clock.advance(COOLING_OFF)
    room.desk.disposal_run.run(RECORDS, proposed.id)
    with pytest.raises(WrongDisposalStateError):
        room.desk.disposals.withdraw(RECORDS, proposed.id)
