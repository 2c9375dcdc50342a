"""A patient's conversations, and what every reader of a message shares: its frame and its attachments."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from litestar import Response

from mailstore.errors import NotFoundError
from mailstore.message import MessageId
from portal import html_view, security_headers
from portal.reading import OpenedMessage
from portal.visit import EVERYBODY, HTML, PATIENTS, Audience, Visit, shows
from portal.writing import Problem

_ID = re.compile(r"[a-z2-7]{26}")
_SAFE_NAME = re.compile(r"[^A-Za-z0-9._ -]")
READERS: Audience = EVERYBODY


@shows("/conversations", audience=PATIENTS)
def list_page(visit: Visit) -> Response[Any]:
    """What is new, who it is from."""
    listed = visit.portal.conversations.conversations(visit.actor)
    sent = visit.query("sent") == "yes"
    return visit.page("pages/conversations.html", listed=listed, sent=sent)


@shows("/conversations/{conversation:str}", audience=PATIENTS)
def conversation_page(visit: Visit) -> Response[Any]:
    """One conversation, oldest first, with the answer box at its end."""
    return conversation(visit, visit.path("conversation"), sent=visit.query("sent") == "yes")


def conversation(
    visit: Visit,
    name: str,
    *,
    text: str | None = None,
    draft: str | None = None,
    problems: tuple[Problem, ...] = (),
    sent: bool = False,
) -> Response[Any]:
    """The page of a conversation; with what was typed, when an answer could not be sent."""
    portal, actor = visit.portal, visit.actor
    opened = portal.reading.open_conversation(actor, name)
    kept = portal.writing.drafts.latest(actor, name)
    written = [each for each in opened if each.stored.author == actor.account]
    readers = {
        each.stored.id: [one for one in portal.reading.readers_of(actor, each.stored.id) if one.role.is_staff]
        for each in written
    }
    return visit.page(
        "pages/conversation.html",
        status=422 if problems else 200,
        listed=portal.conversations.conversations(actor),
        name=name,
        opened=opened,
        readers=readers,
        answered_by=portal.writing.answered_by(actor, opened[-1].stored.id),
        subject=opened[0].summary.subject or "(no subject)",
        text=text if text is not None else (kept.fields.get("text", "") if kept else ""),
        draft=draft or (kept.id if kept else portal.writing.drafts.new_id()),
        restored=kept is not None and text is None,
        lost_files=visit.form.files,
        problems=problems,
        sent=sent,
    )


@shows("/messages/{message:str}/frame", audience=READERS)
def frame(visit: Visit) -> Response[str]:
    """The HTML of a message, made harmless, for its sandboxed frame."""
    opened = visit.portal.reading.open_body(visit.actor, message_id(visit))
    if opened.html is None:
        raise NotFoundError("this message has no HTML")
    view = html_view.safe_view(opened.html, title=_title(opened), picture_of=opened.picture)
    return Response(view.document, media_type=HTML, headers=security_headers.for_frame())


@shows("/messages/{message:str}/attachments/{position:int}", audience=READERS)
def attachment(visit: Visit) -> Response[bytes]:
    """One attachment, to be saved and never shown in our own origin."""
    position = visit.path("position")
    found = visit.portal.reading.open_attachment(visit.actor, message_id(visit), int(position))
    headers = {**security_headers.for_download(), "Content-Disposition": disposition(found.file_name)}
    return Response(found.content, media_type="application/octet-stream", headers=headers)


def message_id(visit: Visit) -> MessageId:
    """The message in the path. Raises NotFoundError for what cannot be one."""
    name = visit.path("message")
    if not _ID.fullmatch(name):
        raise NotFoundError("no such message")
    return MessageId(name)


def disposition(file_name: str) -> str:
    """Content-Disposition with a plain name and the true one (RFC 6266, RFC 8187)."""
    plain = _SAFE_NAME.sub("_", file_name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(file_name, safe='')}"


def _title(opened: OpenedMessage) -> str:
    return opened.summary.subject or "Message"


ROUTES = (list_page, conversation_page, frame, attachment)
