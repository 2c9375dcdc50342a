"""Follow-up work, committed together with its cause, and leased to one worker at a time.

An item is done at least once: a worker that dies loses its lease when that runs out, and another takes the item.
Whoever does the work must therefore stand doing it twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, func, select

from mailstore.database import Database
from mailstore.message import MessageId
from mailstore.sealed_rows import rows_of
from mailstore.tables import outbox

LONGEST_NEW = timedelta(hours=25)
"""New work is due at once, or after the pause between two notices: a day at most, and an hour for a clock's slack."""

LONGEST_WAIT = timedelta(days=15)
"""No attempt is put off for longer than a message is tried at all, which is 14 days at most (``give_up_hours``)."""


_ANY_DUE = (
    select(outbox.c.id)
    .where((outbox.c.kind == bindparam("kind")) & (outbox.c.claimable_at <= bindparam("claimable_at")))
    .limit(1)
)


class Kind(StrEnum):
    """What is to be done."""

    PROMOTE = "promote"  # from the spool into the object store
    CAPTURE = "capture"  # into the archive
    INDEX = "index"
    DELIVER = "deliver"  # to the recipient's server
    NOTIFY = "notify"  # tell a recipient that something waits in the portal
    REPORT = "report"  # tell the sender of a delay or failure
    BOUNCE = "bounce"  # find out which notice came back
    GUARD = "guard"  # tell the object store how long it must keep what it has


@dataclass(frozen=True)
class NewItem:
    """Work to be put down. ``position`` names one recipient of the message."""

    kind: Kind
    message: MessageId | None
    not_before: datetime
    position: int | None = None


@dataclass(frozen=True)
class OutboxItem:
    """Work that is leased to us until ``leased_until``."""

    id: int
    kind: Kind
    message: MessageId | None
    position: int | None
    attempts: int
    not_before: datetime
    leased_until: datetime
    leased_by: str


def add(
    connection: Connection,
    kind: Kind,
    message: MessageId | None,
    position: int | None,
    not_before: datetime,
) -> None:
    """Put one piece of work down, in the transaction of its cause."""
    add_many(connection, (NewItem(kind, message, not_before, position),))


def add_many(connection: Connection, items: Iterable[NewItem]) -> None:
    """Put many pieces of work down with one statement."""
    rows = [
        {
            "kind": item.kind.value,
            "message": item.message,
            "position": item.position,
            "not_before": item.not_before,
            "claimable_at": item.not_before,
        }
        for item in items
    ]
    rows_of(connection).insert_many(connection, outbox, rows)


def claim(
    database: Database, kinds: Sequence[Kind], *, now: datetime, limit: int, lease: timedelta, worker: str
) -> list[OutboxItem]:
    """Lease up to ``limit`` due items to ``worker``: by kind in the order given, the longest due first."""
    until = now + lease
    with database.read() as connection:
        if not any(_due(connection, kind, now, 1) for kind in kinds):
            return []
    with database.write() as connection:
        found: list[Mapping[str, Any]] = []
        for kind in kinds:
            found += _due(connection, kind, now, limit - len(found))
        where = outbox.c.id.in_([row["id"] for row in found])
        changes = {"leased_until": until, "leased_by": worker, "claimable_at": until}
        database.rows.update(connection, outbox, where, changes)
    return [_item({**row, **changes}) for row in found]


def finish(connection: Connection, item: OutboxItem) -> bool:
    """The work is done. False, and nothing changes, when the lease ran out and someone else took the item."""
    return bool(rows_of(connection).delete(connection, outbox, _still_ours(item)))


def finish_many(connection: Connection, items: Iterable[OutboxItem]) -> int:
    """As ``finish`` for many items. Answers how many were still ours and are done."""
    leases: dict[tuple[str, datetime], list[int]] = {}
    for item in items:
        leases.setdefault((item.leased_by, item.leased_until), []).append(item.id)
    columns = outbox.c
    return sum(
        rows_of(connection).delete(
            connection,
            outbox,
            columns.id.in_(ids) & (columns.leased_by == worker) & (columns.leased_until == until),
        )
        for (worker, until), ids in leases.items()
    )


def postpone(connection: Connection, item: OutboxItem, not_before: datetime, why_code: str) -> bool:
    """Try again from ``not_before`` on. False, and nothing changes, when the lease is no longer ours."""
    changes = {
        "not_before": not_before,
        "claimable_at": not_before,
        "attempts": item.attempts + 1,
        "leased_until": None,
        "leased_by": None,
        "why_code": why_code,
    }
    return bool(rows_of(connection).update(connection, outbox, _still_ours(item), changes))


def drop(connection: Connection, message: MessageId, *, kind: Kind, position: int | None = None) -> int:
    """Take back work that has become needless. Answers how many items."""
    where = (outbox.c.message == message) & (outbox.c.kind == kind.value)
    if position is not None:
        where &= outbox.c.position == position
    return rows_of(connection).delete(connection, outbox, where)


def take_back(connection: Connection, kinds: Sequence[Kind], *, others: Collection[str] = ()) -> int:
    """Give up every lease on these kinds but those of ``others``, who may be at work on theirs.

    For a worker that begins anew: none of its old work goes on. Answers how many items became free at once instead
    of at the end of their lease.
    """
    where = outbox.c.kind.in_([kind.value for kind in kinds]) & outbox.c.leased_until.is_not(None)
    where &= outbox.c.leased_by.not_in(others)
    held = rows_of(connection).select(connection, outbox, where)
    for row in held:
        freed = {"leased_until": None, "leased_by": None, "claimable_at": row["not_before"]}
        rows_of(connection).update(connection, outbox, outbox.c.id == row["id"], freed)
    return len(held)


def pull_forward(connection: Connection, kinds: Sequence[Kind], *, now: datetime) -> int:
    """Make due now what waits for longer than anything is ever put off: it was written while the clock stood ahead.

    Answers how many items those were. Without this, mail that came in under a wrong clock would wait for years. What
    is leased is left alone: somebody is at work on it, or gives it back when it starts again.
    """
    columns = outbox.c
    is_new_and_late = (columns.attempts == 0) & (columns.claimable_at > now + LONGEST_NEW)
    where = columns.kind.in_([kind.value for kind in kinds]) & columns.leased_until.is_(None)
    where &= is_new_and_late | (columns.claimable_at > now + LONGEST_WAIT)
    found = rows_of(connection).select(connection, outbox, where)
    for row in found:
        changes = {"not_before": now, "claimable_at": now}
        rows_of(connection).update(connection, outbox, outbox.c.id == row["id"], changes)
    return len(found)


def postponed(connection: Connection) -> Counter[tuple[Kind, str]]:
    """How many items of each kind were put off, by the word that says why."""
    asked = select(outbox.c.kind, outbox.c.why_code, func.count()).where(outbox.c.why_code.is_not(None))
    found = connection.execute(asked.group_by(outbox.c.kind, outbox.c.why_code))
    return Counter({(Kind(kind), str(why)): int(number) for kind, why, number in found})


def work_on(
    connection: Connection, messages: Sequence[MessageId], kinds: Sequence[Kind]
) -> set[tuple[Kind, MessageId, int | None]]:
    """Which work of these kinds waits or is under way on these messages: kind, message, position. For checks."""
    columns = outbox.c
    asked = select(columns.kind, columns.message, columns.position)
    found = connection.execute(asked.where(columns.message.in_(messages) & columns.kind.in_([k.value for k in kinds])))
    return {(Kind(kind), MessageId(message), position) for kind, message, position in found}


def recipients_waiting(connection: Connection, kind: Kind) -> list[tuple[MessageId, int]]:
    """Of which recipients work of a kind waits or is under way: message and position, in their order."""
    columns = outbox.c
    asked = select(columns.message, columns.position).where(
        (columns.kind == kind.value) & columns.position.is_not(None)
    )
    found = connection.execute(asked.distinct().order_by(columns.message, columns.position))
    return [(MessageId(message), int(position)) for message, position in found]


def waiting(connection: Connection) -> Counter[Kind]:
    """How many items of each kind are not done yet, leased ones included."""
    asked = select(outbox.c.kind, func.count()).group_by(outbox.c.kind)
    return Counter({Kind(kind): int(number) for kind, number in connection.execute(asked)})


def kinds_due(connection: Connection, kinds: Iterable[Kind], *, now: datetime) -> set[Kind]:
    """The kinds of which some item may be claimed now."""
    return {kind for kind in kinds if _next(connection, kind, now)}


def next_due(connection: Connection, kinds: Sequence[Kind]) -> datetime | None:
    """When the next item of these kinds may be claimed; None when nothing waits.

    Each kind's first is one look into the index, however many wait; a minimum over all kinds would read them all.
    """
    columns = outbox.c
    firsts = [
        select(columns.claimable_at)
        .where(columns.kind == kind.value)
        .order_by(columns.claimable_at)
        .limit(1)
        .scalar_subquery()
        .label(kind.value)
        for kind in kinds
    ]
    found = connection.execute(select(*firsts)).one() if firsts else ()
    return min((due for due in found if due is not None), default=None)


def _due(connection: Connection, kind: Kind, now: datetime, limit: int) -> list[Mapping[str, Any]]:
    where = (outbox.c.kind == kind.value) & (outbox.c.claimable_at <= now)
    order = (outbox.c.claimable_at, outbox.c.id)
    return rows_of(connection).select(connection, outbox, where, order_by=order, limit=limit)


def _next(connection: Connection, kind: Kind, now: datetime) -> bool:
    asked = {"kind": kind.value, "claimable_at": now}
    return connection.execute(_ANY_DUE, asked).first() is not None


def _still_ours(item: OutboxItem) -> ColumnElement[bool]:
    columns = outbox.c
    return (columns.id == item.id) & (columns.leased_by == item.leased_by) & (columns.leased_until == item.leased_until)


def _item(row: Mapping[str, Any]) -> OutboxItem:
    message = row["message"]
    return OutboxItem(
        id=row["id"],
        kind=Kind(row["kind"]),
        message=None if message is None else MessageId(message),
        position=row["position"],
        attempts=row["attempts"],
        not_before=row["not_before"],
        leased_until=row["leased_until"],
        leased_by=row["leased_by"],
    )
