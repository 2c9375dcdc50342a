from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from archive.retention_schedule import ScheduleError
from archive.schedule_records import ScheduleState
from archive.schedules import NotProposedError
from archive.two_persons import NotPermittedError, SecondPersonNeededError
from mailstore.errors import NotFoundError
from tests.records_room import APPROVER, CLINICIAN, RECORDS, SCHEDULE, RecordsRoom


@pytest.fixture
def room(tmp_path: Path) -> RecordsRoom:
    return RecordsRoom(tmp_path / "data")


def test_schedule_is_in_force_only_when_a_second_person_approved(room: RecordsRoom) -> None:
    schedule = room.desk.schedules.propose(RECORDS, SCHEDULE)
    with pytest.raises(NotFoundError):
        room.desk.schedules.active()
    with pytest.raises(SecondPersonNeededError):
        room.desk.schedules.approve(RECORDS, schedule)
    room.desk.schedules.approve(APPROVER, schedule)
    active = room.desk.schedules.active()
    assert (active.id, active.text, active.proposed_by, active.approved_by) == (
        schedule,
        SCHEDULE,
        RECORDS.account,
        APPROVER.account,
    )
    assert room.events("schedule.proposed") == room.events("schedule.approved") == [schedule]


def test_next_version_retires_the_one_before(room: RecordsRoom) -> None:
    first = room.put_in_force()
    room.clock.advance(timedelta(days=1))
    second = room.put_in_force(SCHEDULE.replace("10 years", "7 years"))
    states = {view.id: view.state for view in room.desk.schedules.versions()}
    assert states == {first: ScheduleState.RETIRED, second: ScheduleState.ACTIVE}
    assert room.desk.schedules.version(first).text == SCHEDULE


def test_change_is_shown_before_it_is_approved(room: RecordsRoom) -> None:
    room.put_in_force()
    changed = SCHEDULE.replace("10 years", "7 years").replace("0 days", "3 days").replace("subject:newsletter", "spam")
    schedule = room.desk.schedules.propose(RECORDS, changed)
    change = room.desk.schedules.change(APPROVER, schedule)
    assert change.shorter == ("billing: 10 years -> 7 years",)
    assert change.longer == ("passing: 0 days -> 3 days",)
    assert change.rules_added == ("passing: spam",)
    assert change.rules_removed == ("passing: subject:newsletter",)
    assert room.desk.schedules.approve(APPROVER, schedule) == change


def test_version_is_approved_once(room: RecordsRoom) -> None:
    schedule = room.put_in_force()
    with pytest.raises(NotProposedError):
        room.desk.schedules.approve(APPROVER, schedule)


def test_only_those_who_keep_records_touch_schedules(room: RecordsRoom) -> None:
    schedule = room.desk.schedules.propose(RECORDS, SCHEDULE)
    for call in (
        lambda: room.desk.schedules.propose(CLINICIAN, SCHEDULE),
        lambda: room.desk.schedules.approve(CLINICIAN, schedule),
        lambda: room.desk.schedules.change(CLINICIAN, schedule),
        lambda: room.desk.schedules.simulate(CLINICIAN, SCHEDULE),
    ):
        with pytest.raises(NotPermittedError):
            call()


def test_text_that_is_no_schedule_leaves_no_version(room: RecordsRoom) -> None:
    with pytest.raises(ScheduleError):
        room.desk.schedules.propose(RECORDS, "nonsense")
    assert room.desk.schedules.versions() == []


def test_rules_do_not_lie_readable_on_the_disk(room: RecordsRoom) -> None:
    room.put_in_force(SCHEDULE.replace('match = "invoice"', 'match = "jabberwocky"'))
    assert not room.vault.files_hold(b"jabberwocky")


def test_simulation_tells_what_would_be_due_and_changes_nothing(room: RecordsRoom) -> None:
    room.put_in_force()
    letter, bill, other = room.receive("newsletter"), room.receive("your invoice"), room.receive("lunch")
    seen: list[tuple[int, int]] = []
    longer = SCHEDULE.replace("0 days", "100 days")
    outcome = room.desk.schedules.simulate(RECORDS, longer, lambda done, of: seen.append((done, of)))
    told = {each.name: each for each in outcome.categories}
    assert (told["passing"].messages, told["passing"].due_now, told["passing"].due_within_year) == (1, 0, 1)
    assert told["passing"].samples == (letter,)
    assert told["billing"].samples == (bill,)
    assert told["unclassified"].samples == (other,)
    assert (outcome.messages, outcome.later, outcome.sooner, outcome.newly_due) == (3, 1, 0, 0)
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert room.desk.schedules.active().text == SCHEDULE


def test_simulation_names_what_a_shorter_schedule_would_kill_at_once(room: RecordsRoom) -> None:
    room.put_in_force()
    bill = room.receive("your invoice")
    outcome = room.desk.schedules.simulate(RECORDS, SCHEDULE.replace("10 years", "0 days"))
    assert (outcome.newly_due, outcome.newly_due_samples, outcome.sooner) == (1, (bill,), 1)


def test_proposed_version_is_withdrawn_by_its_proposer_alone_and_never_comes_into_force(room: RecordsRoom) -> None:
    schedule = room.desk.schedules.propose(RECORDS, SCHEDULE)
    with pytest.raises(NotPermittedError):
        room.desk.schedules.withdraw(APPROVER, schedule)
    room.desk.schedules.withdraw(RECORDS, schedule)
    assert room.desk.schedules.version(schedule).state is ScheduleState.WITHDRAWN
    assert room.events("schedule.withdrawn") == [schedule]
    with pytest.raises(NotProposedError):
        room.desk.schedules.approve(APPROVER, schedule)


def test_version_in_force_cannot_be_withdrawn(room: RecordsRoom) -> None:
    schedule = room.put_in_force()
    with pytest.raises(NotProposedError):
        room.desk.schedules.withdraw(RECORDS, schedule)
    assert room.desk.schedules.active().id == schedule


def test_version_that_is_not_there_is_not_found(room: RecordsRoom) -> None:
    with pytest.raises(NotFoundError) as refused:
        room.desk.schedules.approve(APPROVER, "x" * 26)
    assert refused.value.fix
