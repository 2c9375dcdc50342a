"""Every accepted message comes into the archive once: classified, joined to the holds that cover it, then indexed.

The archive row and the holds are decided on the message itself, in one transaction with the audit entry; the index
follows in batches and may be made anew at any time. Both steps may be repeated: done twice is done once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from typing import TypeAlias

from sqlalchemy import Connection

from archive import archive_records
from archive.archive_records import ArchiveEntry
from archive.classification import classify
from archive.disposal_decision import classified
from archive.evidence import DocumentSource, EvidenceReader, ReadDocument
from archive.index_document import IndexDocument
from archive.living_holds import LivingHolds
from archive.retention_schedule import UNCLASSIFIED, Schedule
from archive.search_index import SearchIndex
from mailstore import audit_trail, message_records, outbox
from mailstore.actor import SYSTEM
from mailstore.audit_entry import AuditFact, Detail
from mailstore.database import Database
from mailstore.errors import DestroyedError, NotFoundError, TamperedError, WrongKeyError
from mailstore.message import MessageId, StoredMessage
from mailstore.outbox import Kind
from mailstore.wall_clock import Clock

CAPTURED = "message.captured"
REBUILT = "index.rebuilt"
DAMAGED = "damaged"
"""Why a message is not in the index: its sealed bytes are not what was written."""

BATCH = 100
"""Messages that a rebuild puts into the index with one commit."""

_KEPT_DOCUMENTS = 64
_KEPT_CHARACTERS = 200_000

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
    ) -> None:
        self._database = database
        self._documents = documents
        self._index = index
        self._schedule_in_force = schedule_in_force
        self._living_holds = living_holds
        self._evidence = evidence
        self._clock = clock
        self._fresh: OrderedDict[MessageId, ReadDocument] = OrderedDict()

    def capture(self, message: MessageId) -> None:
        """Take one message into the archive. Nothing happens when it is there already or was disposed of."""
        with self._database.read() as connection:
            if archive_records.find(connection, message) is not None:
                return
            try:
                stored = message_records.stored(connection, message)
            except (NotFoundError, DestroyedError):
                return
        try:
            read = self._documents.read(stored)
        except (NotFoundError, DestroyedError):
            return
        except (TamperedError, WrongKeyError):
            self._capture_damaged(stored)
            return
        self._capture_read(stored, read)

    def index(self, messages: Collection[MessageId]) -> None:
        """Put captured messages into the index with one commit. Those that are in it already are left alone."""
        with self._database.read() as connection:
            waiting = [e for e in archive_records.entries(connection, messages) if not (e.indexed_at or e.problem)]
            stored = {each.id: each for each in message_records.stored_many(connection, [e.message for e in waiting])}
        found = [(entry, self._document(stored[entry.message])) for entry in waiting if entry.message in stored]
        documents = [read.in_category(entry.category) for entry, read in found if read is not None]
        self._index.add(documents)
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
        self._index.clear()
        with self._database.write() as connection:
            archive_records.forget_index(connection)
            audit_trail.append(connection, [AuditFact(REBUILT, SYSTEM.account)], now=self._clock.now())
        self.index_waiting(progress)
        return self._index.document_count()

    def _capture_read(self, stored: StoredMessage, read: ReadDocument) -> None:
        evidence, now = self._evidence.of_document(read), self._clock.now()
        with self._database.write() as connection:
            schedule = self._schedule_in_force(connection)
            entry = ArchiveEntry(
                message=stored.id,
                received_at=stored.received_at,
                captured_at=now,
                category=classify(read.document, schedule) if schedule else UNCLASSIFIED,
                schedule=schedule.version if schedule else None,
                unread_parts=read.unread_parts,
            )
            if not archive_records.insert_entry(connection, entry):
                return
            holds = self._living_holds.join(connection, stored.id, classified(evidence, schedule), now=now)
            detail: Detail = {"category": entry.category, "holds": len(holds), "unread_parts": read.unread_parts}
            audit_trail.append(connection, [AuditFact(CAPTURED, SYSTEM.account, stored.id, detail)], now=now)
            outbox.add(connection, Kind.INDEX, stored.id, None, now)
        self._keep(stored.id, read)

    def _capture_damaged(self, stored: StoredMessage) -> None:
        """A message that cannot be opened is counted and shown, kept, and under every hold that might cover it."""
        evidence, now = self._evidence.of(stored), self._clock.now()
        entry = ArchiveEntry(
            message=stored.id,
            received_at=stored.received_at,
            captured_at=now,
            category=UNCLASSIFIED,
            schedule=None,
            problem=DAMAGED,
            unread_parts=1,
        )
        with self._database.write() as connection:
            if not archive_records.insert_entry(connection, entry):
                return
            holds = self._living_holds.join(connection, stored.id, evidence, now=now)
            detail: Detail = {"problem": DAMAGED, "holds": len(holds)}
            audit_trail.append(connection, [AuditFact(CAPTURED, SYSTEM.account, stored.id, detail)], now=now)

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

    def _keep(self, message: MessageId, read: ReadDocument) -> None:
        """Remember a small document for the indexing that follows within seconds."""
        if _characters(read.document.texts.values()) <= _KEPT_CHARACTERS:
            self._fresh[message] = read
        if len(self._fresh) > _KEPT_DOCUMENTS:
            self._fresh.popitem(last=False)


def _characters(texts: Iterable[tuple[str, ...]]) -> int:
    return sum(len(text) for some in texts for text in some)
