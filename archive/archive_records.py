"""What was captured: one row a message, from the moment the archive has seen it until it is disposed of.

The only module that touches ``archive_entries``. The row says when the message was received by our own clock,
what its category was when that was last worked out and by which schedule, and whether the index holds it. The
category here is for showing and counting; a disposal works it out again on the message itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, false, func, or_, select, true

from archive import doubted_captures, unread_records
from archive.tables import archive_entries as table
from mailstore.message import MessageId
from mailstore.sealed_rows import SealedRow, rows_of

BATCH = 500
"""Identifiers in one statement; SQLite takes 32,766 parameters at most."""


@dataclass(frozen=True)
class ArchiveEntry:
    """One captured message.

    ``problem`` says in one word why it is not in the index although it was tried; ``unread_parts`` counts the
    attachments whose text could not be had although they are of a kind that holds text.
    """

    message: MessageId
    received_at: datetime
    captured_at: datetime
    category: str
    schedule: str | None
    indexed_at: datetime | None = None
    problem: str | None = None
    unread_parts: int = 0


@dataclass(frozen=True)
class ArchiveCounts:
    """How many messages were captured, how many of them the index holds, how many it could not take."""

    archived: int
    indexed: int
    not_indexed: int


def insert_entries(connection: Connection, new: Collection[ArchiveEntry]) -> list[ArchiveEntry]:
    """Capture messages; answers those that were not captured before. Nothing changes for the others."""
    there = {entry.message for entry in entries(connection, [entry.message for entry in new])}
    fresh = [entry for entry in new if entry.message not in there]
    rows_of(connection).insert_many(connection, table, map(vars, fresh))
    return fresh


def find(connection: Connection, message: MessageId) -> ArchiveEntry | None:
    """The entry of a message, or None when the archive has not seen it (or has disposed of it)."""
    row = rows_of(connection).one(connection, table, table.c.message == message)
    return None if row is None else _entry(row)


def entries(connection: Connection, messages: Collection[MessageId]) -> list[ArchiveEntry]:
    """The entries of these messages, oldest first; those that are not captured are left out."""
    found = [
        _entry(row)
        for some in _batches(messages)
        for row in rows_of(connection).select(connection, table, table.c.message.in_(some))
    ]
    return sorted(found, key=lambda entry: (entry.received_at, entry.message))


def classified_otherwise(connection: Connection, schedule: str, limit: int) -> list[ArchiveEntry]:
    """Entries that were last classified by another version of the schedule than this one, oldest first."""
    where = table.c.schedule.is_(None) | (table.c.schedule != schedule)
    order = [table.c.received_at.asc(), table.c.message.asc()]
    return [_entry(row) for row in rows_of(connection).select(connection, table, where, order_by=order, limit=limit)]


def perhaps_past(connection: Connection, schedule: str, moments: Mapping[str, datetime]) -> list[MessageId]:
    """Messages whose period may have ended, oldest first.

    Those that another version of the schedule than this one classified last, and those of a category that were
    received no later than the moment that ``moments`` gives for it.
    """
    elsewise = table.c.schedule.is_(None) | (table.c.schedule != schedule)
    past = [(table.c.category == name) & (table.c.received_at <= moment) for name, moment in moments.items()]
    order = [table.c.received_at.asc(), table.c.message.asc()]
    asked = select(table.c.message).where(or_(elsewise, *past)).order_by(*order)
    return [MessageId(message) for message in connection.execute(asked).scalars()]


def unindexed(connection: Connection, limit: int) -> list[MessageId]:
    """Captured messages that the index should hold and does not yet, oldest first."""
    waiting = table.c.indexed_at.is_(None) & table.c.problem.is_(None)
    found = rows_of(connection).select(connection, table, waiting, order_by=[table.c.received_at.asc()], limit=limit)
    return [MessageId(row["message"]) for row in found]


def captured(connection: Connection, messages: Collection[MessageId]) -> set[MessageId]:
    """Those of these messages, ``BATCH`` at most, that were captured. The rows are not verified."""
    asked = select(table.c.message).where(table.c.message.in_(messages))
    return {MessageId(each) for each in connection.execute(asked).scalars()}


def unindexed_of(connection: Connection, messages: Collection[MessageId]) -> set[MessageId]:
    """Those of these messages, ``BATCH`` at most, that wait for the index. The rows are not verified."""
    waiting = table.c.indexed_at.is_(None) & table.c.problem.is_(None)
    asked = select(table.c.message).where(table.c.message.in_(messages) & waiting)
    return {MessageId(each) for each in connection.execute(asked).scalars()}


def indexed_page(connection: Connection, *, after: str, limit: int) -> list[MessageId]:
    """The next messages beyond an id that the index should hold, in the order of their ids, not verified."""
    asked = select(table.c.message).where((table.c.message > after) & table.c.indexed_at.is_not(None))
    return [MessageId(each) for each in connection.execute(asked.order_by(table.c.message).limit(limit)).scalars()]


def indexed_in_order(
    connection: Connection, *, after: tuple[datetime, str] | None, limit: int
) -> list[tuple[datetime, MessageId]]:
    """The next messages that the index should hold, in the order in which they were received, not verified."""
    received, message = table.c.received_at, table.c.message
    beyond = true() if after is None else (received > after[0]) | ((received == after[0]) & (message > after[1]))
    asked = select(received, message).where(table.c.indexed_at.is_not(None) & beyond)
    found = connection.execute(asked.order_by(received, message).limit(limit))
    return [(received_at, MessageId(each)) for received_at, each in found]


def not_indexed(connection: Connection, limit: int) -> list[ArchiveEntry]:
    """Captured messages that the index could not take, newest first, each with its problem."""
    found = rows_of(connection).select(
        connection, table, table.c.problem.is_not(None), order_by=[table.c.received_at.desc()], limit=limit
    )
    return [_entry(row) for row in found]


def partly_unread(connection: Connection, limit: int) -> list[ArchiveEntry]:
    """Captured messages that the index has not, or not with all their parts, newest first."""
    where = table.c.problem.is_not(None) | (table.c.unread_parts > 0)
    found = rows_of(connection).select(connection, table, where, order_by=[table.c.received_at.desc()], limit=limit)
    return [_entry(row) for row in found]


def mark_indexed(connection: Connection, messages: Collection[MessageId], *, now: datetime) -> int:
    """The index holds these, durably. Answers how many rows say so now."""
    return sum(
        rows_of(connection).update(connection, table, table.c.message.in_(some), {"indexed_at": now, "problem": None})
        for some in _batches(messages)
    )


def mark_problem(connection: Connection, message: MessageId, *, problem: str) -> None:
    """The index could not take this message; ``problem`` is a plain word, never text of the message."""
    rows_of(connection).update(connection, table, table.c.message == message, {"indexed_at": None, "problem": problem})


def forget_index(connection: Connection) -> int:
    """The index is to be built again: nothing is in it. Answers how many messages that concerns."""
    touched = table.c.indexed_at.is_not(None) | table.c.problem.is_not(None)
    return rows_of(connection).update(connection, table, touched, {"indexed_at": None, "problem": None})


def forget_index_of(connection: Connection, message: MessageId) -> int:
    """The index lost this message. Answers how many rows say now that it waits."""
    return rows_of(connection).update(connection, table, table.c.message == message, {"indexed_at": None})


def set_category(connection: Connection, message: MessageId, *, category: str, schedule: str | None) -> None:
    """What the message is by that version of the schedule."""
    rows_of(connection).update(
        connection, table, table.c.message == message, {"category": category, "schedule": schedule}
    )


def remove_entry(connection: Connection, message: MessageId) -> int:
    """Forget a message. Only a disposal run does this, in the transaction that destroys it."""
    unread_records.remove(connection, message)
    doubted_captures.remove(connection, message)
    return rows_of(connection).delete(connection, table, table.c.message == message)


def problems(connection: Connection) -> dict[str, int]:
    """How many messages the index could not take for each reason. Counted by the database, without opening any row."""
    has_problem = table.c.problem.is_not(None)
    asked = select(table.c.problem, func.count()).where(has_problem).group_by(table.c.problem).order_by(table.c.problem)
    return {problem: int(count) for problem, count in connection.execute(asked)}


def newest_indexed_at(connection: Connection) -> datetime | None:
    """When the newest message that the index holds was received; None while it holds none."""
    asked = select(table.c.received_at).where(table.c.indexed_at.is_not(None))
    return connection.execute(asked.order_by(table.c.received_at.desc()).limit(1)).scalar()


def captured_within(connection: Connection, begin: datetime, end: datetime) -> list[MessageId]:
    """What came into the archive from one moment on and before another. The rows are not verified."""
    asked = select(table.c.message).where((table.c.captured_at >= begin) & (table.c.captured_at < end))
    return [MessageId(each) for each in connection.execute(asked).scalars()]


def counts(connection: Connection) -> ArchiveCounts:
    """How complete the archive and its index are. Counted by the database in its indexes, without reading any row.

    Every search asks it: of a million rows, what was not indexed is few, and all of them are counted in 10 ms.
    """
    of_all = select(func.count()).select_from(table)
    columns = (of_all, of_all.where(table.c.indexed_at.is_(None)), of_all.where(table.c.problem.is_not(None)))
    archived, outside, problems = connection.execute(select(*(each.scalar_subquery() for each in columns))).one()
    return ArchiveCounts(archived=archived, indexed=archived - outside, not_indexed=problems)


def count_received_before(connection: Connection, moments: Mapping[str, datetime]) -> int:
    """How many messages of each category were received before its moment, added up. No row is opened."""
    past = [(table.c.category == name) & (table.c.received_at < moment) for name, moment in moments.items()]
    asked = select(func.count()).select_from(table).where(or_(false(), *past))
    return int(connection.execute(asked).scalar_one())


def oldest_unindexed_at(connection: Connection) -> datetime | None:
    """When the oldest message that still waits for the index was captured; None when nothing waits."""
    waiting = table.c.indexed_at.is_(None) & table.c.problem.is_(None)
    return connection.execute(select(func.min(table.c.captured_at)).where(waiting)).scalar()


def _batches(messages: Collection[MessageId]) -> Iterator[Sequence[MessageId]]:
    every = list(messages)
    return (every[start : start + BATCH] for start in range(0, len(every), BATCH))


def _entry(row: SealedRow) -> ArchiveEntry:
    return ArchiveEntry(**{**row, "message": MessageId(row["message"])})
