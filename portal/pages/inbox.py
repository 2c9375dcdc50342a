"""A member of staff's inbox, and what was taken for junk on its way there: newest first."""

from __future__ import annotations

from typing import Any

from litestar import Response

from mailstore.mailboxes import Folder
from portal.conversations import FolderPage
from portal.shelf import Shelf
from portal.visit import STAFF, Visit, shows

MESSAGES_AT_ONCE = 40
_MOST_DIGITS = 18


@shows("/inbox", audience=STAFF)
def inbox(visit: Visit) -> Response[Any]:
    """One page of it, or of what was taken for junk. The address says which, so that it can be come back to."""
    drafts, shelf = visit.portal.writing.drafts.all_open(visit.actor), shelf_of(visit)
    junk = visit.portal.conversations.count(visit.actor, Folder.JUNK)
    return visit.page("pages/inbox.html", folder=inbox_page(visit), shelf=shelf, junk=junk, drafts=len(drafts))


def inbox_page(visit: Visit) -> FolderPage:
    """The page that the address names."""
    shelf = shelf_of(visit)
    return visit.portal.conversations.folder(
        visit.actor, shelf.folder, limit=MESSAGES_AT_ONCE, before=shelf.before or None
    )


def shelf_of(visit: Visit) -> Shelf:
    """Which page of which folder the address names."""
    return Shelf.named(visit.query("folder"), before(visit))


def before(visit: Visit) -> int:
    """Where the page of a list begins: below this number; 0 for the newest."""
    asked = visit.query("before")
    return int(asked) if asked.isascii() and asked.isdigit() and len(asked) <= _MOST_DIGITS else 0


ROUTES = (inbox,)
