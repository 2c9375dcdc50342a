"""Stopped at each step of signing in or enrolling: nothing opens, by any route, method, header or spelling.

The routes come from the application, so a new page is tried without anybody thinking of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from litestar.handlers import HTTPRouteHandler

from mailstore.message import MessageId
from portal.sessions import COOKIE, Session
from portal.sign_in_rules import Step
from portal.visit import ANYBODY, AUDIENCE
from tests.portal_room import PATIENT_PASSWORD, PortalRoom, Visitor, portal_room

SECRET, SECRET_SUBJECT, SECRET_FILE = "zqplatypus", "zqechidna", "zqwombat.txt"
PLAIN: Mapping[str, str] = {}
HEADERS: tuple[Mapping[str, str], ...] = (
    PLAIN,
    {"HX-Request": "true", "HX-Target": "main"},
    {"HX-Request": "true", "HX-History-Restore-Request": "true", "HX-Boosted": "true"},
    {"Accept": "application/json", "X-Requested-With": "XMLHttpRequest"},
    {"X-Forwarded-For": "127.0.0.1", "X-Original-URL": "/conversations", "X-HTTP-Method-Override": "GET"},
    {"Range": "bytes=0-", "If-None-Match": "*"},
)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


@dataclass(frozen=True)
class Stage:
    """The portal, a letter that waits, and one visitor's session at every step but the last."""

    room: PortalRoom
    paths: tuple[str, ...]
    sessions: Mapping[Step, Session]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with portal_room(tmp_path_factory.mktemp("unfinished") / "vault") as room:
        patient, ruiz = room.patient(), room.staff()
        message = room.letter(ruiz, patient, subject=SECRET_SUBJECT, text=SECRET)
        yield Stage(room, paths_of(room, message, patient.account.id), sessions_of(room))


def sessions_of(room: PortalRoom) -> dict[Step, Session]:
    """One session at every step, all of people whose letter or whose code is real."""
    new = room.portal.desk.sessions.anonymous
    invited = room.invited("invited@mail.example", "In Vited")

    def coded() -> Session:
        answer = room.portal.enrolment.code(new(), invited.email, invited.enrolment_code, "192.0.2.1")
        assert isinstance(answer, Session)
        return answer

    made = {
        Step.ANONYMOUS: new(),
        Step.PASSWORD_PROVEN: room.portal.sign_in.password(new(), "pat@mail.example", PATIENT_PASSWORD, "192.0.2.1"),
        Step.CODE_PROVEN: coded(),
        Step.PASSWORD_CHOSEN: room.portal.enrolment.password(room.found(coded()), PATIENT_PASSWORD),
    }
    return {step: session for step, session in made.items() if isinstance(session, Session)}


def paths_of(room: PortalRoom, message: MessageId, account: str) -> tuple[str, ...]:
    """Every route that is not for anybody, filled with ids that exist."""
    stored = room.vault.stored(message)
    known = {"conversation": stored.conversation, "position": "0", "account": account, "patient": account}
    found = set()
    for route in room.app().routes:
        handlers = [each for each in getattr(route, "route_handlers", ()) if isinstance(each, HTTPRouteHandler)]
        if any(each.opt.get(AUDIENCE) is not ANYBODY for each in handlers):
            found.add(re.sub(r"{(\w+):\w+}", lambda name: known.get(name.group(1), message), route.path))
    assert len(found) > 15
    return tuple(sorted(found))


def spellings(path: str) -> tuple[str, ...]:
    """Other ways to write a path that a lenient part of the way might take for the same one."""
    first = path[1]
    return (
        "/" + path,
        path + "/",
        path + "//",
        "/." + path,
        "/sign-in/.." + path,
        "/static/..%2f" + path[1:],
        "/%2e%2e" + path,
        f"/%{ord(first):02x}{path[2:]}",
        path.upper(),
        path + ";x=1",
        path + "%00",
        path + "%20",
        path + "?next=" + path,
        "/enrol/.." + path,
        path.replace("/", "%2f"),
    )


def refuse_leak(visitor: Visitor, session: Session, method: str, path: str, headers: Mapping[str, str]) -> str | None:
    """What is wrong with the answer; None when nothing of the letter came out and nobody was let in."""
    visitor.client.cookies.clear()
    data = (
        {"form_token": session.form_token, "text": "t", "subject": "s"} if method in {"POST", "PUT", "PATCH"} else None
    )
    answer = visitor.client.request(
        method, path, headers={**headers, "cookie": f"{COOKIE}={session.id}"}, data=data, follow_redirects=False
    )
    told = answer.text + str(answer.headers)
    problem = f"{session.step} {method} {path} {dict(headers)}: {answer.status_code}"
    if answer.status_code >= 500 or any(word in told for word in (SECRET, SECRET_SUBJECT, SECRET_FILE)):
        return problem
    if answer.status_code in {200, 206} and method != "OPTIONS" and "/sign-out" in answer.text:
        return problem
    new = answer.cookies.get(COOKIE)
    return problem if new and is_signed_in(visitor, new) else None


def is_signed_in(visitor: Visitor, cookie: str) -> bool:
    state = visitor.client.app.state.portal
    found = state.desk.sessions.find(cookie, state.parts.clock.now())
    return found is not None and found.actor is not None


def test_the_sessions_of_every_step_but_the_last_were_made(stage: Stage) -> None:
    assert set(stage.sessions) == set(Step) - {Step.SIGNED_IN}


@pytest.mark.parametrize("step", sorted(set(Step) - {Step.SIGNED_IN}))
def test_no_route_opens_whatever_the_method_and_the_headers(stage: Stage, step: Step) -> None:
    with stage.room.visitor() as visitor:
        tried = [(method, path, PLAIN) for path in stage.paths for method in METHODS]
        tried += [("GET", path, headers) for path in stage.paths for headers in HEADERS[1:]]
        found = [refuse_leak(visitor, stage.sessions[step], *each) for each in tried if "/passkey" not in each[1]]
    assert [problem for problem in found if problem] == []


@pytest.mark.parametrize("step", [Step.PASSWORD_PROVEN, Step.PASSWORD_CHOSEN])
def test_no_other_spelling_of_a_path_opens_anything(stage: Stage, step: Step) -> None:
    with stage.room.visitor() as visitor:
        tried = [spelling for path in stage.paths if path != "/" for spelling in spellings(path)]
        found = [refuse_leak(visitor, stage.sessions[step], "GET", each, PLAIN) for each in tried]
    assert [problem for problem in found if problem] == []


def test_the_letter_opens_for_the_patient_with_both_factors(tmp_path: Path) -> None:
    """The judge can say yes: what was looked for above is really on those pages."""
    with portal_room(tmp_path / "vault") as room, room.visitor() as visitor:
        patient, ruiz = room.patient(), room.staff()
        message = room.letter(ruiz, patient, subject=SECRET_SUBJECT, text=SECRET)
        room.sign_in(visitor, patient)
        assert SECRET in visitor.get(f"/conversations/{room.vault.stored(message).conversation}").text


def test_steps_that_stay_unfinished_end_by_themselves(stage: Stage) -> None:
    room = stage.room
    halfway = room.portal.sign_in.password(
        room.portal.desk.sessions.anonymous(), "pat@mail.example", PATIENT_PASSWORD, "192.0.2.7"
    )
    assert isinstance(halfway, Session)
    now = room.clock.now()
    sessions = room.portal.desk.sessions
    assert sessions.find(halfway.id, now) is not None
    assert sessions.find(halfway.id, now + timedelta(minutes=31)) is None
