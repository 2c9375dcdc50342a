"""Gives messages that are here the categories of the schedule in force, in their rows and in the index.

What the archive shows and searches follows a new schedule by this, some messages at a time. Disposals do not wait for
it: they work the category out again on the message.
"""

from __future__ import annotations

from archive import archive_records
from archive.archive_records import ArchiveEntry
from archive.disposal_decision import category_of
from archive.evidence import EvidenceReader
from archive.index_document import IndexDocument
from archive.retention_schedule import UNCLASSIFIED, Schedule
from archive.schedules import Schedules
from archive.search_index import SearchIndex
from mailstore import message_records
from mailstore.database import Database
from mailstore.failpoint import reached
from mailstore.guard_work import NO_GUARD_WORK, GuardWork
from mailstore.message import StoredMessage
from mailstore.wall_clock import Clock

AT_ONCE = 50
"""Messages that share one commit of the index."""


class Reclassification:
    """Brings rows and index up to the schedule in force. May be called at any time, again and again."""

    def __init__(
        self,
        *,
        database: Database,
        schedules: Schedules,
        evidence: EvidenceReader,
        index: SearchIndex,
        clock: Clock,
        guard_work: GuardWork = NO_GUARD_WORK,
    ) -> None:
        self._database = database
        self._schedules = schedules
        self._evidence = evidence
        self._index = index
        self._clock = clock
        self._guard_work = guard_work

    def run(self) -> int:
        """Classify everything that was last classified by another version; answers how many messages those were."""
        done = 0
        while count := self._some():
            done += count
        return done

    def _some(self) -> int:
        with self._database.read() as connection:
            schedule = self._schedules.in_force(connection)
            if schedule is None:
                return 0
            stale = archive_records.classified_otherwise(connection, schedule.version, AT_ONCE)
            stored = {each.id: each for each in message_records.stored_many(connection, [e.message for e in stale])}
        told = [self._classified(stored.get(entry.message), schedule) for entry in stale]
        self._index.add(_changed(stale, told))
        reached("reclassification.after_index")
        with self._database.write() as connection:
            for entry, (category, _) in zip(stale, told, strict=True):
                archive_records.set_category(connection, entry.message, category=category, schedule=schedule.version)
            living = {entry.message for entry in archive_records.entries(connection, [e.message for e in stale])}
            self._guard_work.add(connection, living, now=self._clock.now())
        reached("reclassification.after_rows")
        self._index.remove([entry.message for entry in stale if entry.message not in living])
        return len(stale)

    def _classified(self, message: StoredMessage | None, schedule: Schedule) -> tuple[str, IndexDocument | None]:
        if message is None:
            return UNCLASSIFIED, None
        evidence = self._evidence.of(message)
        category = category_of(evidence, schedule) or UNCLASSIFIED
        return category, evidence.document.in_category(category) if evidence.document else None


def _changed(entries: list[ArchiveEntry], told: list[tuple[str, IndexDocument | None]]) -> list[IndexDocument]:
    """The documents that the index holds under another category."""
    pairs = zip(entries, told, strict=True)
    return [
        document
        for entry, (category, document) in pairs
        if document is not None and entry.indexed_at is not None and entry.category != category
    ]
