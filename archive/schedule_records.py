"""Versions of the retention schedule: the only module that touches ``schedules``."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection

from archive.tables import schedules as table
from mailstore.errors import NotFoundError, TamperedError
from mailstore.message import AccountId
from mailstore.sealed_rows import SealedRow, rows_of


class ScheduleState(StrEnum):
    """The life of one version. At most one is active."""

    PROPOSED = "proposed"
    ACTIVE = "active"
    RETIRED = "retired"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True)
class ScheduleRecord:
    """One version as recorded. ``text_sealed`` is its TOML."""

    id: str
    state: ScheduleState
    text_sealed: bytes = field(repr=False)
    proposed_by: AccountId
    proposed_at: datetime
    approved_by: AccountId | None = None
    approved_at: datetime | None = None
    retired_at: datetime | None = None


def insert(connection: Connection, record: ScheduleRecord) -> None:
    """Record a new version."""
    rows_of(connection).insert(connection, table, vars(record))


def of(connection: Connection, schedule: str) -> ScheduleRecord:
    """The version by that id. Raises ``NotFoundError``."""
    row = rows_of(connection).one(connection, table, table.c.id == schedule)
    if row is None:
        raise NotFoundError(
            "there is no such version of the schedule", fix="name the id that strongroom schedule propose answered"
        )
    return _record(row)


def active(connection: Connection) -> ScheduleRecord | None:
    """The version in force, or None. Raises ``TamperedError`` when there are two: that was never written."""
    found = rows_of(connection).select(connection, table, table.c.state == ScheduleState.ACTIVE)
    if len(found) > 1:
        raise TamperedError("more than one version of the schedule is active")
    return _record(found[0]) if found else None


def all_versions(connection: Connection) -> list[ScheduleRecord]:
    """Every version, newest first."""
    order = [table.c.proposed_at.desc(), table.c.id]
    return [_record(row) for row in rows_of(connection).select(connection, table, order_by=order)]


def activate(connection: Connection, schedule: str, *, by: AccountId, now: datetime) -> None:
    """Put a version in force and retire the one that was."""
    rows = rows_of(connection)
    was_active = table.c.state == ScheduleState.ACTIVE
    rows.update(connection, table, was_active, {"state": ScheduleState.RETIRED, "retired_at": now})
    changes = {"state": ScheduleState.ACTIVE, "approved_by": by, "approved_at": now}
    rows.update(connection, table, table.c.id == schedule, changes)


def withdraw(connection: Connection, schedule: str) -> None:
    """Record that a version was taken back before anybody approved it."""
    rows_of(connection).update(connection, table, table.c.id == schedule, {"state": ScheduleState.WITHDRAWN})


def _record(row: SealedRow) -> ScheduleRecord:
    return ScheduleRecord(**{**row, "state": ScheduleState(row["state"])})
