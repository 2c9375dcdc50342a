"""Searching the archive, for those whose task it is: every search is in the audit log, its words are not."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from archive import archive_records, unread_records
from archive.evidence import DocumentSource
from archive.index_care import RebuildMark, RebuildProgress
from archive.query_conditions import Query
from archive.saved_search import MOST_ITEMS, AskedSearch
from archive.search_facets import FacetCounts
from archive.search_highlight import Highlight, highlights
from archive.search_index import Hit, SearchIndex
from archive.two_persons import KEEPERS, require_role
from mailstore import audit_trail, message_records
from mailstore.actor import Actor
from mailstore.audit_entry import AuditFact, Detail
from mailstore.audit_trail import Wanted
from mailstore.database import Database
from mailstore.errors import StrongroomError
from mailstore.message import MessageId, MessageSummary, StoredMessage
from mailstore.retrieval import Retrieval
from mailstore.wall_clock import Clock

SEARCHED = "archive.searched"
_MOST_TIMED = 1_000
HIGHLIGHT_SECONDS = 5.0
"""Time for opening what is shown; results found later come without highlights."""


Mailboxes = Callable[[], Mapping[str, str]]
"""The canonical addresses of the practice's own mailboxes, each with the name of its person."""


@dataclass(frozen=True)
class Shown:
    """What is shown of an answer: from which result on, with places, facets counted for how long, new since when."""

    offset: int = 0
    with_highlights: bool = True
    facet_seconds: float = 0.0
    new_since: datetime | None = None


ALL_OF_EACH = Shown()
"""From the first on, with the places that match."""


@dataclass(frozen=True)
class SearchItem:
    """One message found, as a list shows it. ``is_new``: it came into the archive since the moment asked about."""

    id: MessageId
    subject: str = field(repr=False)
    from_: str = field(repr=False)
    received_at: datetime
    highlights: tuple[Highlight, ...] = field(repr=False)
    is_new: bool = False


@dataclass(frozen=True)
class SearchAnswer:
    """``total`` messages match, ``items`` are some of them in the order that was asked for.

    ``index_age_seconds`` is how long the message that waits longest for the index has waited, 0 when none does.
    ``not_indexed`` messages were accepted and could not be looked at. ``rebuild``: the index is being made anew.
    Unless it ``is_complete``, the time for it was over: then more, older messages may match. ``facets`` were counted
    if that was asked for.
    """

    total: int
    items: tuple[SearchItem, ...]
    index_age_seconds: float
    not_indexed: int
    rebuild: RebuildProgress | None = None
    is_complete: bool = True
    facets: FacetCounts | None = None


@dataclass(frozen=True)
class Unread:
    """What cannot be found by words, and why: ``messages`` and ``parts`` of others, by reason."""

    messages: Mapping[str, int]
    parts: Mapping[str, int]


@dataclass(frozen=True)
class ArchiveStatus:
    """How complete the archive is. ``backlog``: messages still on their way in; ``damaged`` ones never arrive.

    ``newest_indexed_at`` is when the newest message that the index holds was received, ``lag_seconds`` how long the one
    that waits longest has waited.
    """

    accepted: int
    archived: int
    indexed: int
    backlog: int
    damaged: int
    newest_indexed_at: datetime | None = None
    lag_seconds: float = 0.0


class ArchiveSearch:
    """What the search page and the command ask."""

    def __init__(
        self,
        *,
        database: Database,
        index: SearchIndex,
        retrieval: Retrieval,
        documents: DocumentSource,
        clock: Clock,
        rebuild_mark: RebuildMark | None = None,
        mailboxes: Mailboxes = dict,
    ) -> None:
        self._rebuild_mark = rebuild_mark
        self._mailboxes = mailboxes
        self._database = database
        self._index = index
        self._retrieval = retrieval
        self._documents = documents
        self._clock = clock

    def search(self, actor: Actor, asked: AskedSearch, *, limit: int, shown: Shown = ALL_OF_EACH) -> SearchAnswer:
        """``limit`` of the messages that match, in their order, with what is to be shown of them.

        Raises ``NotPermittedError``, ``QueryError`` with the place marked, ``BadFacetError``, ``NothingAskedError``,
        ``QueryTooWideError``, and ``TamperedError`` when the index is not what was written.
        """
        require_role(actor, KEEPERS)
        query = asked.query()
        last = max(0, min(shown.offset + limit, MOST_ITEMS))
        begun = time.monotonic()
        hits = self._index.search(query, limit=last, order=asked.order)
        tenths = round((time.monotonic() - begun) * 10_000)
        detail: Detail = {"characters": len(asked.text), "total": hits.total, "tenths_of_ms": tenths}
        fact = AuditFact(SEARCHED, actor.account, detail=detail)
        with self._database.write() as connection:
            audit_trail.append(connection, [fact], now=self._clock.now())
        status = self.status()
        return SearchAnswer(
            total=hits.total,
            items=self._items(query, hits.items[shown.offset :], shown),
            index_age_seconds=status.lag_seconds,
            not_indexed=status.backlog + status.damaged,
            rebuild=self._rebuild_mark.progress() if self._rebuild_mark else None,
            is_complete=hits.is_complete,
            facets=self._facets(query, seconds=shown.facet_seconds),
        )

    def mailboxes(self, actor: Actor) -> Mapping[str, str]:
        """The names of the people whose mailboxes are counted, by their addresses."""
        require_role(actor, KEEPERS)
        return self._mailboxes()

    def unread(self) -> Unread:
        """What cannot be found by words, counted by reason."""
        with self._database.read() as connection:
            return Unread(archive_records.problems(connection), unread_records.counts(connection))

    def status(self) -> ArchiveStatus:
        """How many messages were accepted, archived and indexed. An index that lost some counts as it is."""
        with self._database.read() as connection:
            accepted = message_records.count(connection)
            counts = archive_records.counts(connection)
            newest = archive_records.newest_indexed_at(connection)
            waiting = archive_records.oldest_unindexed_at(connection)
        indexed = min(counts.indexed, self._index.document_count())
        return ArchiveStatus(
            accepted=accepted,
            archived=counts.archived,
            indexed=indexed,
            backlog=max(0, accepted - indexed - counts.not_indexed),
            damaged=counts.not_indexed,
            newest_indexed_at=newest,
            lag_seconds=max(0.0, (self._clock.now() - waiting).total_seconds()) if waiting else 0.0,
        )

    def query_p95_ms(self) -> float | None:
        """How long 95 of 100 searches of the last day took at most; None when nobody searched."""
        return query_p95_ms(self._database, now=self._clock.now())

    def _facets(self, query: Query, *, seconds: float) -> FacetCounts | None:
        if seconds <= 0:
            return None
        return self._index.facets(query, mailboxes=self._mailboxes().keys(), seconds=seconds)

    def _items(self, query: Query, hits: Sequence[Hit], shown: Shown) -> tuple[SearchItem, ...]:
        found = [hit.id for hit in hits]
        with self._database.read() as connection:
            stored = {each.id: each for each in message_records.stored_many(connection, found)}
            entries = archive_records.entries(connection, found) if shown.new_since else []
        summaries = self._retrieval.summaries(stored[hit.id] for hit in hits if hit.id in stored)
        new = {entry.message for entry in entries if shown.new_since and entry.captured_at >= shown.new_since}
        ends = time.monotonic() + (HIGHLIGHT_SECONDS if shown.with_highlights else 0.0)
        items = (
            self._item(query, stored[message], summaries[message], may_open=time.monotonic() < ends)
            for message in found
            if message in summaries
        )
        return tuple(replace(item, is_new=item.id in new) for item in items)

    def _item(self, query: Query, stored: StoredMessage, summary: MessageSummary, *, may_open: bool) -> SearchItem:
        return SearchItem(
            id=stored.id,
            subject=summary.subject,
            from_=summary.shown_sender,
            received_at=stored.received_at,
            highlights=self._highlights(query, stored) if may_open else (),
        )

    def _highlights(self, query: Query, stored: StoredMessage) -> tuple[Highlight, ...]:
        """From the sealed message itself; one that cannot be opened is listed without."""
        try:
            return highlights(query, self._documents.read(stored).document)
        except StrongroomError:
            return ()


def query_p95_ms(database: Database, *, now: datetime) -> float | None:
    """How long 95 of 100 searches of the last day took at most, by the audit log; None when nobody searched."""
    with database.read() as connection:
        newest = audit_trail.newest(connection, Wanted(event=SEARCHED), limit=_MOST_TIMED)
    today = [entry for entry in newest if entry.at > now - timedelta(days=1)]
    times = sorted(int(entry.detail["tenths_of_ms"]) for entry in today if "tenths_of_ms" in entry.detail)
    return times[int(len(times) * 0.95)] / 10 if times else None
