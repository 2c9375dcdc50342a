"""Tells the object store what schedule and holds say, so that it refuses by itself what we must not do.

The rows decide; the store is the second guard (docs/decisions/object-lock.md). What has an end is retained until then,
and what has none (a hold, a category kept for ever, no schedule that speaks of it) is held in the store meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from archive import archive_records, hold_records
from archive.schedules import Schedules
from mailstore import message_records, outbox
from mailstore.database import Database
from mailstore.errors import NotFoundError
from mailstore.failpoint import reached
from mailstore.guard_work import GuardWork
from mailstore.message import MessageId, StoredMessage
from mailstore.object_guard import ObjectGuard
from mailstore.outbox import Kind
from mailstore.wall_clock import Clock

TOLD_AT_ONCE = 8
LOOKED_AT = 500
"""Records that one look at locks asks the store about: those that are due, and soon will be."""

SOON = timedelta(days=7)
SLACK = timedelta(days=1)
"""A lock that ends this much later than the schedule is not worth a word."""


@dataclass(frozen=True)
class Wanted:
    """What the rows want of one object. ``until`` is None when nobody can say when it may go."""

    message: MessageId
    object_name: str
    until: datetime | None
    is_held: bool

    @property
    def has_no_end(self) -> bool:
        """True when it must be kept until something changes."""
        return self.is_held or self.until is None


@dataclass(frozen=True)
class LongLock:
    """An object that the store keeps beyond the day on which the schedule lets it go."""

    message: MessageId
    object_name: str
    due_at: datetime
    locked_until: datetime


@dataclass(frozen=True)
class MissingLock:
    """An object that the store would let go although the rows keep its message, and nothing waits to tell it so."""

    message: MessageId
    object_name: str


class ObjectGuarding:
    """Mirrors what must be kept into the object store, and holds the two against each other."""

    def __init__(self, *, database: Database, schedules: Schedules, guard: ObjectGuard, clock: Clock) -> None:
        self._database = database
        self._schedules = schedules
        self._guard = guard
        self._clock = clock

    def tell(self, messages: Sequence[MessageId]) -> None:
        """Tell the store about these messages. One that is not there or not captured yet is told of when it is."""
        if not self._guard.is_enforced:
            return
        with self._database.read() as connection:
            wanted = self._wanted(connection, messages)
        if wanted:
            with ThreadPoolExecutor(min(TOLD_AT_ONCE, len(wanted)), "guard") as threads:
                list(threads.map(self._tell, wanted))
        reached("object_guarding.after_telling")

    def tell_of_all(self, work: GuardWork) -> int:
        """Put down the work of telling the store about everything, as when it has just learned to lock."""
        now = self._clock.now()
        with self._database.write() as connection:
            everything = message_records.all_ids(connection)
            work.add(connection, everything, now=now)
        return len(everything)

    def locked(self, messages: Iterable[StoredMessage]) -> Mapping[MessageId, str]:
        """Why the store would refuse to remove messages that the schedule lets go, in words, after it was told anew.

        Asked before a key is destroyed, so that nothing has happened yet to what cannot be destroyed whole.
        """
        stored = [message for message in messages if message.object_name is not None]
        if not stored or not self._guard.is_enforced:
            return {}
        self.tell([message.id for message in stored])
        now = self._clock.now()
        found: dict[MessageId, str] = {}
        for message in stored:
            try:
                guard = self._guard.guard_of(str(message.object_name))
            except NotFoundError:
                continue
            if guard.is_held:
                found[message.id] = f"the object store holds {message.object_name} for a legal hold"
            elif guard.retained_until is not None and guard.retained_until > now:
                until = f"{guard.retained_until:%Y-%m-%d %H:%MZ}"
                found[message.id] = f"the object store keeps {message.object_name} until {until}"
        return found

    def longer_than_scheduled(self) -> list[LongLock]:
        """Locks that outlast the schedule, of records that are due or soon will be; ``LOOKED_AT`` of them at most."""
        if not self._guard.is_enforced:
            return []
        soon = self._clock.now() + SOON
        with self._database.read() as connection:
            every = message_records.all_ids(connection)
            wanted = [
                each
                for start in range(0, len(every), LOOKED_AT)
                for each in self._wanted(connection, every[start : start + LOOKED_AT], due_by=soon)
            ]
        due = sorted((each for each in wanted if not each.has_no_end), key=_end)
        with ThreadPoolExecutor(TOLD_AT_ONCE, "guard") as threads:
            return [found for found in threads.map(self._long_lock, due[:LOOKED_AT]) if found is not None]

    def differences(self, messages: Sequence[MessageId]) -> list[LongLock | MissingLock]:
        """Where the locks of these messages' objects are not what the rows want, and nothing is under way."""
        if not self._guard.is_enforced:
            return []
        with self._database.read() as connection:
            waiting = {message for _, message, _ in outbox.work_on(connection, messages, (Kind.GUARD,))}
            wanted = self._wanted(connection, [each for each in messages if each not in waiting])
        if not wanted:
            return []
        with ThreadPoolExecutor(min(TOLD_AT_ONCE, len(wanted)), "guard") as threads:
            looks = threads.map(lambda each: self._missing_lock(each) or self._long_lock(each), wanted)
            return [found for found in looks if found is not None]

    def _wanted(
        self, connection: Connection, messages: Sequence[MessageId], *, due_by: datetime | None = None
    ) -> list[Wanted]:
        """What is wanted of those that have an object; with ``due_by`` only of those that are due by then."""
        schedule = self._schedules.recorded(connection)
        living = {record.id for record in hold_records.all_holds(connection) if record.state.holds}
        entries = {entry.message: entry for entry in archive_records.entries(connection, messages)}
        wanted = []
        for stored in message_records.stored_many(connection, messages):
            entry = entries.get(stored.id)
            if entry is None or stored.object_name is None:
                continue
            until = schedule.due_at(entry.category, stored.received_at) if schedule else None
            if due_by is not None and (until is None or until > due_by):
                continue
            is_held = any(held.hold in living for held in hold_records.holds_of(connection, stored.id))
            wanted.append(Wanted(stored.id, stored.object_name, until, is_held))
        return wanted

    def _tell(self, wanted: Wanted) -> None:
        """The new lock before the old one is lifted: at no moment is the object free that must stay."""
        try:
            if wanted.until is not None and wanted.until > self._clock.now():
                self._guard.retain_until(wanted.object_name, wanted.until)
            if wanted.has_no_end:
                self._guard.hold(wanted.object_name)
            else:
                self._guard.release(wanted.object_name)
        except NotFoundError:
            return  # destroyed, or put elsewhere meanwhile; a lost object is the consistency check's to report

    def _missing_lock(self, wanted: Wanted) -> MissingLock | None:
        try:
            guard = self._guard.guard_of(wanted.object_name)
        except NotFoundError:
            return None
        is_ending = wanted.until is not None and wanted.until > self._clock.now()
        is_short = is_ending and (guard.retained_until is None or guard.retained_until < _end(wanted))
        if is_short or (wanted.has_no_end and not guard.is_held):
            return MissingLock(wanted.message, wanted.object_name)
        return None

    def _long_lock(self, wanted: Wanted) -> LongLock | None:
        if wanted.has_no_end:
            return None
        try:
            until = self._guard.guard_of(wanted.object_name).retained_until
        except NotFoundError:
            return None
        due = _end(wanted)
        if until is None or until <= due + SLACK:
            return None
        return LongLock(wanted.message, wanted.object_name, due, until)


def _end(wanted: Wanted) -> datetime:
    if wanted.until is None:
        raise ValueError("what has no end has no date")
    return wanted.until
