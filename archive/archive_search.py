"""Searching the archive, for those whose task it is: every search is in the audit log, its words are not."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from archive import archive_records, search_query
from archive.evidence import DocumentSource
from archive.index_care import RebuildMark, RebuildProgress
from archive.query_conditions import Query
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
MOST_ITEMS = 1_000
_MOST_TIMED = 1_000
HIGHLIGHT_SECONDS = 5.0
"""Time for opening what is shown; results found later come without highlights."""


@dataclass(frozen=True)
class SearchItem:
    """One message found, as a list shows it."""

    id: MessageId
    subject: str = field(repr=False)
    from_: str = field(repr=False)
    received_at: datetime
    highlights: tuple[Highlight, ...] = field(repr=False)


@dataclass(frozen=True)
class SearchAnswer:
    """``total`` messages match, ``items`` are the newest of them.

    ``index_age_seconds`` is how long the message that waits longest for the index has waited, 0 when none does.
    ``not_indexed`` messages were accepted and could not be looked at. ``rebuild``: the index is being made anew.
    Unless it ``is_complete``, the time for it was over: then more, older messages may match.
    """

    total: int
    items: tuple[SearchItem, ...]
    index_age_seconds: float
    not_indexed: int
    rebuild: RebuildProgress | None = None
    is_complete: bool = True


@dataclass(frozen=True)
class ArchiveStatus:
    """How complete the archive is. ``backlog``: messages still on their way in; ``damaged`` ones never arrive."""

    accepted: int
    archived: int
    indexed: int
    backlog: int
    damaged: int


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
    ) -> None:
        self._rebuild_mark = rebuild_mark
        self._database = database
        self._index = index
        self._retrieval = retrieval
        self._documents = documents
        self._clock = clock

    def search(
        self, actor: Actor, text: str, *, limit: int, offset: int = 0, with_highlights: bool = True
    ) -> SearchAnswer:
        """``limit`` of the messages that match, from the newest but ``offset`` on, with the places that match.

        Raises ``NotPermittedError``, ``QueryError`` with the place marked, ``QueryTooWideError``, and
        ``TamperedError`` when the index is not what was written.
        """
        require_role(actor, KEEPERS)
        query = search_query.parse(text)
        last = max(0, min(offset + limit, MOST_ITEMS))
        begun = time.monotonic()
        hits = self._index.search(query, limit=last)
        tenths = round((time.monotonic() - begun) * 10_000)
        now = self._clock.now()
        detail: Detail = {"characters": len(text), "total": hits.total, "tenths_of_ms": tenths}
        fact = AuditFact(SEARCHED, actor.account, detail=detail)
        with self._database.write() as connection:
            audit_trail.append(connection, [fact], now=now)
        status = self.status()
        return SearchAnswer(
            total=hits.total,
            items=self._items(query, hits.items[offset:], seconds=HIGHLIGHT_SECONDS if with_highlights else 0.0),
            index_age_seconds=self._index_age_seconds(now),
            not_indexed=status.backlog + status.damaged,
            rebuild=self._rebuild_mark.progress() if self._rebuild_mark else None,
            is_complete=hits.is_complete,
        )

    def status(self) -> ArchiveStatus:
        """How many messages were accepted, archived and indexed. An index that lost some counts as it is."""
        with self._database.read() as connection:
            accepted = message_records.count(connection)
            counts = archive_records.counts(connection)
        indexed = min(counts.indexed, self._index.document_count())
        return ArchiveStatus(
            accepted=accepted,
            archived=counts.archived,
            indexed=indexed,
            backlog=max(0, accepted - indexed - counts.not_indexed),
            damaged=counts.not_indexed,
        )

    def query_p95_ms(self) -> float | None:
        """How long 95 of 100 searches of the last day took at most; None when nobody searched."""
        return query_p95_ms(self._database, now=self._clock.now())

    def _index_age_seconds(self, now: datetime) -> float:
        with self._database.read() as connection:
            oldest = archive_records.oldest_unindexed_at(connection)
        return max(0.0, (now - oldest).total_seconds()) if oldest else 0.0

    def _items(self, query: Query, hits: Sequence[Hit], *, seconds: float) -> tuple[SearchItem, ...]:
        with self._database.read() as connection:
            stored = {each.id: each for each in message_records.stored_many(connection, [hit.id for hit in hits])}
        summaries = self._retrieval.summaries(stored[hit.id] for hit in hits if hit.id in stored)
        ends = time.monotonic() + seconds
        return tuple(
            self._item(query, stored[hit.id], summaries[hit.id], may_open=time.monotonic() < ends)
            for hit in hits
            if hit.id in summaries
        )

    def _item(self, query: Query, stored: StoredMessage, summary: MessageSummary, *, may_open: bool) -> SearchItem:
        return SearchItem(
            id=stored.id,
            subject=summary.subject,
            from_=summary.from_ or summary.sender,
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
