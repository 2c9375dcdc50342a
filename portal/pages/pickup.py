"""Where the link of a notice leads. It opens nothing; it only remembers which conversation to show after signing in."""

from __future__ import annotations

from typing import Any

from litestar import Response

from mailstore.errors import NotFoundError
from mailstore.message import MessageId
from portal import pickup_link
from portal.navigation import home_of
from portal.visit import ANYBODY, Visit, shows, sign_in_path


@shows("/m/{locator:str}", audience=ANYBODY)
def follow(visit: Visit) -> Response[Any]:
    """The same answer for every locator, real or invented, until the visitor has signed in."""
    locator = visit.path("locator")
    actor = visit.session.actor
    if actor is None:
        return visit.go(sign_in_path(f"/m/{locator}") if pickup_link.message_of(locator) else "/sign-in")
    message = pickup_link.message_of(locator)
    if message is None:
        raise NotFoundError("no such link")
    if actor.role.is_staff:
        return visit.go(f"/messages/{message}")
    return visit.go(_conversation(visit, message) or home_of(actor))


def _conversation(visit: Visit, message: MessageId) -> str:
    stored = visit.portal.conversations.of_message(visit.actor, message)
    return f"/conversations/{stored.conversation}#m-{stored.id}"


ROUTES = (follow,)
