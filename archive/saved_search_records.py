"""Searches that people saved: the only module that touches ``saved_searches``."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, func, select

from archive.tables import saved_searches as table
from mailstore.errors import NotFoundError
from mailstore.message import AccountId
from mailstore.sealed_rows import SealedRow, rows_of


@dataclass(frozen=True)
class SavedRecord:
    """One saved search as recorded. ``details_sealed`` is its ``SavedDetails``.

    What came into the archive before ``looked_until`` is not new to the owner. ``new_messages`` is what the last daily
    run, at ``ran_at``, found beyond that; unless it ``is_counted_whole`` there may be more.
    """

    id: str
    owner: AccountId
    details_sealed: bytes = field(repr=False)
    is_daily: bool
    created_at: datetime
    looked_until: datetime
    ran_at: datetime | None = None
    new_messages: int = 0
    is_counted_whole: bool = True


def insert(connection: Connection, record: SavedRecord) -> None:
    """Keep a new one."""
    rows_of(connection).insert(connection, table, vars(record))


def count_of(connection: Connection, owner: AccountId) -> int:
    """How many one person has saved."""
    return int(connection.execute(select(func.count()).where(table.c.owner == owner)).scalar_one())


def of_owner(connection: Connection, owner: AccountId) -> list[SavedRecord]:
    """What one person saved, oldest first."""
    order = [table.c.created_at, table.c.id]
    return [
        _record(row) for row in rows_of(connection).select(connection, table, table.c.owner == owner, order_by=order)
    ]


def own(connection: Connection, owner: AccountId, saved: str) -> SavedRecord:
    """One search of this person. Raises ``NotFoundError``, also for one of somebody else."""
    row = rows_of(connection).one(connection, table, (table.c.id == saved) & (table.c.owner == owner))
    if row is None:
        raise NotFoundError("there is no such saved search")
    return _record(row)


def due(connection: Connection, before: datetime) -> list[SavedRecord]:
    """Those to be run daily that last ran before this moment, by their owners."""
    is_due = table.c.is_daily & (table.c.ran_at.is_(None) | (table.c.ran_at < before))
    order = [table.c.owner, table.c.created_at, table.c.id]
    return [_record(row) for row in rows_of(connection).select(connection, table, is_due, order_by=order)]


def set_details(connection: Connection, saved: str, *, sealed: bytes) -> None:
    """Give it another name."""
    rows_of(connection).update(connection, table, table.c.id == saved, {"details_sealed": sealed})


def set_daily(connection: Connection, saved: str, *, is_daily: bool) -> None:
    """Run it daily, or not any more."""
    changes = {"is_daily": is_daily, "new_messages": 0, "is_counted_whole": True}
    rows_of(connection).update(connection, table, table.c.id == saved, changes)


def set_looked(connection: Connection, saved: str, *, until: datetime) -> None:
    """The owner has seen what came before this moment."""
    changes = {"looked_until": until, "new_messages": 0, "is_counted_whole": True}
    rows_of(connection).update(connection, table, table.c.id == saved, changes)


def set_ran(connection: Connection, saved: str, *, now: datetime, new_messages: int, is_counted_whole: bool) -> None:
    """It ran, and found so many new messages."""
    changes = {"ran_at": now, "new_messages": new_messages, "is_counted_whole": is_counted_whole}
    rows_of(connection).update(connection, table, table.c.id == saved, changes)


def remove(connection: Connection, saved: str) -> None:
    """Forget it."""
    rows_of(connection).delete(connection, table, table.c.id == saved)


def _record(row: SealedRow) -> SavedRecord:
    return SavedRecord(**{**row, "owner": AccountId(row["owner"])})
