"""Lets go of spool segments once all their mail has lain in the object store for the dwell time, and still does.

A store may lose what it acknowledged; within the dwell time that harms nobody. How a segment goes:

1. It is closed: nobody will append to it. Every message in it was promoted, at least the dwell time ago.
2. Every object is read once more and held against its digest, and so is every shared part that a message needs. A
   message of which one is missing or other is **withdrawn**: its row says again that the spool alone has it, with the
   work of promoting it anew, which puts a lost part again for all that need it. Then the segment stays.
3. Under the write lock the segment is removed, durably, if still no message has its only copy there.
4. The rows are told, some at a time. A crash before that leaves rows that name a segment which is gone; they are told
   first thing in the next run.

When the spool comes near its cap the dwell time ends early; the second reading never does.

As long as a row names a segment, ``destruction`` knows from the row alone where bytes of its message lie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from mailstore import audit_trail, message_records, outbox, spool
from mailstore.audit_entry import AuditFact
from mailstore.database import Database
from mailstore.errors import NotFoundError
from mailstore.failpoint import reached
from mailstore.keystore import Keystore
from mailstore.message import MessageId, StoredMessage
from mailstore.object_store import ObjectStore
from mailstore.outbox import Kind
from mailstore.part_records import PartLinks
from mailstore.second_reading import SecondReading
from mailstore.wall_clock import Clock

LOST_EVENT = "store.object_lost"
"""The audit event of an object that the store no longer has as it was put."""

_PAGE = 200


@dataclass(frozen=True)
class Released:
    """Segments that are gone, and messages whose object was lost and which wait to be promoted anew."""

    segments: int
    lost_objects: int


class SpoolRelease:
    """Releases spool segments. May run in several processes."""

    def __init__(
        self,
        database: Database,
        keystore: Keystore,
        spool_directory: Path,
        objects: ObjectStore,
        *,
        links: PartLinks,
        clock: Clock,
        dwell: timedelta,
        is_pressed: Callable[[], bool],
    ) -> None:
        self._database = database
        self._keystore = keystore
        self._spool_directory = spool_directory
        self._objects = objects
        self._links = links
        self._clock = clock
        self._dwell = dwell
        self._is_pressed = is_pressed

    def run(self) -> Released:
        """Release what may go, as the module says. Raises ``StorageUnavailableError`` when the store is down."""
        self._finish_interrupted()
        released = lost = 0
        for segment in spool.segments(self._spool_directory):
            if not self._is_closed(segment) or not self._is_due(segment):
                continue
            missing = self._withdraw_lost(segment)
            lost += missing
            if not missing and self._is_removed(segment):
                self._tell_rows(segment)
                released += 1
        return Released(released, lost)

    def _finish_interrupted(self) -> None:
        """A row without an object is left alone: its bytes are lost, and the consistency check says so."""
        there = set(spool.segments(self._spool_directory))
        with self._database.read() as connection:
            named = list(message_records.segments_named(connection))
        for segment in named:
            if segment not in there:
                self._tell_rows(segment)

    def _is_closed(self, segment: str) -> bool:
        try:
            return spool.is_closed(self._spool_directory, segment)
        except NotFoundError:
            return False

    def _is_due(self, segment: str) -> bool:
        """True when every message in the segment was promoted long enough ago."""
        before = self._clock.now() - (timedelta(0) if self._is_pressed() else self._dwell)
        with self._database.read() as connection:
            return not message_records.waits_in_segment(connection, segment, promoted_after=before)

    def _pages(self, segment: str) -> Iterator[list[StoredMessage]]:
        after = -1
        while page := self._page(segment, after):
            yield page
            after = page[-1].offset

    def _page(self, segment: str, after: int) -> list[StoredMessage]:
        with self._database.read() as connection:
            return message_records.in_segment(connection, segment, after=after, limit=_PAGE)

    def _withdraw_lost(self, segment: str) -> int:
        reading = SecondReading(self._database, self._spool_directory, self._objects, self._links)
        withdrawn = 0
        for page in self._pages(segment):
            lost = reading.lost(page)
            withdrawn += self._withdrawn([message for message in page if message.id in lost], lost) if lost else 0
        return withdrawn

    def _withdrawn(self, messages: Sequence[StoredMessage], lost: Mapping[MessageId, str]) -> int:
        """How many were withdrawn; not those that are being destroyed, whose objects go first."""
        now = self._clock.now()
        with self._database.write() as connection:
            rows = message_records.stored_many(connection, [message.id for message in messages])
            names = {message.id: message.object_name for message in messages}
            mine = [row for row in rows if row.object_name == names[row.id] and self._keystore.has_key(row.id)]
            message_records.set_withdrawn(connection, [row.id for row in mine])
            outbox.add_many(connection, [outbox.NewItem(Kind.PROMOTE, row.id, now) for row in mine])
            facts = [AuditFact(LOST_EVENT, "system", row.id, {"object": lost[row.id]}) for row in mine]
            audit_trail.append(connection, facts, now=now)
        reached("spool_release.after_withdrawal")
        return len(mine)

    def _is_removed(self, segment: str) -> bool:
        """Under the lock nobody withdraws a message between the look and the removal."""
        with self._database.write() as connection:
            if message_records.waits_in_segment(connection, segment):
                return False
            spool.release(self._spool_directory, segment)
        reached("spool_release.after_removal")
        return True

    def _tell_rows(self, segment: str) -> None:
        for page in self._pages(segment):
            promoted = [message.id for message in page if message.object_name is not None]
            with self._database.write() as connection:
                message_records.set_released(connection, promoted)
            reached("spool_release.after_rows")
