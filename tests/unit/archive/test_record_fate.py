from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from archive.disposal_decision import Why
from archive.two_persons import NotPermittedError
from mailstore.errors import NotFoundError
from tests.records_room import CLINICIAN, RECORDS, RecordsRoom


@pytest.fixture
def room(tmp_path: Path) -> RecordsRoom:
    return RecordsRoom(tmp_path / "data")


def test_record_that_may_go_is_told_so(room: RecordsRoom) -> None:
    room.put_in_force()
    message = room.receive("newsletter")
    fate = room.desk.fates.of(RECORDS, message)
    assert fate.may_go
    assert fate.category is not None
    assert (fate.category.name, fate.keep) == ("passing", None)


def test_record_that_stays_says_why_and_until_when(room: RecordsRoom) -> None:
    room.put_in_force()
    bill, other = room.receive("invoice"), room.receive("something else")
    fate = room.desk.fates.of(RECORDS, bill)
    assert fate.keep is not None
    assert fate.keep.why is Why.NOT_DUE
    assert fate.due_at is not None
    assert fate.due_at - room.clock.now() > timedelta(days=3650)
    unnamed = room.desk.fates.of(RECORDS, other)
    assert unnamed.keep is not None
    assert (unnamed.category, unnamed.due_at, unnamed.keep.why) == (None, None, Why.UNCLASSIFIED)


def test_record_without_any_schedule_is_kept(room: RecordsRoom) -> None:
    fate = room.desk.fates.of(RECORDS, room.receive())
    assert fate.keep is not None
    assert (fate.keep.why, fate.category) == (Why.NO_SCHEDULE, None)


def test_holds_that_keep_a_record_are_named(room: RecordsRoom) -> None:
    room.put_in_force()
    message = room.receive("newsletter")
    hold = room.desk.holds.place(RECORDS, name="n", reason="r").id
    fate = room.desk.fates.of(RECORDS, message)
    assert fate.keep is not None
    assert fate.keep.holds == (hold,)


def test_fate_is_told_to_those_who_keep_records_only(room: RecordsRoom) -> None:
    message = room.receive()
    with pytest.raises(NotPermittedError):
        room.desk.fates.of(CLINICIAN, message)
    with pytest.raises(NotFoundError):
        room.desk.fates.of(RECORDS, room.receive(is_captured=False))


def test_what_has_passed_its_period_is_counted_without_opening_anything(room: RecordsRoom) -> None:
    room.put_in_force()
    for subject in ("newsletter", "newsletter", "invoice"):
        room.receive(subject)
    room.desk.reclassification.run()
    room.clock.advance(timedelta(seconds=1))
    assert room.desk.disposals.past_period(RECORDS) == 2
    with pytest.raises(NotPermittedError):
        room.desk.disposals.past_period(CLINICIAN)
