"""The first page: it leads everybody to where their work is."""

from __future__ import annotations

from typing import Any

from litestar import Response

from portal.navigation import home_of
from portal.sign_in_rules import Step
from portal.visit import ANYBODY, EVERYBODY, Visit, shows, takes

HALFWAY = {
    Step.ANONYMOUS: "/sign-in",
    Step.PASSWORD_PROVEN: "/sign-in/code",
    Step.CODE_PROVEN: "/enrol/password",
    Step.PASSWORD_CHOSEN: "/enrol/factor",
}


@shows("/", audience=ANYBODY)
def start(visit: Visit) -> Response[Any]:
    """Lead on."""
    actor = visit.session.actor
    return visit.go(home_of(actor) if actor else HALFWAY[visit.session.step])


@takes("/session/longer", audience=EVERYBODY)
def stay(visit: Visit) -> Response[Any]:
    """Stay signed in: being seen is all it takes. Answers the new end of the session."""
    ends = visit.session.expires_at
    return visit.plain(ends.strftime("%Y-%m-%dT%H:%M:%SZ") if ends else "", "text/plain")


ROUTES = (start, stay)
