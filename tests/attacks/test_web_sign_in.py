"""Guessing, spraying, replaying, racing and side-stepping the sign-in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from time import perf_counter

import pytest

from portal.errors import TooManyTriesError
from portal.sessions import COOKIE, Session
from portal.settings import PasswordCost
from portal.sign_in import Wrong
from portal.sign_in_rules import Step
from tests.portal_room import PATIENT_EMAIL, PATIENT_PASSWORD, PortalRoom, Somebody, portal_room

HERE, ELSEWHERE = "192.0.2.1", "198.51.100.7"


@pytest.fixture
def room(tmp_path: Path) -> Iterator[PortalRoom]:
    with portal_room(tmp_path / "vault") as opened:
        yield opened


def halfway(room: PortalRoom, somebody: Somebody) -> Session:
    session = room.portal.sign_in.password(
        room.portal.desk.sessions.anonymous(), somebody.email, somebody.password, HERE
    )
    assert isinstance(session, Session)
    return room.found(session)


def without_tokens(page: str) -> str:
    return re.sub(r'value="[0-9a-f]{64}"', "", page)


def test_an_unknown_account_is_answered_with_the_same_bytes(room: PortalRoom) -> None:
    room.patient()
    room.invited("invited@mail.example", "In Vited")
    answers = {}
    for login in (PATIENT_EMAIL, "nobody@mail.example", "invited@mail.example"):
        with room.visitor() as visitor:
            visitor.get("/sign-in")
            answer = visitor.post("/sign-in", {"login": login, "password": "wrong password here"})
            answers[login] = (answer.status_code, without_tokens(answer.text).replace(login, ""))
    assert len(set(answers.values())) == 1


def test_an_unknown_account_takes_as_long_as_a_known_one(tmp_path: Path) -> None:
    cost = PasswordCost(memory_kib=16_384, passes=2, lanes=1, at_once=1)
    with portal_room(tmp_path / "vault", password_cost=cost) as room:
        room.patient()
        times: dict[str, list[float]] = {PATIENT_EMAIL: [], "nobody@mail.example": []}
        for _ in range(7):
            for login, taken in times.items():
                begun = perf_counter()
                room.portal.sign_in._with_password(login, "wrong password here")
                taken.append(perf_counter() - begun)
        known, unknown = map(min, times.values())  # the others waited for a busy machine
        assert 0.5 < unknown / known < 2


def test_an_enrolment_says_the_same_to_a_stranger_as_to_a_patient_with_the_wrong_code(room: PortalRoom) -> None:
    room.invited()
    answers = set()
    for login in (PATIENT_EMAIL, "nobody@mail.example"):
        with room.visitor() as visitor:
            visitor.get("/enrol")
            answer = visitor.post("/enrol", {"login": login, "code": "AAAA-BBBB-CCCC"})
            answers.add((answer.status_code, without_tokens(answer.text).replace(login, "")))
    assert len(answers) == 1


@pytest.mark.parametrize("login", [PATIENT_EMAIL, "nobody@mail.example"])
def test_guessing_passwords_has_to_wait_and_the_wait_grows(room: PortalRoom, login: str) -> None:
    room.patient()
    waits = []
    for _ in range(40):
        try:
            room.portal.sign_in.password(room.portal.desk.sessions.anonymous(), login, "wrong password", HERE)
        except TooManyTriesError as error:
            waits.append(error.seconds)
            room.clock.advance(timedelta(seconds=error.seconds))
    assert waits == sorted(waits)
    assert waits[0] <= 2
    assert waits[-1] == 900


def test_the_right_password_has_to_wait_too(room: PortalRoom) -> None:
    patient = room.patient()
    for _ in range(5):
        room.portal.sign_in.password(room.portal.desk.sessions.anonymous(), patient.email, "wrong", ELSEWHERE)
    with pytest.raises(TooManyTriesError):
        halfway(room, patient)


def test_spraying_one_password_over_many_accounts_is_slowed_by_address(room: PortalRoom) -> None:
    def spray(accounts: int) -> None:
        for number in range(accounts):
            anonymous = room.portal.desk.sessions.anonymous()
            room.portal.sign_in.password(anonymous, f"p{number}@mail.example", "welcome12345", HERE)

    with pytest.raises(TooManyTriesError):
        spray(40)


def test_one_time_codes_cannot_be_tried_through(room: PortalRoom) -> None:
    """With the password known, about ten tries an hour are left against a million codes."""
    patient = room.patient()
    tries, begun = 0, room.clock.now()
    while room.clock.now() - begun < timedelta(hours=3):
        try:
            session = halfway(room, patient)
            assert isinstance(room.portal.sign_in.one_time_code(session, "000000", HERE), Wrong)
            tries += 1
        except TooManyTriesError as error:
            room.clock.advance(timedelta(seconds=error.seconds))
    assert tries < 40


def test_a_code_that_was_seen_over_the_shoulder_is_worth_nothing(room: PortalRoom) -> None:
    patient = room.patient()
    code = room.code(patient.totp_secret)
    assert isinstance(room.portal.sign_in.one_time_code(halfway(room, patient), code, HERE), Session)
    assert isinstance(room.portal.sign_in.one_time_code(halfway(room, patient), code, ELSEWHERE), Wrong)


def test_of_two_at_once_with_one_code_one_gets_in(room: PortalRoom) -> None:
    patient = room.patient()
    sessions = [halfway(room, patient) for _ in range(4)]
    code = room.code(patient.totp_secret)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda each: room.portal.sign_in.one_time_code(each, code, HERE), sessions))
    assert sum(isinstance(each, Session) for each in answers) == 1


def test_parallel_guesses_are_counted_before_they_are_judged(room: PortalRoom) -> None:
    patient = room.patient()
    sessions = [halfway(room, patient) for _ in range(12)]

    def guess(session: Session) -> str:
        try:
            return type(room.portal.sign_in.one_time_code(session, "000000", HERE)).__name__
        except TooManyTriesError:
            return "wait"

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(guess, sessions))
    assert answers.count("Wrong") <= 5


def test_the_password_alone_opens_no_page(room: PortalRoom) -> None:
    ruiz, patient = room.staff(), room.patient()
    letter = room.letter(ruiz, patient)
    pages = (
        "/conversations",
        f"/messages/{letter}/frame",
        f"/messages/{letter}/attachments/0",
        "/write",
        "/account",
        f"/m/{letter}",
    )
    with room.visitor() as visitor:
        visitor.get("/sign-in")
        visitor.post("/sign-in", {"login": patient.email, "password": patient.password})
        assert visitor.at == "/sign-in/code"
        for path in pages:
            visitor.get(path)
            assert visitor.at == "/sign-in/code", path
            assert "All is well" not in visitor.page.text
    assert "message.opened" not in room.events()


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_enrolment_stopped_at_any_step_opens_no_page(room: PortalRoom, steps: int) -> None:
    ruiz, invited = room.staff(), room.invited()
    room.letter(ruiz, invited)
    with room.visitor() as visitor:
        visitor.get("/enrol")
        if steps > 0:
            visitor.post("/enrol", {"login": invited.email, "code": invited.enrolment_code})
        if steps > 1:
            visitor.post("/enrol/password", {"password": PATIENT_PASSWORD})
        reached = ("/enrol", "/enrol/password", "/enrol/factor")[steps]
        assert visitor.at == reached
        for path in ("/conversations", "/write", "/account", "/enrol/factor" if steps < 2 else "/inbox"):
            visitor.get(path)
            assert visitor.at.startswith(("/sign-in", "/enrol", "/inbox"))
            assert "All is well" not in visitor.page.text
            assert "Sign out" not in visitor.page.text


def test_a_password_reset_by_code_needs_the_second_factor_again(room: PortalRoom) -> None:
    """The side door: a new code does not let somebody in with the old password or the old authenticator."""
    desk, patient = room.staff(), room.patient()
    code = room.portal.people.new_enrolment_code(desk.actor, patient.account.id)
    session = room.portal.enrolment.code(room.portal.desk.sessions.anonymous(), patient.email, code, HERE)
    assert isinstance(session, Session)
    assert session.step is Step.CODE_PROVEN
    assert session.actor is None


def test_an_id_planted_in_the_browser_is_not_adopted(room: PortalRoom) -> None:
    patient = room.patient()
    planted = "A" * 43
    with room.visitor() as visitor:
        visitor.client.cookies.set(COOKIE, planted, domain="portal.clinic.example", path="/")
        visitor.get("/sign-in")
        assert planted not in visitor.client.cookies.values()
        room.sign_in(visitor, patient)
        assert planted not in visitor.client.cookies.values()


def test_the_id_before_signing_in_is_worth_nothing_afterwards(room: PortalRoom) -> None:
    patient = room.patient()
    seen = []
    with room.visitor() as visitor:
        visitor.get("/sign-in")
        seen.append(visitor.client.cookies[COOKIE])
        visitor.post("/sign-in", {"login": patient.email, "password": patient.password})
        seen.append(visitor.client.cookies[COOKIE])
        visitor.post("/sign-in/code", {"code": room.code(patient.totp_secret)})
        seen.append(visitor.client.cookies[COOKIE])
    assert len(set(seen)) == 3
    steps = [room.portal.desk.sessions.find(each, room.clock.now()) for each in seen]
    assert [each.step if each else None for each in steps] == [Step.ANONYMOUS, None, Step.SIGNED_IN]


def test_the_cookie_is_out_of_reach_of_script_and_other_hosts(room: PortalRoom) -> None:
    with room.visitor() as visitor:
        cookie = visitor.client.get("/sign-in").headers["set-cookie"]
    assert cookie.startswith("__Host-")
    for word in ("Secure", "HttpOnly", "SameSite=lax", "Path=/"):
        assert word.lower() in cookie.lower()
    assert "domain" not in cookie.lower()


def test_after_signing_out_the_cookie_opens_nothing_and_nothing_was_cached(room: PortalRoom) -> None:
    patient = room.patient()
    with room.visitor() as visitor:
        room.sign_in(visitor, patient)
        cookie = visitor.client.cookies[COOKIE]
        assert visitor.get("/conversations").headers["cache-control"] == "no-store"
        visitor.post("/sign-out", {})
        assert visitor.at == "/signed-out"
        visitor.client.cookies.clear()
        visitor.client.cookies.set(COOKIE, cookie)
        visitor.get("/conversations")
        assert visitor.at == "/sign-in"


@pytest.mark.parametrize(
    "answer",
    ["", "{}", "null", "[]", '{"rawId": 5}', '{"rawId":"AAAA"}', "x" * 100_000, '{"rawId":"' + "A" * 40_000 + '"}'],
)
def test_a_made_up_passkey_answer_is_refused(room: PortalRoom, answer: str) -> None:
    session = room.portal.desk.sessions.anonymous()
    room.portal.sign_in.passkey_options(session)
    assert isinstance(room.portal.sign_in.passkey(room.found(session), answer, HERE), Wrong)
    assert room.found(session).pending == {}
