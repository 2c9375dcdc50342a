"""Searching the archive and reading one record: what it says, why it is kept, what holds it, who has read it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from litestar import Response
from litestar.response import Stream

from archive import spreadsheet
from archive.archive_search import SearchAnswer, Shown
from archive.search_facets import BadFacetError
from archive.search_index import QueryTooWideError
from archive.search_query import QueryError
from archive.search_relevance import Order
from mailstore.errors import NotFoundError
from mailstore.message import MessageId
from mailstore.message_parts import parse
from portal import facet_words, html_view, search_address, security_headers
from portal.pages.conversations import disposition
from portal.reading import READING_EVENTS, OpenedMessage
from portal.search_address import LAST_PAGE, PAGE_ITEMS, SearchAddress
from portal.visit import HTML, RECORDS_OFFICERS, Visit, shows

FACET_SECONDS = 1.0
"""Time for counting facets: a page that waits longer for them helps nobody. What is counted then is marked so."""


@dataclass(frozen=True)
class NotUnderstood:
    """A query that has no meaning: what stands before the trouble, the place itself, and what to do."""

    before: str = field(repr=False)
    place: str = field(repr=False)
    after: str = field(repr=False)
    message: str


@shows("/archive", audience=RECORDS_OFFICERS)
def search_page(visit: Visit) -> Response[Any]:
    """One box, what it finds, and by what that can be narrowed."""
    archive, asked = visit.portal.archive, address_of(visit)
    shown = Shown(asked.offset, facet_seconds=FACET_SECONDS, new_since=asked.new_since)
    answer, trouble = _answer(visit, asked, shown)
    names = archive.search.mailboxes(visit.actor)
    return visit.page(
        "pages/archive.html",
        status=422 if trouble else 200,
        asked=asked,
        answer=answer,
        trouble=trouble,
        chips=facet_words.chips(asked, names),
        groups=facet_words.groups(asked, answer.facets, names) if answer and answer.facets else (),
        orders=[(order, asked.ordered(order).at()) for order in Order],
        saved=archive.saved.all(visit.actor),
        archive_status=archive.search.status(),
        unread=archive.search.unread(),
        **_paging(asked, answer),
    )


@shows("/archive/export", audience=RECORDS_OFFICERS)
def export_page(visit: Visit) -> Response[Any]:
    """The results as a file for a spreadsheet."""
    try:
        export = visit.portal.archive.exports.of(visit.actor, address_of(visit).asked)
    except (QueryError, BadFacetError):
        raise NotFoundError("there is no such list of results") from None
    name = f"archive-{visit.now:%Y-%m-%d}{'' if export.is_complete else '-incomplete'}.csv"
    headers = {**security_headers.for_download(), "Content-Disposition": f'attachment; filename="{name}"'}
    return Stream(export.lines, media_type=spreadsheet.MEDIA_TYPE, headers=headers)


@shows("/archive/unread", audience=RECORDS_OFFICERS)
def unread_page(visit: Visit) -> Response[Any]:
    """What no search can find by its words, and why."""
    search = visit.portal.archive.search
    found = visit.portal.archive.unread.newest(visit.actor)
    return visit.page("pages/unread.html", found=found, archive_status=search.status(), unread=search.unread())


@shows("/archive/{message:str}", audience=RECORDS_OFFICERS)
def record_page(visit: Visit) -> Response[Any]:
    """One record. The search that led here stands beside it where there is room."""
    archive, actor, message = visit.portal.archive, visit.actor, MessageId(visit.path("message"))
    asked = address_of(visit)
    archived = archive.reading.open(actor, message)
    opened = OpenedMessage(archived.stored, archived.summary, archived.content, parse(archived.content))
    answer, _ = _answer(visit, asked, Shown(asked.offset, with_highlights=False, new_since=asked.new_since))
    found = [item.id for item in answer.items] if answer else []
    return visit.page(
        "pages/record.html",
        asked=asked,
        answer=answer,
        opened=opened,
        recipients=archived.recipients,
        fate=archive.desk.fates.of(actor, message),
        holds=archive.desk.holds.about(actor, message),
        log=visit.portal.audit_log.about(actor, message, READING_EVENTS),
        chips=facet_words.chips(asked, archive.search.mailboxes(actor)),
        beside=search_address.neighbours(asked, [str(each) for each in found], message),
        **_paging(asked, answer),
    )


@shows("/archive/{message:str}/frame", audience=RECORDS_OFFICERS)
def record_frame(visit: Visit) -> Response[str]:
    """The HTML of a record, made harmless, for its sandboxed frame."""
    archived = visit.portal.archive.reading.open_body(visit.actor, MessageId(visit.path("message")))
    opened = OpenedMessage(archived.stored, archived.summary, archived.content, parse(archived.content))
    if opened.html is None:
        raise NotFoundError("this message has no HTML")
    view = html_view.safe_view(opened.html, title=opened.summary.subject or "Message", picture_of=opened.picture)
    return Response(view.document, media_type=HTML, headers=security_headers.for_frame())


@shows("/archive/{message:str}/attachments/{position:int}", audience=RECORDS_OFFICERS)
def record_attachment(visit: Visit) -> Response[bytes]:
    """One attachment of a record, to be saved."""
    message, position = MessageId(visit.path("message")), int(visit.path("position"))
    found = visit.portal.archive.reading.open_attachment(visit.actor, message, position)
    headers = {**security_headers.for_download(), "Content-Disposition": disposition(found.file_name)}
    return Response(found.content, media_type="application/octet-stream", headers=headers)


def address_of(visit: Visit) -> SearchAddress:
    """The search that the address of the page says."""
    return SearchAddress.read(visit.query, visit.number("page"))


def _answer(visit: Visit, address: SearchAddress, shown: Shown) -> tuple[SearchAnswer | None, NotUnderstood | None]:
    """The results, or why there are none. An empty box asks nothing."""
    asked = address.asked
    if asked.is_empty:
        return None, None
    try:
        answer = visit.portal.archive.search.search(visit.actor, asked, limit=PAGE_ITEMS, shown=shown)
    except QueryError as error:
        return None, not_understood(asked.text, error)
    except QueryTooWideError as error:
        return None, NotUnderstood(asked.text, "", "", f"This asks for too much at once: {error.message}.")
    except BadFacetError as error:
        return None, NotUnderstood(asked.text, "", "", f"{error.message.capitalize()}. {error.fix}")
    return answer, None


def not_understood(text: str, error: QueryError) -> NotUnderstood:
    """Where the trouble is, in words."""
    at = min(error.position, len(text))
    place = re.match(r"\s*\S*", text[at:])
    marked = place[0] if place and place[0] else " "
    message = error.message.partition(": ")[2].rstrip(":")
    return NotUnderstood(text[:at], marked, text[at + len(marked) :], f"{message[:1].upper()}{message[1:]}.")


def _paging(asked: SearchAddress, answer: SearchAnswer | None) -> dict[str, Any]:
    """Links to the pages before and after, and what of the whole is shown."""
    shown = len(answer.items) if answer else 0
    total = answer.total if answer else 0
    last = asked.offset + shown
    has_more = total > last and asked.page < LAST_PAGE
    return {
        "newer": asked.at(page=asked.page - 1) if asked.page > 1 else "",
        "older": asked.at(page=asked.page + 1) if has_more else "",
        "first": asked.offset + 1,
        "last": last,
        "at_end_of_paging": total > last and not has_more,
    }


ROUTES = (search_page, export_page, unread_page, record_page, record_frame, record_attachment)
