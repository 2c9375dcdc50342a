"""Searching the archive and reading one record: what it says, why it is kept, what holds it, who has read it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from litestar import Response

from archive.archive_search import MOST_ITEMS, SearchAnswer
from archive.search_index import QueryTooWideError
from archive.search_query import QueryError
from mailstore.errors import NotFoundError
from mailstore.message import MessageId
from mailstore.message_parts import parse
from portal import html_view, security_headers
from portal.pages.conversations import disposition
from portal.reading import READING_EVENTS, OpenedMessage
from portal.visit import HTML, RECORDS_OFFICERS, Visit, shows

PAGE_ITEMS = 25


@dataclass(frozen=True)
class Asked:
    """The state of a search, all of it in the address."""

    text: str = field(repr=False)
    page: int

    @property
    def offset(self) -> int:
        """How many newer results lie before this page."""
        return (self.page - 1) * PAGE_ITEMS

    def at(self, path: str = "/archive", *, page: int | None = None) -> str:
        """The address of this search, on another page of it or before a record."""
        state = {"q": self.text, "page": page or self.page}
        told = {name: value for name, value in state.items() if value and value != 1}
        return f"{path}?{urlencode(told)}" if told else path


@dataclass(frozen=True)
class NotUnderstood:
    """A query that has no meaning: what stands before the trouble, the place itself, and what to do."""

    before: str = field(repr=False)
    place: str = field(repr=False)
    after: str = field(repr=False)
    message: str


@shows("/archive", audience=RECORDS_OFFICERS)
def search_page(visit: Visit) -> Response[Any]:
    """One box, and what it finds, newest first."""
    asked = _asked(visit)
    answer, trouble = _answer(visit, asked)
    return visit.page(
        "pages/archive.html",
        status=422 if trouble else 200,
        asked=asked,
        answer=answer,
        trouble=trouble,
        archive_status=visit.portal.archive.search.status(),
        **_paging(asked, answer),
    )


@shows("/archive/{message:str}", audience=RECORDS_OFFICERS)
def record_page(visit: Visit) -> Response[Any]:
    """One record. The search that led here stands beside it where there is room."""
    archive, actor, message = visit.portal.archive, visit.actor, MessageId(visit.path("message"))
    asked = _asked(visit)
    archived = archive.reading.open(actor, message)
    opened = OpenedMessage(archived.stored, archived.summary, archived.content, parse(archived.content))
    answer, _ = _answer(visit, asked, with_highlights=False)
    return visit.page(
        "pages/record.html",
        asked=asked,
        answer=answer,
        opened=opened,
        recipients=archived.recipients,
        fate=archive.desk.fates.of(actor, message),
        holds=archive.desk.holds.about(actor, message),
        log=visit.portal.audit_log.about(actor, message, READING_EVENTS),
        **_paging(asked, answer),
    )


@shows("/archive/{message:str}/frame", audience=RECORDS_OFFICERS)
def record_frame(visit: Visit) -> Response[str]:
    """The HTML of a record, made harmless, for its sandboxed frame."""
    archived = visit.portal.archive.reading.open_body(visit.actor, MessageId(visit.path("message")))
    opened = OpenedMessage(archived.stored, archived.summary, archived.content, parse(archived.content))
    if opened.html is None:
        raise NotFoundError("this message has no HTML")
    view = html_view.safe_view(opened.html, title=opened.summary.subject or "Message")
    return Response(view.document, media_type=HTML, headers=security_headers.for_frame())


@shows("/archive/{message:str}/attachments/{position:int}", audience=RECORDS_OFFICERS)
def record_attachment(visit: Visit) -> Response[bytes]:
    """One attachment of a record, to be saved."""
    message, position = MessageId(visit.path("message")), int(visit.path("position"))
    found = visit.portal.archive.reading.open_attachment(visit.actor, message, position)
    headers = {**security_headers.for_download(), "Content-Disposition": disposition(found.file_name)}
    return Response(found.content, media_type="application/octet-stream", headers=headers)


def _asked(visit: Visit) -> Asked:
    return Asked(" ".join(visit.query("q").split()), min(visit.number("page"), MOST_ITEMS // PAGE_ITEMS))


def _answer(
    visit: Visit, asked: Asked, *, with_highlights: bool = True
) -> tuple[SearchAnswer | None, NotUnderstood | None]:
    """The results, or why there are none. An empty box asks nothing."""
    if not asked.text:
        return None, None
    search = visit.portal.archive.search.search
    try:
        answer = search(visit.actor, asked.text, limit=PAGE_ITEMS, offset=asked.offset, with_highlights=with_highlights)
    except QueryError as error:
        return None, _not_understood(asked.text, error)
    except QueryTooWideError as error:
        return None, NotUnderstood(asked.text, "", "", f"This asks for too much at once: {error.message}.")
    return answer, None


def _not_understood(text: str, error: QueryError) -> NotUnderstood:
    at = min(error.position, len(text))
    place = re.match(r"\s*\S*", text[at:])
    marked = place[0] if place and place[0] else " "
    message = error.message.partition(": ")[2].rstrip(":")
    return NotUnderstood(text[:at], marked, text[at + len(marked) :], f"{message[:1].upper()}{message[1:]}.")


def _paging(asked: Asked, answer: SearchAnswer | None) -> dict[str, Any]:
    """Links to the pages before and after, and what of the whole is shown."""
    shown = len(answer.items) if answer else 0
    total = answer.total if answer else 0
    last = asked.offset + shown
    has_more = total > last and asked.page < MOST_ITEMS // PAGE_ITEMS
    return {
        "newer": asked.at(page=asked.page - 1) if asked.page > 1 else "",
        "older": asked.at(page=asked.page + 1) if has_more else "",
        "first": asked.offset + 1,
        "last": last,
        "at_end_of_paging": total > last and not has_more,
    }


ROUTES = (search_page, record_page, record_frame, record_attachment)
