"""What a member of staff left unsent."""

from __future__ import annotations

from typing import Any

from litestar import Response

from portal.visit import STAFF, Visit, shows, takes


@shows("/compose/drafts", audience=STAFF)
def drafts_page(visit: Visit) -> Response[Any]:
    """The list, newest first."""
    return visit.page("pages/drafts.html", drafts=visit.portal.writing.drafts.all_open(visit.actor))


@takes("/compose/drafts/{draft:str}/discard", audience=STAFF)
def discard(visit: Visit) -> Response[Any]:
    """Forget one of them. Somebody else's stays."""
    visit.portal.writing.drafts.drop(visit.actor, visit.path("draft"))
    return visit.go("/compose/drafts")


ROUTES = (drafts_page, discard)
