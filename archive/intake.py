"""Every accepted message comes into the archive once: classified, joined to the holds that cover it, then indexed.

The archive row and the holds are decided on the message itself, in one transaction with the audit entry; the index
follows in batches and may be made anew at any time. Both steps may be repeated: done twice is done once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

from sqlalchemy import Connection

from archive import archive_records, doubted_captures, unread_records
from archive.archive_records import ArchiveEntry
from archive.classification import classify
from archive.disposal_decision import classified
from archive.evidence import DocumentSource, EvidenceReader, ReadDocument
from archive.index_document import IndexDocument
from archive.legal_hold import Evidence
from archive.living_holds import LivingHolds
from archive.retention_schedule import UNCLASSIFIED, Schedule
from archive.search_index import SearchIndex
from mailstore import audit_trail, message_records, outbox
from mailstore.actor import SYSTEM
from mailstore.audit_entry import AuditFact, Detail
from mailstore.database import Database
from mailstore.errors import DestroyedError, NotFoundError, TamperedError, WrongKeyError
from mailstore.failpoint import reached
from mailstore.guard_work import NO_GUARD_WORK, GuardWork
from mailstore.message import MessageId, StoredMessage
from mailstore.outbox import Kind, NewItem
from mailstore.trusted_clock import TrustedClock
from mailstore.wall_clock import Clock

CAPTURED = "message.captured"
REBUILT = "index.rebuilt"
DAMAGED = "damaged"
"""Why a message is not in the index: its sealed bytes are not what was written."""

BATCH = 100
"""Messages that a rebuild puts into the index with one commit."""

_KEPT_DOCUMENTS = 192
_KEPT_CHARACTERS = 200_000
_CHARACTERS_TOGETHER = 2_000_000
"""Text of messages that are recorded in one transaction, and in memory until then."""

ScheduleInForce: TypeAlias = Callable[[Connection], Schedule | None]
Progress: TypeAlias = Callable[[int, int], None]
"""Told how many messages are done, and of how many."""


class Intake:
    """What the worker calls for the outbox items ``capture`` and ``index``."""

    def __init__(
        self,
        *,
        database: Database,
        documents: DocumentSource,
        index: SearchIndex,
        schedule_in_force: ScheduleInForce,
        living_holds: LivingHolds,
        evidence: EvidenceReader,
        clock: Clock,
        trusted_clock: TrustedClock,
        guard_work: GuardWork = NO_GUARD_WORK,
    ) -> None:
        self._database = database
        self._documents = documents
        self._index = index
        self._schedule_in_force = schedule_in_force
        self._living_holds = living_holds
        self._evidence = evidence
        self._clock = clock
        self._trusted_clock = trusted_clock
        self._guard_work = guard_work
        self._fresh: OrderedDict[MessageId, ReadDocument] = OrderedDict()

    def capture(self, message: MessageId) -> None:
        """Take one message into the archive. As ``capture_all``."""
        self.capture_all([message])

    def capture_all(self, messages: Collection[MessageId]) -> None:
        """Take messages into the archive. Nothing happens to one that is there already or was disposed of."""
        with self._database.read() as connection:
            there = {entry.message for entry in archive_records.entries(connection, messages)}
            waiting = [message for message in dict.fromkeys(messages) if message not in there]
            stored = message_records.stored_many(connection, waiting)
        for some in _groups(filter(None, map(self._opened, stored))):
            self._record(some)

    def index(self, messages: Collection[MessageId]) -> None:
        """Put captured messages into the index with one commit. Those that are in it already are left alone."""
        with self._database.read() as connection:
            waiting = [e for e in archive_records.entries(connection, messages) if not (e.indexed_at or e.problem)]
            stored = {each.id: each for each in message_records.stored_many(connection, [e.message for e in waiting])}
        found = [(entry, self._document(stored[entry.message])) for entry in waiting if entry.message in stored]
        documents = [read.in_category(entry.category) for entry, read in found if read is not None]
        self._index.add(documents)
        reached("intake.after_index")
        self._mark([document.id for document in documents], [entry.message for entry, read in found if read is None])

    def index_waiting(self, progress: Progress | None = None) -> int:
        """Put everything that was captured and is not in the index into it; answers how many that were."""
        done = 0
        while True:
            with self._database.read() as connection:
                counts = archive_records.counts(connection)
                waiting = archive_records.unindexed(connection, BATCH)
            if not waiting:
                return done
            self.index(waiting)
            done += len(waiting)
            if progress:
                progress(counts.indexed + len(waiting), counts.archived)

    def rebuild(self, progress: Progress | None = None) -> int:
        """Make the index anew from the messages; answers how many it holds then."""
        self.begin_index()
        self.index_waiting(progress)
        return self._index.document_count()

    def begin_index(self) -> None:
        """Begin the index anew: it is empty and whole, and every message that was captured waits to be put into it."""
        self._index.clear()
        reached("intake.after_clearing")
        with self._database.write() as connection:
            archive_records.forget_index(connection)
            audit_trail.append(connection, [AuditFact(REBUILT, SYSTEM.account)], now=self._clock.now())

    def _opened(self, stored: StoredMessage) -> _Arrival | None:
        """What cannot be opened is kept, and under every hold that might cover it. None: destroyed meanwhile."""
        try:
            read = self._documents.read(stored)
        except (NotFoundError, DestroyedError):
            return None
        except (TamperedError, WrongKeyError):
            return _Arrival(stored, None, self._evidence.of(stored))
        return _Arrival(stored, read, self._evidence.of_document(read))

    def _record(self, arrivals: Sequence[_Arrival]) -> None:
        """Rows, holds, audit entries and the work that follows, in one transaction."""
        now = self._clock.now()
        with self._database.write() as connection:
            schedule = self._schedule_in_force(connection)
            proved_at = self._trusted_clock.proved(connection)
            captured_at = max(now, proved_at or now)
            entries = [_entry(each, schedule, captured_at) for each in arrivals]
            new = {entry.message: entry for entry in archive_records.insert_entries(connection, entries)}
            fresh = [each for each in arrivals if each.stored.id in new]
            doubted_captures.note(connection, new, captured_at=captured_at, proved_at=proved_at)
            evidence = self._dated(fresh, schedule, proved_at or captured_at)
            holds = self._living_holds.join(connection, evidence, now=now)
            facts = [_captured(entry, len(holds[message])) for message, entry in new.items()]
            audit_trail.append(connection, facts, now=now)
            self._guard_work.add(connection, new, now=now)
            unread_records.insert(connection, {each.stored.id: each.unread_reasons for each in fresh})
            readable = [each for each in fresh if each.read is not None]
            outbox.add_many(connection, [NewItem(Kind.INDEX, each.stored.id, now) for each in readable])
        reached("intake.after_rows")
        for each in readable:
            self._keep(each)

    def _dated(
        self, arrivals: Iterable[_Arrival], schedule: Schedule | None, captured_at: datetime
    ) -> dict[MessageId, Evidence]:
        """For holds: what comes while the clock stands ahead may be of a day before the one that the clock tells."""
        return {
            each.stored.id: classified(replace(each.evidence, captured_at=captured_at), schedule) for each in arrivals
        }

    def _document(self, stored: StoredMessage) -> IndexDocument | None:
        """The document, opened only if capture did not just do so; None when the message cannot be opened."""
        read = self._fresh.pop(stored.id, None)
        try:
            return (read or self._documents.read(stored)).document
        except (TamperedError, WrongKeyError, DestroyedError, NotFoundError):
            return None

    def _mark(self, indexed: list[MessageId], damaged: list[MessageId]) -> None:
        """Say in the rows what the index holds; a message that was disposed of meanwhile leaves it again."""
        with self._database.write() as connection:
            living = {entry.message for entry in archive_records.entries(connection, indexed)}
            archive_records.mark_indexed(connection, living, now=self._clock.now())
            for message in damaged:
                archive_records.mark_problem(connection, message, problem=DAMAGED)
        self._index.remove([message for message in indexed if message not in living])

    def _keep(self, arrival: _Arrival) -> None:
        """Remember a small document for the indexing that follows within seconds."""
        if arrival.read is not None and arrival.characters <= _KEPT_CHARACTERS:
            self._fresh[arrival.stored.id] = arrival.read
        if len(self._fresh) > _KEPT_DOCUMENTS:
            self._fresh.popitem(last=False)


@dataclass(frozen=True)
class _Arrival:
    """A message on its way into the archive. ``read`` is None when it is damaged."""

    stored: StoredMessage
    read: ReadDocument | None
    evidence: Evidence

    @property
    def unread_reasons(self) -> tuple[str, ...]:
        """Why parts of it could not be read. What could not be opened at all has its problem in its own row."""
        return self.read.unread_reasons if self.read is not None else ()

    @property
    def characters(self) -> int:
        """How much text is kept in memory for it."""
        texts = self.read.document.texts.values() if self.read is not None else ()
        return sum(len(text) for some in texts for text in some)


def _groups(arrivals: Iterable[_Arrival]) -> Iterator[list[_Arrival]]:
    """What is recorded together: as many as come, and no more text than memory should hold."""
    group: list[_Arrival] = []
    held = 0
    for arrival in arrivals:
        group.append(arrival)
        held += arrival.characters
        if held > _CHARACTERS_TOGETHER:
            yield group
            group, held = [], 0
    if group:
        yield group


def _entry(arrival: _Arrival, schedule: Schedule | None, now: datetime) -> ArchiveEntry:
    read, stored = arrival.read, arrival.stored
    if read is None:
        kind, version, problem, unread = UNCLASSIFIED, None, DAMAGED, 1
    else:
        kind = classify(read.document, schedule) if schedule else UNCLASSIFIED
        version, problem, unread = schedule.version if schedule else None, None, read.unread_parts
    return ArchiveEntry(
        message=stored.id,
        received_at=stored.received_at,
        captured_at=now,
        category=kind,
        schedule=version,
        problem=problem,
        unread_parts=unread,
    )


def _captured(entry: ArchiveEntry, holds: int) -> AuditFact:
    found: Detail = {"category": entry.category, "holds": holds, "unread_parts": entry.unread_parts}
    detail: Detail = {"problem": entry.problem, "holds": holds} if entry.problem else found
    return AuditFact(CAPTURED, SYSTEM.account, entry.message, detail)
