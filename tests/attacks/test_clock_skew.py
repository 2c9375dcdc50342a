"""A wrong clock destroys, releases and unlocks nothing (I10): set forward, set back, and forth again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from archive.legal_hold import HoldState
from mailstore.errors import StrongroomError
from portal.sessions import Session
from portal.sign_in import Wrong
from tests.portal_room import PortalRoom, Somebody, portal_room
from tests.records_room import APPROVER, RECORDS, RecordsRoom

YEARS = timedelta(days=3653)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[RecordsRoom]:
    made = RecordsRoom(tmp_path / "data")
    yield made
    made.vault.close()


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[PortalRoom]:
    with portal_room(tmp_path / "vault") as opened:
        yield opened


def signed_in(portal: PortalRoom, patient: Somebody) -> Session:
    session = portal.portal.sign_in.password(
        portal.portal.desk.sessions.anonymous(), patient.email, patient.password, "192.0.2.1"
    )
    assert isinstance(session, Session)
    session = portal.portal.sign_in.one_time_code(portal.found(session), portal.code(patient.totp_secret), "192.0.2.1")
    assert isinstance(session, Session)
    return session


@pytest.mark.parametrize("jump", [YEARS, -YEARS, timedelta(days=8), timedelta(hours=-1)])
def test_jump_alone_destroys_and_releases_nothing(room: RecordsRoom, jump: timedelta) -> None:
    room.put_in_force()
    message, held = room.receive("newsletter"), room.receive("newsletter", body="litigated")
    hold = room.desk.holds.place(RECORDS, name="Adams", reason="counsel", query="litigated").id
    room.clock.advance(jump)
    room.desk.reclassification.run()
    room.vault.release()
    room.vault.orphan_sweep().run()
    assert room.is_alive(message)
    assert room.is_alive(held)
    assert room.desk.holds.show(RECORDS, hold).state is HoldState.ACTIVE


def test_held_message_lives_through_a_disposal_under_any_clock(room: RecordsRoom) -> None:
    room.put_in_force()
    held = room.receive("newsletter", body="litigated")
    room.desk.holds.place(RECORDS, name="Adams", reason="counsel", query="litigated")
    free = room.receive("newsletter")
    proposed = room.desk.disposals.propose(RECORDS)
    room.desk.disposals.approve(APPROVER, proposed.id, set_hash=proposed.set_hash)
    room.clock.advance(YEARS)
    room.desk.disposal_run.run(RECORDS, proposed.id)
    assert room.is_alive(held)
    assert not room.is_alive(free)


def test_approval_of_another_time_is_not_run_when_the_clock_went_back(room: RecordsRoom) -> None:
    room.put_in_force()
    message, disposal = room.receive("newsletter"), ""
    room.clock.advance(timedelta(minutes=1))
    disposal = room.approved()
    room.clock.advance(-YEARS)
    with pytest.raises(StrongroomError):
        room.desk.disposal_run.run(RECORDS, disposal)
    assert room.is_alive(message)


@pytest.mark.parametrize("jump", [YEARS, -YEARS, timedelta(hours=13), timedelta(minutes=-10)])
def test_jump_ends_sessions_and_never_lengthens_them(portal: PortalRoom, jump: timedelta) -> None:
    session = signed_in(portal, portal.patient())
    portal.clock.advance(jump)
    assert portal.portal.desk.sessions.find(session.id, portal.clock.now()) is None


def test_step_of_a_time_server_signs_nobody_out(portal: PortalRoom) -> None:
    session = signed_in(portal, portal.patient())
    portal.clock.advance(timedelta(seconds=-30))
    assert portal.portal.desk.sessions.find(session.id, portal.clock.now()) is not None


def test_code_that_was_used_stays_used_when_the_clock_goes_back(portal: PortalRoom) -> None:
    patient = portal.patient()
    used = portal.code(patient.totp_secret)
    signed_in(portal, patient)
    then = portal.clock.now()
    portal.clock.advance(timedelta(hours=1))
    signed_in(portal, patient)
    portal.clock.advance(then - portal.clock.now())
    session = portal.portal.sign_in.password(
        portal.portal.desk.sessions.anonymous(), patient.email, patient.password, "192.0.2.1"
    )
    assert isinstance(session, Session)
    assert isinstance(portal.portal.sign_in.one_time_code(portal.found(session), used, "192.0.2.1"), Wrong)


def test_wait_after_wrong_answers_is_not_cut_short_for_ever_nor_made_endless(portal: PortalRoom) -> None:
    """Set forward and back again, nobody waits longer than the longest wait after the clock is right."""
    patient = portal.patient()
    for _ in range(5):
        assert isinstance(
            portal.portal.sign_in.password(portal.portal.desk.sessions.anonymous(), patient.email, "no", "192.0.2.1"),
            Wrong,
        )
        portal.clock.advance(timedelta(minutes=16))
    assert isinstance(signed_in(portal, patient), Session)


def test_enrolment_code_is_void_after_a_jump_forward(portal: PortalRoom) -> None:
    invited = portal.invited()
    portal.clock.advance(YEARS)
    answer = portal.portal.enrolment.code(
        portal.portal.desk.sessions.anonymous(), invited.email, invited.enrolment_code, "192.0.2.1"
    )
    assert isinstance(answer, Wrong)
