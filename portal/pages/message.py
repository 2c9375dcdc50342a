"""One message as a member of staff reads it, beside the list it came from."""

from __future__ import annotations

from typing import Any

from litestar import Response

from mailstore.header_block import headers_of
from mailstore.message import MessageId
from portal.conversations import FolderPage, ListedMessage
from portal.pages.conversations import message_id
from portal.pages.inbox import inbox_page, shelf_of
from portal.reading import OpenedMessage
from portal.sender_verdict import SenderFacts, Verdict, verdict
from portal.visit import STAFF, Visit, shows, takes

THREAD_SHOWN = 50


@shows("/messages/{message:str}", audience=STAFF)
def message_page(visit: Visit) -> Response[Any]:
    """Open it. Opening is recorded."""
    portal, actor, name = visit.portal, visit.actor, message_id(visit)
    opened = portal.reading.open_message(actor, name)
    folder = inbox_page(visit)
    newer, older = _neighbours(folder, name)
    return visit.page(
        "pages/message.html",
        opened=opened,
        verdict=_verdict(visit, opened),
        reply_to=headers_of(opened.content).addresses("reply-to"),
        thread=_thread(visit, opened),
        readers=portal.reading.readers_of(actor, name),
        folder=folder,
        shelf=shelf_of(visit),
        newer=newer,
        older=older,
    )


@takes("/messages/{message:str}/unread", audience=STAFF)
def mark_unread(visit: Visit) -> Response[Any]:
    """Put it back among the new ones."""
    visit.portal.reading.mark_unread(visit.actor, message_id(visit))
    return visit.go("/inbox")


def _verdict(visit: Visit, opened: OpenedMessage) -> Verdict:
    stored, people = opened.stored, visit.portal.people
    author = people.names(frozenset({stored.author})).get(stored.author) if stored.author else None
    return verdict(
        SenderFacts(
            named=opened.sender,
            origin=stored.origin,
            author=author.role if author else None,
            envelope_sender=opened.summary.sender,
            staff_names=[each.person.name for each in people.staff(visit.actor)],
            local_domains=visit.portal.parts.settings.local_domains,
        )
    )


def _thread(visit: Visit, opened: OpenedMessage) -> list[ListedMessage]:
    """The newest messages of the conversation that this person may open, oldest first."""
    conversations = visit.portal.conversations
    return conversations.listed(conversations.conversation(visit.actor, opened.stored.conversation)[-THREAD_SHOWN:])


def _neighbours(folder: FolderPage, name: MessageId) -> tuple[MessageId | None, MessageId | None]:
    """The messages above and below this one in the list."""
    names = [each.stored.id for each in folder.items]
    if name not in names:
        return None, None
    place = names.index(name)
    return (names[place - 1] if place else None), (names[place + 1] if place + 1 < len(names) else None)


ROUTES = (message_page, mark_unread)
