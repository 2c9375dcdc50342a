"""A member of staff's inbox: what came, newest first."""

from __future__ import annotations

from typing import Any

from litestar import Response

from mailstore.mailboxes import Folder
from portal.conversations import FolderPage
from portal.visit import STAFF, Visit, shows

MESSAGES_AT_ONCE = 40
_MOST_DIGITS = 18


@shows("/inbox", audience=STAFF)
def inbox(visit: Visit) -> Response[Any]:
    """One page of it. The address says which, so that it can be come back to."""
    drafts = visit.portal.writing.drafts.all_open(visit.actor)
    return visit.page("pages/inbox.html", folder=inbox_page(visit), before=before(visit), drafts=len(drafts))


def inbox_page(visit: Visit) -> FolderPage:
    """The page of the inbox that the address names."""
    return visit.portal.conversations.folder(
        visit.actor, Folder.INBOX, limit=MESSAGES_AT_ONCE, before=before(visit) or None
    )


def before(visit: Visit) -> int:
    """Where the page of a list begins: below this number; 0 for the newest."""
    asked = visit.query("before")
    return int(asked) if asked.isascii() and asked.isdigit() and len(asked) <= _MOST_DIGITS else 0


ROUTES = (inbox,)
