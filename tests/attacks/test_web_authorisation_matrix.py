"""Every route against every kind of visitor. The table comes from the application; a route nobody wrote down fails.

Each row says who gets past the door. Everybody else must be turned away: those who are not signed in to the
sign-in page, those in the wrong role with a refusal. A form without its token is refused before anything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler

from mailstore.actor import Role
from portal.sessions import COOKIE, Session
from portal.sign_in_rules import Step
from portal.visit import AUDIENCE, Audience
from tests.portal_room import PATIENT_PASSWORD, PortalRoom, Visitor, portal_room

EVERY_ROLE = frozenset(Role) - {Role.SYSTEM}
STAFF = EVERY_ROLE - {Role.PATIENT}
PATIENT = frozenset({Role.PATIENT})
CORRESPONDENTS = frozenset({Role.CLINICIAN, Role.FRONTDESK})
ENROLLERS = CORRESPONDENTS | {Role.ADMIN}
OFFICERS = frozenset({Role.RECORDS, Role.APPROVER})
ADMIN = frozenset({Role.ADMIN})
NOBODY: frozenset[Role] = frozenset()

ANY_STEP = frozenset(Step)
SIGNED_IN = frozenset({Step.SIGNED_IN})
FRESH = frozenset({Step.ANONYMOUS})
WITH_PASSWORD = frozenset({Step.PASSWORD_PROVEN})
WITH_CODE = frozenset({Step.CODE_PROVEN})
WITH_NEW_PASSWORD = frozenset({Step.PASSWORD_CHOSEN})

MATRIX: dict[tuple[str, str], tuple[frozenset[Step], frozenset[Role]]] = {
    ("GET", "/static/{name}"): (ANY_STEP, EVERY_ROLE),
    ("GET", "/"): (ANY_STEP, EVERY_ROLE),
    ("GET", "/unseal"): (ANY_STEP, EVERY_ROLE),
    ("POST", "/session/longer"): (SIGNED_IN, EVERY_ROLE),
    ("GET", "/sign-in"): (ANY_STEP, EVERY_ROLE),
    ("POST", "/sign-in"): (FRESH, NOBODY),
    ("GET", "/sign-in/code"): (WITH_PASSWORD, NOBODY),
    ("POST", "/sign-in/code"): (WITH_PASSWORD, NOBODY),
    ("POST", "/sign-in/passkey/options"): (FRESH | WITH_PASSWORD, NOBODY),
    ("POST", "/sign-in/passkey"): (FRESH | WITH_PASSWORD, NOBODY),
    ("POST", "/sign-in/again"): (ANY_STEP, EVERY_ROLE),
    ("POST", "/sign-out"): (SIGNED_IN, EVERY_ROLE),
    ("GET", "/signed-out"): (ANY_STEP, EVERY_ROLE),
    ("GET", "/enrol"): (FRESH, NOBODY),
    ("POST", "/enrol"): (FRESH, NOBODY),
    ("GET", "/enrol/password"): (WITH_CODE, NOBODY),
    ("POST", "/enrol/password"): (WITH_CODE, NOBODY),
    ("GET", "/enrol/factor"): (WITH_NEW_PASSWORD, NOBODY),
    ("POST", "/enrol/factor"): (WITH_NEW_PASSWORD, NOBODY),
    ("POST", "/enrol/passkey/options"): (WITH_NEW_PASSWORD, NOBODY),
    ("POST", "/enrol/passkey"): (WITH_NEW_PASSWORD, NOBODY),
    ("GET", "/m/{locator}"): (ANY_STEP, EVERY_ROLE),
    ("GET", "/conversations"): (SIGNED_IN, PATIENT),
    ("GET", "/conversations/{conversation}"): (SIGNED_IN, PATIENT),
    ("POST", "/conversations/{conversation}/answer"): (SIGNED_IN, PATIENT),
    ("GET", "/messages/{message}/frame"): (SIGNED_IN, EVERY_ROLE),
    ("GET", "/messages/{message}/attachments/{position}"): (SIGNED_IN, EVERY_ROLE),
    ("GET", "/write"): (SIGNED_IN, PATIENT),
    ("POST", "/write"): (SIGNED_IN, PATIENT),
    ("POST", "/drafts"): (SIGNED_IN, EVERY_ROLE),
    ("GET", "/account"): (SIGNED_IN, EVERY_ROLE),
    ("POST", "/account/proof"): (SIGNED_IN, EVERY_ROLE),
    ("POST", "/account/passkeys/options"): (SIGNED_IN, EVERY_ROLE),
    ("POST", "/account/passkeys"): (SIGNED_IN, EVERY_ROLE),
    ("POST", "/account/passkeys/{passkey}/remove"): (SIGNED_IN, EVERY_ROLE),
    ("POST", "/account/sign-out-everywhere"): (SIGNED_IN, EVERY_ROLE),
    ("GET", "/account/app-password"): (SIGNED_IN, STAFF),
    ("POST", "/account/app-password"): (SIGNED_IN, STAFF),
    ("GET", "/inbox"): (SIGNED_IN, STAFF),
    ("GET", "/messages/{message}"): (SIGNED_IN, STAFF),
    ("POST", "/messages/{message}/unread"): (SIGNED_IN, STAFF),
    ("GET", "/compose"): (SIGNED_IN, STAFF),
    ("POST", "/compose"): (SIGNED_IN, STAFF),
    ("POST", "/compose/lamps/{field}"): (SIGNED_IN, STAFF),
    ("GET", "/compose/drafts"): (SIGNED_IN, STAFF),
    ("POST", "/compose/drafts/{draft}/discard"): (SIGNED_IN, STAFF),
    ("GET", "/sent"): (SIGNED_IN, STAFF),
    ("GET", "/sent/{message}"): (SIGNED_IN, STAFF),
    ("GET", "/patients"): (SIGNED_IN, ENROLLERS),
    ("GET", "/patients/new"): (SIGNED_IN, ENROLLERS),
    ("POST", "/patients/new"): (SIGNED_IN, ENROLLERS),
    ("GET", "/patients/new/{message}/{position}"): (SIGNED_IN, ENROLLERS),
    ("GET", "/patients/{patient}"): (SIGNED_IN, ENROLLERS),
    ("GET", "/patients/{patient}/code"): (SIGNED_IN, ENROLLERS),
    ("POST", "/patients/{patient}/code"): (SIGNED_IN, ENROLLERS),
    ("GET", "/archive"): (SIGNED_IN, OFFICERS),
    ("GET", "/archive/export"): (SIGNED_IN, OFFICERS),
    ("GET", "/archive/unread"): (SIGNED_IN, OFFICERS),
    ("GET", "/archive/saved"): (SIGNED_IN, OFFICERS),
    ("POST", "/archive/saved"): (SIGNED_IN, OFFICERS),
    ("POST", "/archive/saved/{saved}"): (SIGNED_IN, OFFICERS),
    ("POST", "/archive/saved/{saved}/open"): (SIGNED_IN, OFFICERS),
    ("POST", "/archive/saved/{saved}/remove"): (SIGNED_IN, OFFICERS),
    ("GET", "/archive/{message}"): (SIGNED_IN, OFFICERS),
    ("GET", "/archive/{message}/frame"): (SIGNED_IN, OFFICERS),
    ("GET", "/archive/{message}/attachments/{position}"): (SIGNED_IN, OFFICERS),
    ("GET", "/holds"): (SIGNED_IN, OFFICERS),
    ("POST", "/holds"): (SIGNED_IN, OFFICERS),
    ("GET", "/holds/new"): (SIGNED_IN, OFFICERS),
    ("POST", "/holds/new"): (SIGNED_IN, OFFICERS),
    ("GET", "/holds/{hold}"): (SIGNED_IN, OFFICERS),
    ("POST", "/holds/{hold}/release"): (SIGNED_IN, OFFICERS),
    ("GET", "/holds/{hold}/release"): (SIGNED_IN, OFFICERS),
    ("POST", "/holds/{hold}/release/approval"): (SIGNED_IN, OFFICERS),
    ("GET", "/disposals"): (SIGNED_IN, OFFICERS),
    ("POST", "/disposals"): (SIGNED_IN, OFFICERS),
    ("GET", "/disposals/{disposal}"): (SIGNED_IN, OFFICERS),
    ("POST", "/disposals/{disposal}/approval"): (SIGNED_IN, OFFICERS),
    ("POST", "/disposals/{disposal}/withdrawal"): (SIGNED_IN, OFFICERS),
    ("POST", "/disposals/{disposal}/run"): (SIGNED_IN, OFFICERS),
    ("POST", "/disposals/{disposal}/certificate/check"): (SIGNED_IN, OFFICERS),
    ("GET", "/disposals/{disposal}/certificate/{kind}"): (SIGNED_IN, OFFICERS),
    ("GET", "/schedule"): (SIGNED_IN, OFFICERS),
    ("POST", "/schedule"): (SIGNED_IN, OFFICERS),
    ("GET", "/schedule/new"): (SIGNED_IN, OFFICERS),
    ("POST", "/schedule/new"): (SIGNED_IN, OFFICERS),
    ("GET", "/schedule/{schedule}"): (SIGNED_IN, OFFICERS),
    ("POST", "/schedule/{schedule}/approval"): (SIGNED_IN, OFFICERS),
    ("POST", "/schedule/{schedule}/withdrawal"): (SIGNED_IN, OFFICERS),
    ("GET", "/audit"): (SIGNED_IN, OFFICERS),
    ("POST", "/audit/verification"): (SIGNED_IN, OFFICERS),
    ("GET", "/audit/export"): (SIGNED_IN, OFFICERS),
    ("GET", "/health"): (SIGNED_IN, ADMIN),
}
"""Method and path, then who gets in: at which step, and of those signed in, in which role."""


@dataclass(frozen=True)
class Declared:
    """One route as the application has it."""

    method: str
    path: str
    handler: HTTPRouteHandler

    @property
    def key(self) -> tuple[str, str]:
        return self.method, self.path

    @property
    def real_path(self) -> str:
        filled = {"name": "strongroom.css", "position": "0"}
        pieces = [filled.get(each[1:-1], "a" * 26) if each.startswith("{") else each for each in self.path.split("/")]
        return "/".join(pieces)


def declared(app: Litestar) -> list[Declared]:
    found = []
    for route in app.routes:
        path = "/".join(
            piece.split(":")[0] + "}" if piece.startswith("{") else piece for piece in route.path.split("/")
        )
        for handler in getattr(route, "route_handlers", ()):
            if isinstance(handler, HTTPRouteHandler):
                found += [Declared(method, path, handler) for method in handler.http_methods if method != "OPTIONS"]
    return found


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortalRoom]:
    with portal_room(tmp_path_factory.mktemp("matrix") / "vault") as opened:
        yield opened


@pytest.fixture(scope="module")
def visitors(room: PortalRoom) -> dict[Step | Role, Session]:
    """One session at every step, and one of every role."""
    sessions, now = room.portal.desk.sessions, room.clock.now()
    patient = room.patient()
    invited = room.invited("invited@mail.example", "In Vited")
    anonymous = sessions.anonymous
    halfway = room.portal.sign_in.password(anonymous(), patient.email, PATIENT_PASSWORD, "192.0.2.1")
    coded = room.portal.enrolment.code(anonymous(), invited.email, invited.enrolment_code, "192.0.2.1")
    chosen = room.portal.enrolment.password(
        room.found(room.portal.enrolment.code(anonymous(), invited.email, invited.enrolment_code, "192.0.2.1")),
        PATIENT_PASSWORD,
    )
    assert isinstance(halfway, Session)
    assert isinstance(coded, Session)
    assert isinstance(chosen, Session)
    made: dict[Step | Role, Session] = {
        Step.ANONYMOUS: anonymous(),
        Step.PASSWORD_PROVEN: halfway,
        Step.CODE_PROVEN: coded,
        Step.PASSWORD_CHOSEN: chosen,
    }
    people = {Role.PATIENT: patient.account}
    for role in sorted(STAFF):
        people[role] = room.staff(f"{role}@clinic.example", role, f"Some {role}").account
    with room.database.write() as connection:
        for role, account in people.items():
            made[role] = sessions._begin(connection, Step.SIGNED_IN, account.id, now, {})
    return made


def test_every_route_is_in_the_matrix_and_nothing_else_is(room: PortalRoom) -> None:
    assert {each.key for each in declared(room.app())} == set(MATRIX)


def test_every_route_declares_its_audience_as_the_matrix_says(room: PortalRoom) -> None:
    for each in declared(room.app()):
        audience: Audience = each.handler.opt[AUDIENCE]
        steps, roles = MATRIX[each.key]
        assert (audience.steps, audience.roles) == (steps, roles), each.key


def test_every_visitor_gets_exactly_where_the_matrix_says(
    room: PortalRoom, visitors: dict[Step | Role, Session]
) -> None:
    wrong = []
    with room.visitor() as visitor:
        for who, session in visitors.items():
            for route in declared(room.app()):
                steps, roles = MATRIX[route.key]
                allowed = who in roles if isinstance(who, Role) else who in steps
                if allowed:
                    continue
                outcome = turned_away(visitor, route, session)
                expected = {"to the sign-in"} if not isinstance(who, Role) else {"forbidden", "to the sign-in"}
                if outcome not in expected:
                    wrong.append((who, route.key, outcome))
    assert wrong == []


def test_those_who_are_allowed_get_past_the_door(room: PortalRoom, visitors: dict[Step | Role, Session]) -> None:
    wrong = []
    with room.visitor() as visitor:
        for who, session in visitors.items():
            for route in declared(room.app()):
                roles = MATRIX[route.key][1]
                if route.method == "GET" and isinstance(who, Role) and who in roles:
                    outcome = turned_away(visitor, route, session)
                    if outcome in {"forbidden", "to the sign-in", "500", "503"}:
                        wrong.append((who, route.key, outcome))
    assert wrong == []


def test_no_form_is_taken_without_its_token(room: PortalRoom, visitors: dict[Step | Role, Session]) -> None:
    """With the role and step that would be allowed, but the token of another session, or none."""
    wrong = []
    other = visitors[Role.PATIENT].form_token
    with room.visitor() as visitor:
        for route in declared(room.app()):
            if route.method == "GET":
                continue
            steps, roles = MATRIX[route.key]
            who = min(roles - PATIENT, default=min(roles, default=min(steps)))
            for token in ("", other if who is not Role.PATIENT else "0" * 64):
                answer = send(visitor, route, visitors[who], token)
                if answer != 403:
                    wrong.append((route.key, token[:4], answer))
    assert wrong == []


def turned_away(visitor: Visitor, route: Declared, session: Session) -> str:
    visitor.client.cookies.clear()
    headers = {"cookie": f"{COOKIE}={session.id}"}
    if route.method == "GET":
        answer = visitor.client.get(route.real_path, headers=headers, follow_redirects=False)
    else:
        data = {"form_token": session.form_token}
        answer = visitor.client.post(route.real_path, data=data, headers=headers, follow_redirects=False)
    location = answer.headers.get("location", "")
    if answer.status_code == 303 and location.startswith("/sign-in"):
        return "to the sign-in"
    return "forbidden" if answer.status_code == 403 else str(answer.status_code)


def send(visitor: Visitor, route: Declared, session: Session, token: str) -> int:
    visitor.client.cookies.clear()
    headers = {"cookie": f"{COOKIE}={session.id}"}
    data = {"form_token": token}
    return visitor.client.post(route.real_path, data=data, headers=headers, follow_redirects=False).status_code


def test_no_left_over_route_of_the_framework_answers(room: PortalRoom) -> None:
    with room.visitor() as visitor:
        for path in ("/schema", "/docs", "/openapi.json", "/schema/openapi.json", "/metrics", "/debug", "/test"):
            assert visitor.get(path).status_code == 404
