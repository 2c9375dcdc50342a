"""What somebody sent, and where each copy of it stands."""

from __future__ import annotations

from typing import Any

from litestar import Response

from portal import delivery_words
from portal.pages.conversations import message_id
from portal.pages.inbox import before
from portal.tracking import is_waiting_for_access
from portal.visit import STAFF, Visit, shows


@shows("/sent", audience=STAFF)
def sent_list(visit: Visit) -> Response[Any]:
    """Sent mail, newest first, with one lamp each."""
    page = visit.portal.tracking.sent(visit.actor, before(visit) or None)
    return visit.page("pages/sent.html", sent=page, before=before(visit))


@shows("/sent/{message:str}", audience=STAFF)
def tracking_page(visit: Visit) -> Response[Any]:
    """Each recipient's way. After sending, this page says where it went."""
    tracked = visit.portal.tracking.of(visit.actor, message_id(visit))
    return visit.page(
        "pages/tracking.html",
        tracked=tracked,
        readers=visit.portal.reading.readers_of(visit.actor, tracked.stored.id),
        waits=is_waiting_for_access,
        routes=delivery_words.ROUTES,
        just_sent=visit.query("new") == "yes",
    )


ROUTES = (sent_list, tracking_page)
