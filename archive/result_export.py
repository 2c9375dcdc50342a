"""A list of results as a CSV file: for those who may search, with the audit entry before the first line.

The file says which messages there are, from whom and about what, never what they say. It is made as it is taken away,
so that it is nowhere whole but at whoever asked for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from archive import archive_records, spreadsheet
from archive.index_document import direction_of
from archive.saved_search import AskedSearch
from archive.search_index import SearchIndex
from archive.two_persons import KEEPERS, require_role
from mailstore import audit_trail, message_records
from mailstore.actor import Actor
from mailstore.addresses import display
from mailstore.audit_entry import AuditFact
from mailstore.database import Database
from mailstore.message import MessageId, MessageSummary, StoredMessage
from mailstore.retrieval import Retrieval
from mailstore.wall_clock import Clock

EXPORTED = "archive.results_exported"
MOST_EXPORTED = 10_000
"""Messages in one file. More than that is asked for year by year."""

COLUMNS = ("id", "received_at", "direction", "category", "from", "to", "cc", "subject", "size_bytes", "unread_parts")
_AT_ONCE = 200


@dataclass(frozen=True)
class ResultExport:
    """The lines of a file, to be taken once. ``messages`` of ``total`` results are in it."""

    lines: Iterator[bytes] = field(repr=False)
    messages: int
    total: int
    is_complete: bool


class ResultExports:
    """What the page and the command ask for a file of results."""

    def __init__(self, *, database: Database, index: SearchIndex, retrieval: Retrieval, clock: Clock) -> None:
        self._database = database
        self._index = index
        self._retrieval = retrieval
        self._clock = clock

    def of(self, actor: Actor, asked: AskedSearch) -> ResultExport:
        """The results in their order, 10,000 at most. Raises as ``ArchiveSearch.search`` does.

        That it was exported is in the audit log when this returns, whatever becomes of the lines.
        """
        require_role(actor, KEEPERS)
        hits = self._index.search(asked.query(), limit=MOST_EXPORTED, order=asked.order)
        found = [hit.id for hit in hits.items]
        is_complete = hits.is_complete and hits.total <= MOST_EXPORTED
        fact = AuditFact(EXPORTED, actor.account, detail={"messages": len(found), "total": hits.total})
        with self._database.write() as connection:
            audit_trail.append(connection, [fact], now=self._clock.now())
        return ResultExport(self._lines(found), len(found), hits.total, is_complete)

    def _lines(self, found: Sequence[MessageId]) -> Iterator[bytes]:
        yield spreadsheet.line(COLUMNS)
        for begin in range(0, len(found), _AT_ONCE):
            yield b"".join(self._some(found[begin : begin + _AT_ONCE]))

    def _some(self, found: Sequence[MessageId]) -> Iterator[bytes]:
        """What was destroyed since it was found is left out."""
        with self._database.read() as connection:
            stored = {each.id: each for each in message_records.stored_many(connection, found)}
            entries = {each.message: each for each in archive_records.entries(connection, found)}
        summaries = self._retrieval.summaries(stored.values())
        for message in found:
            if message in summaries and message in entries:
                entry = entries[message]
                yield _line(stored[message], summaries[message], entry.category, entry.unread_parts)


def _line(stored: StoredMessage, summary: MessageSummary, category: str, unread_parts: int) -> bytes:
    told = (summary.shown_sender, summary.to, summary.cc, summary.subject)
    return spreadsheet.line(
        (
            stored.id,
            stored.received_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            direction_of(stored.origin).value,
            category,
            *map(display, told),
            str(stored.size_bytes),
            str(unread_parts),
        )
    )
