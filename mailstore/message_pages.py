"""All messages in pages, for checks and scrubs: ids and states alone, read without verifying.

Nothing is opened, sent or destroyed on the word of what is read here: it says which messages to look at closely.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import TypeVar

from sqlalchemy import Connection, func, select

from mailstore.database import Database
from mailstore.message import MessageId, RecipientState, Route
from mailstore.tables import messages, recipients, tombstones

PAGE = 200
"""Rows read at once: memory stays flat for any number of messages, and the search index is asked for as many."""

Tell = Callable[[int], None]
"""Told how many rows were looked at."""

_Row = TypeVar("_Row")
_Place = TypeVar("_Place")


def walked(
    database: Database,
    page: Callable[[Connection, _Place], list[_Row]],
    *,
    start: _Place,
    place: Callable[[_Row], _Place],
    tell: Tell,
) -> Iterator[list[_Row]]:
    """All rows in pages, each read in a short transaction of its own; ``tell`` is called when one was worked on.

    ``page`` answers the rows beyond a place, ``place`` where a row stands.
    """
    after, seen = start, 0
    while found := _read(database, page, after):
        yield found
        after, seen = place(found[-1]), seen + len(found)
        tell(seen)


def all_messages(database: Database, tell: Tell) -> Iterator[list[MessageId]]:
    """The ids of all messages in pages, oldest first."""
    for found in walked(database, _ids_beyond, start=0, place=_sequence, tell=tell):
        yield [message for _, message in found]


def all_disposed(database: Database, tell: Tell) -> Iterator[list[MessageId]]:
    """The ids of all messages that were disposed of, in pages, in their order."""
    return walked(database, _disposed_beyond, start="", place=str, tell=tell)


def _read(database: Database, page: Callable[[Connection, _Place], list[_Row]], after: _Place) -> list[_Row]:
    with database.read() as connection:
        return page(connection, after)


def _ids_beyond(connection: Connection, after: int) -> list[tuple[int, MessageId]]:
    return id_page(connection, after=after, limit=PAGE)


def _sequence(row: tuple[int, MessageId]) -> int:
    return row[0]


def _disposed_beyond(connection: Connection, after: str) -> list[MessageId]:
    return disposed_page(connection, after=after, limit=PAGE)


def id_page(connection: Connection, *, after: int, limit: int) -> list[tuple[int, MessageId]]:
    """The sequences and ids of the next messages beyond a sequence, oldest first."""
    asked = select(messages.c.sequence, messages.c.id).where(messages.c.sequence > after)
    found = connection.execute(asked.order_by(messages.c.sequence).limit(limit))
    return [(int(sequence), MessageId(message)) for sequence, message in found]


def newest_sequence(connection: Connection) -> int:
    """The sequence of the newest message; 0 without any. Sequences are dense but for what was disposed of."""
    return int(connection.execute(select(func.max(messages.c.sequence))).scalar() or 0)


def dictionaries_needed(connection: Connection) -> list[int]:
    """The numbers of the dictionaries that some message does not open without."""
    column = messages.c.object_dictionary
    asked = select(column).where(column.is_not(None)).distinct().order_by(column)
    return [int(number) for number in connection.execute(asked).scalars()]


def addressed(connection: Connection, ids: Collection[MessageId]) -> set[MessageId]:
    """Those of these messages that have a recipient."""
    asked = select(recipients.c.message).where(recipients.c.message.in_(ids)).distinct()
    return {MessageId(each) for each in connection.execute(asked).scalars()}


def only_in_spool(connection: Connection, ids: Collection[MessageId]) -> set[MessageId]:
    """Those of these messages that the object store does not have."""
    asked = select(messages.c.id).where(messages.c.id.in_(ids) & messages.c.object_name.is_(None))
    return {MessageId(each) for each in connection.execute(asked).scalars()}


def recipients_in(
    connection: Connection, ids: Collection[MessageId], states: Collection[RecipientState]
) -> list[tuple[MessageId, int, Route]]:
    """The recipients of these messages whose copy is in one of these states: message, position, route."""
    columns = recipients.c
    asked = select(columns.message, columns.position, columns.route)
    where = columns.message.in_(ids) & columns.state.in_([state.value for state in states])
    found = connection.execute(asked.where(where).order_by(columns.message, columns.position))
    return [(MessageId(message), int(position), Route(route)) for message, position, route in found]


def disposed_page(connection: Connection, *, after: str, limit: int) -> list[MessageId]:
    """The ids of the next messages that were disposed of, beyond an id, in their order."""
    asked = select(tombstones.c.message).where(tombstones.c.message > after)
    return [MessageId(each) for each in connection.execute(asked.order_by(tombstones.c.message).limit(limit)).scalars()]
