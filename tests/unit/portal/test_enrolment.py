"""Enrolling: three steps, one code, and nothing changed before the last."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from portal.account_records import AccountState
from portal.enrolment import CODE_ALPHABET, WRONG_TRIES, code_from
from portal.errors import StepMissingError, TooManyTriesError
from portal.sessions import Session
from portal.sign_in import Wrong
from portal.sign_in_rules import Step
from tests.portal_room import PATIENT_EMAIL, PATIENT_PASSWORD, PortalRoom, Somebody, portal_room

HERE = "192.0.2.1"


@pytest.fixture
def room(tmp_path: Path) -> Iterator[PortalRoom]:
    with portal_room(tmp_path / "vault") as opened:
        yield opened


def with_code(room: PortalRoom, somebody: Somebody, code: str | None = None) -> Session | Wrong:
    session = room.portal.desk.sessions.anonymous()
    return room.portal.enrolment.code(session, somebody.email, code or somebody.enrolment_code, HERE)


def with_password(room: PortalRoom, somebody: Somebody) -> Session:
    chosen = room.portal.enrolment.password(room.found(with_code(room, somebody)), PATIENT_PASSWORD)
    assert isinstance(chosen, Session)
    return room.found(chosen)


def finish(room: PortalRoom, session: Session) -> Session | Wrong:
    secret = room.portal.enrolment.offered_secret(session)
    return room.portal.enrolment.authenticator(session, room.code(secret), HERE)


def test_a_code_is_sixty_bits_in_signs_that_cannot_be_mistaken() -> None:
    code = code_from(bytes(range(12)))
    assert len(code) == 14
    assert len(CODE_ALPHABET) == 32
    assert not set("IO01") & set(CODE_ALPHABET)


def test_three_steps_lead_in(room: PortalRoom) -> None:
    somebody = room.invited()
    answer = finish(room, with_password(room, somebody))
    assert isinstance(answer, Session)
    assert answer.step is Step.SIGNED_IN
    assert room.portal.people.by_email(PATIENT_EMAIL).state is AccountState.ACTIVE


def test_spaces_dashes_and_case_of_the_code_do_not_matter(room: PortalRoom) -> None:
    somebody = room.invited()
    typed = " ".join(somebody.enrolment_code.lower().replace("-", ""))
    assert isinstance(with_code(room, somebody, typed), Session)


def test_an_enrolment_given_up_halfway_changes_nothing_and_the_code_still_works(room: PortalRoom) -> None:
    somebody = room.invited()
    with_password(room, somebody)
    assert room.portal.people.by_email(PATIENT_EMAIL).state is AccountState.INVITED
    assert isinstance(finish(room, with_password(room, somebody)), Session)


def test_a_code_works_once(room: PortalRoom) -> None:
    somebody = room.invited()
    finish(room, with_password(room, somebody))
    assert isinstance(with_code(room, somebody), Wrong)


def test_two_people_with_one_code_the_second_to_finish_is_refused(room: PortalRoom) -> None:
    somebody = room.invited()
    first, second = with_password(room, somebody), with_password(room, somebody)
    finish(room, first)
    with pytest.raises(StepMissingError):
        finish(room, second)


def test_a_code_runs_out_after_fourteen_days(room: PortalRoom) -> None:
    somebody = room.invited()
    room.clock.advance(timedelta(days=14))
    assert isinstance(with_code(room, somebody), Wrong)


def test_a_new_code_ends_the_old_one(room: PortalRoom) -> None:
    somebody, desk = room.invited(), room.staff()
    new = room.portal.people.new_enrolment_code(desk.actor, somebody.account.id)
    assert isinstance(with_code(room, somebody), Wrong)
    assert isinstance(with_code(room, somebody, new), Session)


def test_a_code_is_void_after_ten_wrong_tries_however_slowly(room: PortalRoom) -> None:
    somebody = room.invited()
    for _ in range(WRONG_TRIES):
        assert isinstance(with_code(room, somebody, "AAAA-BBBB-CCCC"), Wrong)
        room.clock.advance(timedelta(minutes=20))
    assert isinstance(with_code(room, somebody), Wrong)


def test_quick_tries_have_to_wait(room: PortalRoom) -> None:
    somebody = room.invited()
    for _ in range(5):
        with_code(room, somebody, "AAAA-BBBB-CCCC")
    with pytest.raises(TooManyTriesError):
        with_code(room, somebody)


def test_a_code_of_one_patient_is_nothing_for_another(room: PortalRoom) -> None:
    somebody, other = room.invited(), room.invited("olga@mail.example", "Olga Smith")
    assert isinstance(with_code(room, somebody, other.enrolment_code), Wrong)


def test_a_weak_password_is_refused_with_a_reason(room: PortalRoom) -> None:
    session = room.found(with_code(room, room.invited()))
    assert "at least 12" in str(room.portal.enrolment.password(session, "short"))


def test_the_wrong_first_code_of_the_app_finishes_nothing(room: PortalRoom) -> None:
    session = with_password(room, room.invited())
    assert isinstance(room.portal.enrolment.authenticator(session, "000000", HERE), Wrong)
    assert room.portal.people.by_email(PATIENT_EMAIL).state is AccountState.INVITED


def test_the_code_that_finished_enrolment_does_not_sign_in_again(room: PortalRoom) -> None:
    somebody = room.invited()
    session = with_password(room, somebody)
    secret = room.portal.enrolment.offered_secret(session)
    finish(room, session)
    anonymous = room.portal.desk.sessions.anonymous()
    halfway = room.portal.sign_in.password(anonymous, PATIENT_EMAIL, PATIENT_PASSWORD, HERE)
    assert isinstance(room.portal.sign_in.one_time_code(room.found(halfway), room.code(secret), HERE), Wrong)


def test_a_reset_ends_old_factors_and_sessions_at_once(room: PortalRoom) -> None:
    desk, patient = room.staff(), room.patient()
    room.portal.people.new_enrolment_code(desk.actor, patient.account.id)
    anonymous = room.portal.desk.sessions.anonymous()
    assert isinstance(room.portal.sign_in.password(anonymous, patient.email, patient.password, HERE), Wrong)
    with room.database.read() as connection:
        assert room.portal.desk.sessions.count(connection, patient.account.id, room.clock.now()) == 0


def test_every_step_is_audited(room: PortalRoom) -> None:
    somebody = room.invited()
    with_code(room, somebody, "AAAA-BBBB-CCCC")
    finish(room, with_password(room, somebody))
    assert room.events() == ["account.added", "enrolment.refused", "enrolment.done"]
