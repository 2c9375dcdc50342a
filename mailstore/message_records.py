"""What is recorded of a message and its recipients: the only module that touches those rows.

Every function works inside the caller's transaction (``Database.read()`` or ``Database.write()``) and raises
TamperedError for a row that is not what was written.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from mailstore import message_columns
from mailstore.errors import DestroyedError, NotFoundError
from mailstore.message import (
    AccountId,
    MessageId,
    RecipientState,
    Route,
    StoredMessage,
    StoredObject,
)
from mailstore.message_columns import MessageRow, RecipientRow
from mailstore.message_state import changed
from mailstore.sealed_rows import rows_of
from mailstore.tables import (
    mail_dictionaries,
    mailbox_entries,
    messages,
    outbox,
    recipients,
    shared_parts,
    tombstones,
)

AT_ONCE = 500
"""Ids in one statement: far below SQLite's 32,766 parameters (https://www.sqlite.org/limits.html)."""


def insert_many(connection: Connection, rows: Iterable[MessageRow]) -> None:
    """Record messages and their recipients. An id that is taken: DuplicateRowError."""
    given = list(rows)
    sealed = rows_of(connection)
    sealed.insert_many(connection, messages, [message_columns.message_values(row) for row in given])
    sealed.insert_many(
        connection,
        recipients,
        [message_columns.recipient_values(row.message.id, each) for row in given for each in row.recipients],
    )


def stored(connection: Connection, message: MessageId) -> StoredMessage:
    """The message by that id. Raises DestroyedError when it was disposed of, NotFoundError when never ours."""
    row = rows_of(connection).one(connection, messages, messages.c.id == message)
    if row is not None:
        return message_columns.stored_message(row)
    if is_disposed(connection, message):
        raise DestroyedError("the message was disposed of", fix=DestroyedError.SEE)
    raise NotFoundError("no such message")


def stored_many(connection: Connection, ids: Iterable[MessageId]) -> list[StoredMessage]:
    """The messages by those ids, in the order asked. Ids that are not there are left out."""
    wanted = list(ids)
    found: dict[str, StoredMessage] = {}
    for start in range(0, len(wanted), AT_ONCE):
        for each in _messages(connection, messages.c.id.in_(wanted[start : start + AT_ONCE])):
            found[each.id] = each
    return [found[message] for message in wanted if message in found]


def recipient_rows(connection: Connection, message: MessageId) -> list[RecipientRow]:
    """The recipients of a message, by their place in the envelope."""
    where = recipients.c.message == message
    found = rows_of(connection).select(connection, recipients, where, order_by=recipients.c.position)
    return [message_columns.recipient_of(row) for row in found]


def recipient_row(connection: Connection, message: MessageId, position: int) -> RecipientRow:
    """One recipient of a message. Raises NotFoundError."""
    row = rows_of(connection).one(connection, recipients, _recipient(message, position))
    if row is None:
        raise NotFoundError("no such recipient")
    return message_columns.recipient_of(row)


def set_recipient(
    connection: Connection,
    message: MessageId,
    position: int,
    *,
    route: Route | None = None,
    state: RecipientState | None = None,
    attempts: int | None = None,
    sealed_detail: bytes | None = None,
    now: datetime,
) -> None:
    """Change what is given. Raises NotFoundError, or IllegalTransitionError for a state that cannot follow."""
    before = recipient_row(connection, message, position)
    changes: dict[str, Any] = {
        "route": route,
        "state": None if state is None else changed(before.state, state),
        "attempts": attempts,
        "sealed_detail": sealed_detail,
    }
    changes = {name: value for name, value in changes.items() if value is not None}
    where = _recipient(message, position)
    rows_of(connection).update(connection, recipients, where, {**changes, "changed_at": now})


def set_promoted(
    connection: Connection,
    placed: Mapping[MessageId, StoredObject],
    summaries: Mapping[MessageId, bytes],
    *,
    now: datetime,
) -> None:
    """Copies lie in the object store now, ``AT_ONCE`` at most; those in the spool stay. Raises NotFoundError.

    ``summaries``: the summary columns that were sealed anew.
    """
    _set_places(
        connection,
        placed,
        lambda message: {
            "object_name": placed[message].name,
            "object_length": placed[message].length,
            "object_digest": placed[message].digest,
            "object_dictionary": placed[message].dictionary,
            "promoted_at": now,
            **({"sealed_summary": summaries[message]} if message in summaries else {}),
        },
    )


def set_released(connection: Connection, ids: Collection[MessageId]) -> None:
    """The copies in the spool are gone, ``AT_ONCE`` at most. Messages that are gone themselves are passed over."""
    where = messages.c.id.in_(ids)
    rows_of(connection).update(connection, messages, where, {"segment": None, "offset": 0})


def set_withdrawn(connection: Connection, ids: Collection[MessageId]) -> None:
    """The object store lost its copies, ``AT_ONCE`` at most: only the spool has them. Raises NotFoundError."""
    nowhere = dict.fromkeys(("object_name", "object_length", "object_digest", "object_dictionary", "promoted_at"))
    _set_places(connection, ids, lambda _message: nowhere)


def _set_places(
    connection: Connection, ids: Collection[MessageId], places: Callable[[MessageId], Mapping[str, Any]]
) -> None:
    where = messages.c.id.in_(ids)
    changed = rows_of(connection).update_each(connection, messages, where, lambda row: places(row["id"]))
    if changed != len(ids):
        raise NotFoundError("no such message")


def in_segment(
    connection: Connection, segment: str, *, after: int = -1, limit: int | None = None
) -> list[StoredMessage]:
    """The messages with a copy in a spool segment, by their offsets, from beyond ``after``."""
    where = (messages.c.segment == segment) & (messages.c.offset > after)
    return _messages(connection, where, order_by=messages.c.offset, limit=limit)


def waits_in_segment(connection: Connection, segment: str, *, promoted_after: datetime | None = None) -> bool:
    """True when a message has its only copy in a spool segment, or was promoted after an instant.

    The rows are not verified.
    """
    needs: ColumnElement[bool] = messages.c.object_name.is_(None)
    if promoted_after is not None:
        needs |= messages.c.promoted_at > promoted_after
    asked = select(messages.c.id).where(messages.c.segment == segment, needs)
    return connection.execute(asked.limit(1)).first() is not None


@dataclass(frozen=True)
class Spooled:
    """Messages that lie in the spool alone: how many, and when the one came that waits longest."""

    count: int
    oldest: datetime | None


def spooled(connection: Connection) -> Spooled:
    """What waits for the object store. The rows are not verified."""
    where = messages.c.segment.is_not(None) & messages.c.object_name.is_(None)
    count, oldest = connection.execute(select(func.count(), func.min(messages.c.received_at)).where(where)).one()
    return Spooled(int(count), oldest)


def segments_named(connection: Connection) -> Iterator[str]:
    """The spool segments that rows point into, by name. The rows are not verified."""
    last = ""
    while found := connection.execute(
        select(func.min(messages.c.segment)).where(messages.c.segment > last)
    ).scalar_one():
        yield found
        last = found


def known_objects(connection: Connection, names: Collection[str]) -> set[str]:
    """Those of these objects, ``AT_ONCE`` at most, that some message or shared part needs. Nothing is verified."""
    columns = (messages.c.object_name, shared_parts.c.object_name)
    asked = [select(column).where(column.in_(names)) for column in columns]
    return {name for each in asked for name in connection.execute(each).scalars()}


def known_ids(connection: Connection, ids: Collection[MessageId]) -> set[MessageId]:
    """Those of these ids, ``AT_ONCE`` at most, that have a row. The rows are not verified.

    Shared parts and dictionaries have ids of the same kind, and their keys lie with those of messages.
    """
    columns = (messages.c.id, shared_parts.c.id, mail_dictionaries.c.id)
    asked = [select(column).where(column.in_(ids)) for column in columns]
    return {MessageId(name) for each in asked for name in connection.execute(each).scalars()}


def conversation_of(connection: Connection, header_id_index: bytes) -> str | None:
    """The conversation of the message with this Message-ID, of the oldest where several have it, or None."""
    row = rows_of(connection).first(connection, messages, "header_id_index", header_id_index)
    return None if row is None else str(row["conversation"])


def conversation_messages(connection: Connection, conversation: str) -> list[StoredMessage]:
    """The messages of a conversation, oldest first."""
    return _messages(connection, messages.c.conversation == conversation, order_by=messages.c.sequence)


def messages_with_recipient(
    connection: Connection, address_index: bytes, route: Route | None = None
) -> list[StoredMessage]:
    """The messages addressed to someone (on one route, or on any), newest first."""
    where = recipients.c.address_index == address_index
    if route is not None:
        where &= recipients.c.route == route.value
    found = rows_of(connection).select(connection, recipients, where)
    several = stored_many(connection, dict.fromkeys(MessageId(row["message"]) for row in found))
    return sorted(several, key=lambda each: each.received_at, reverse=True)


def copies_for(connection: Connection, address_index: bytes, route: Route) -> list[tuple[MessageId, RecipientRow]]:
    """Every copy that goes to one address on one route."""
    where = (recipients.c.address_index == address_index) & (recipients.c.route == route.value)
    found = rows_of(connection).select(connection, recipients, where)
    return [(MessageId(row["message"]), message_columns.recipient_of(row)) for row in found]


def unopened_on(connection: Connection, route: Route) -> list[tuple[MessageId, RecipientRow]]:
    """The recipients on one route who have not opened their copy, newest change first."""
    where = (recipients.c.route == route.value) & (recipients.c.state != RecipientState.OPENED.value)
    found = rows_of(connection).select(connection, recipients, where, order_by=recipients.c.changed_at.desc())
    return [(MessageId(row["message"]), message_columns.recipient_of(row)) for row in found]


def authored_by(connection: Connection, account: AccountId, limit: int | None = None) -> list[StoredMessage]:
    """The messages that an account sent, newest first."""
    where = messages.c.author == account
    return _messages(connection, where, order_by=messages.c.sequence.desc(), limit=limit)


def all_messages(connection: Connection, page: int = AT_ONCE) -> Iterator[StoredMessage]:
    """Every message, oldest first, read page by page."""
    last = 0
    while found := rows_of(connection).select(
        connection, messages, messages.c.sequence > last, order_by=messages.c.sequence, limit=page
    ):
        yield from map(message_columns.stored_message, found)
        last = found[-1]["sequence"]


def all_ids(connection: Connection) -> list[MessageId]:
    """The ids of every message, oldest first. Ids only: the rows are not verified."""
    asked = select(messages.c.id).order_by(messages.c.sequence)
    return [MessageId(each) for each in connection.execute(asked).scalars()]


def newest(connection: Connection, limit: int) -> list[StoredMessage]:
    """The messages that came last, newest first."""
    return _messages(connection, messages.c.sequence > 0, order_by=messages.c.sequence.desc(), limit=limit)


def count(connection: Connection) -> int:
    """How many messages we hold."""
    return int(connection.execute(select(func.count()).select_from(messages)).scalar_one())


def came_so_far(connection: Connection) -> int:
    """How many messages ever came, roughly, at the cost of one look at an index: for a pace, not proved by seals."""
    return int(connection.execute(select(func.max(messages.c.sequence))).scalar_one() or 0)


def sealed_bytes_since(connection: Connection, since: datetime) -> int:
    """How many sealed bytes came in since then: an estimate for the disk, not proved by seals."""
    asked = select(func.coalesce(func.sum(messages.c.sealed_length), 0)).where(messages.c.received_at >= since)
    return int(connection.execute(asked).scalar_one())


def remove(connection: Connection, ids: Iterable[MessageId]) -> None:
    """Delete all that is recorded of messages on this floor. Only for ``destruction``."""
    wanted = list(ids)
    sealed = rows_of(connection)
    for start in range(0, len(wanted), AT_ONCE):
        some = wanted[start : start + AT_ONCE]
        for table in (outbox, mailbox_entries, recipients):
            sealed.delete(connection, table, table.c.message.in_(some))
        sealed.delete(connection, messages, messages.c.id.in_(some))


def tombstone(connection: Connection, ids: Iterable[MessageId], *, certificate: str, now: datetime) -> None:
    """Remember that messages were disposed of, and under which certificate."""
    rows = [{"message": message, "disposed_at": now, "certificate": certificate} for message in ids]
    rows_of(connection).insert_many(connection, tombstones, rows)


def is_disposed(connection: Connection, message: MessageId) -> bool:
    """True when the message was disposed of."""
    return rows_of(connection).one(connection, tombstones, tombstones.c.message == message) is not None


def disposed_ids(connection: Connection) -> set[MessageId]:
    """The ids of every message that was disposed of. Ids only: the rows are not verified."""
    return {MessageId(each) for each in connection.execute(select(tombstones.c.message)).scalars()}


def _messages(
    connection: Connection,
    where: ColumnElement[bool],
    *,
    order_by: ColumnElement[Any] | None = None,
    limit: int | None = None,
) -> list[StoredMessage]:
    found = rows_of(connection).select(connection, messages, where, order_by=order_by, limit=limit)
    return [message_columns.stored_message(row) for row in found]


def _recipient(message: MessageId, position: int) -> ColumnElement[bool]:
    return (recipients.c.message == message) & (recipients.c.position == position)
