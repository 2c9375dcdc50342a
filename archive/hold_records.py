"""Holds and the messages they cover: the only module that touches ``holds`` and ``hold_messages``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, case, func, select

from archive.legal_hold import HoldState
from archive.tables import hold_messages, holds
from mailstore.errors import NotFoundError
from mailstore.message import AccountId, MessageId
from mailstore.sealed_rows import SealedRow, rows_of

BATCH = 500
"""Identifiers in one statement; SQLite takes 32,766 parameters at most."""


@dataclass(frozen=True)
class HoldRecord:
    """One hold as recorded. ``details_sealed`` is its ``Matter``; ``evaluated_at`` when all mail had been looked at."""

    id: str
    state: HoldState
    details_sealed: bytes = field(repr=False)
    placed_by: AccountId
    placed_at: datetime
    evaluated_at: datetime | None = None
    release_requested_by: AccountId | None = None
    release_requested_at: datetime | None = None
    release_reason_sealed: bytes | None = field(default=None, repr=False)
    released_by: AccountId | None = None
    released_at: datetime | None = None


@dataclass(frozen=True)
class HeldMessage:
    """A message under a hold. ``is_certain`` is False when it is kept because nobody can tell: a part is unread."""

    hold: str
    message: MessageId
    joined_at: datetime
    at_placement: bool
    is_certain: bool


@dataclass(frozen=True)
class HeldCounts:
    """``matched`` messages surely match; ``kept_to_be_safe`` more may match and are kept as if they did."""

    matched: int = 0
    kept_to_be_safe: int = 0


def insert(connection: Connection, record: HoldRecord) -> None:
    """Record a new hold."""
    rows_of(connection).insert(connection, holds, vars(record))


def of(connection: Connection, hold: str) -> HoldRecord:
    """The hold by that id. Raises ``NotFoundError``."""
    row = rows_of(connection).one(connection, holds, holds.c.id == hold)
    if row is None:
        raise NotFoundError("there is no such hold", fix="strongroom hold list names them")
    return _record(row)


def all_holds(connection: Connection) -> list[HoldRecord]:
    """Every hold that ever was, oldest first."""
    order = [holds.c.placed_at, holds.c.id]
    return [_record(row) for row in rows_of(connection).select(connection, holds, order_by=order)]


def mark_evaluated(connection: Connection, hold: str, *, now: datetime) -> None:
    """All mail that was here when the hold was placed has been looked at."""
    rows_of(connection).update(connection, holds, holds.c.id == hold, {"evaluated_at": now})


def request_release(connection: Connection, hold: str, *, by: AccountId, reason_sealed: bytes, now: datetime) -> None:
    """Somebody asks for the end of the hold; it goes on holding."""
    changes = {
        "state": HoldState.RELEASE_REQUESTED,
        "release_requested_by": by,
        "release_requested_at": now,
        "release_reason_sealed": reason_sealed,
    }
    rows_of(connection).update(connection, holds, holds.c.id == hold, changes)


def release(connection: Connection, hold: str, *, by: AccountId, now: datetime) -> None:
    """The hold ends."""
    changes = {"state": HoldState.RELEASED, "released_by": by, "released_at": now}
    rows_of(connection).update(connection, holds, holds.c.id == hold, changes)


def join(
    connection: Connection,
    hold: str,
    messages: Iterable[MessageId],
    *,
    now: datetime,
    at_placement: bool,
    is_certain: bool,
) -> int:
    """Let messages come under a hold; answers how many were not under it before."""
    wanted = list(dict.fromkeys(messages))
    there = {message for some in _batches(wanted) for message in _joined(connection, hold, some)}
    new = [message for message in wanted if message not in there]
    joined = {"hold": hold, "joined_at": now, "at_placement": at_placement, "is_certain": is_certain}
    told = [{**joined, "message": each} for each in new]
    rows_of(connection).insert_many(connection, hold_messages, told)
    return len(new)


def messages_of(
    connection: Connection, hold: str, *, limit: int | None = None, offset: int | None = None
) -> list[HeldMessage]:
    """The messages that came under a hold, the latest to join first."""
    order = [hold_messages.c.joined_at.desc(), hold_messages.c.message]
    found = rows_of(connection).select(
        connection, hold_messages, hold_messages.c.hold == hold, order_by=order, limit=limit, offset=offset
    )
    return [_held(row) for row in found]


def placed_on(connection: Connection, hold: str) -> list[HeldMessage]:
    """The messages that came under a hold because they were here when it was placed, in the order of their ids."""
    where = (hold_messages.c.hold == hold) & hold_messages.c.at_placement.is_(True)
    return [_held(row) for row in rows_of(connection).select(connection, hold_messages, where, order_by=_BY_ID)]


def find(connection: Connection, hold: str) -> HoldRecord | None:
    """The hold by that id, or None."""
    row = rows_of(connection).one(connection, holds, holds.c.id == hold)
    return None if row is None else _record(row)


def put(connection: Connection, record: HoldRecord) -> None:
    """Record a hold as a ledger tells of it, in the place of an older row of it."""
    told = {name: value for name, value in vars(record).items() if name != "id"}
    rows_of(connection).change(connection, holds, vars(record), lambda _row: told)


def put_held(connection: Connection, held: Iterable[HeldMessage]) -> int:
    """Let messages come under holds as a ledger tells of it; answers how many were not under them before."""
    new = [each for each in held if not _joined(connection, each.hold, [each.message])]
    rows_of(connection).insert_many(connection, hold_messages, [vars(each) for each in new])
    return len(new)


def holds_of(connection: Connection, message: MessageId) -> list[HeldMessage]:
    """Where a message came under a hold, released ones too."""
    return [
        _held(row) for row in rows_of(connection).select(connection, hold_messages, hold_messages.c.message == message)
    ]


def counts(connection: Connection) -> dict[str, HeldCounts]:
    """How many messages are under each hold. Counted by the database, without opening any row."""
    certain = func.sum(case((hold_messages.c.is_certain, 1), else_=0))
    asked = select(hold_messages.c.hold, func.count(), certain).group_by(hold_messages.c.hold)
    return {str(hold): HeldCounts(int(sure), int(every) - int(sure)) for hold, every, sure in connection.execute(asked)}


def forget_message(connection: Connection, message: MessageId) -> int:
    """A message was destroyed: released holds need not remember it."""
    return rows_of(connection).delete(connection, hold_messages, hold_messages.c.message == message)


_BY_ID = hold_messages.c.message.asc()


def _joined(connection: Connection, hold: str, messages: list[MessageId]) -> list[str]:
    where: ColumnElement[bool] = (hold_messages.c.hold == hold) & hold_messages.c.message.in_(messages)
    return [row["message"] for row in rows_of(connection).select(connection, hold_messages, where)]


def _batches(messages: list[MessageId]) -> Iterator[list[MessageId]]:
    return (messages[start : start + BATCH] for start in range(0, len(messages), BATCH))


def _held(row: SealedRow) -> HeldMessage:
    return HeldMessage(**{**row, "message": MessageId(row["message"])})


def _record(row: SealedRow) -> HoldRecord:
    return HoldRecord(**{**row, "state": HoldState(row["state"])})
