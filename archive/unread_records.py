"""Parts of messages whose text could not be had, and why: the only module that touches ``unread_parts``.

One row a message and reason. A reason is one plain word, never text of the message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from sqlalchemy import Connection, func, select

from archive.tables import unread_parts as table
from mailstore.message import MessageId
from mailstore.sealed_rows import rows_of


def insert(connection: Connection, reasons: Mapping[MessageId, Iterable[str]]) -> None:
    """Note for newly captured messages what kept their parts from being read, one reason a part."""
    rows_of(connection).insert_many(
        connection,
        table,
        [
            {"message": message, "reason": reason, "parts": parts}
            for message, some in reasons.items()
            for reason, parts in Counter(some).items()
        ],
    )


def remove(connection: Connection, message: MessageId) -> None:
    """Forget a message."""
    rows_of(connection).delete(connection, table, table.c.message == message)


def counts(connection: Connection) -> dict[str, int]:
    """How many parts could not be read for each reason. Counted by the database, without opening any row."""
    asked = select(table.c.reason, func.sum(table.c.parts)).group_by(table.c.reason).order_by(table.c.reason)
    return {reason: int(parts) for reason, parts in connection.execute(asked)}


def of(connection: Connection, messages: Collection[MessageId]) -> dict[MessageId, Sequence[tuple[str, int]]]:
    """The reasons of these messages, 500 at most, each with its number of parts."""
    found: dict[MessageId, list[tuple[str, int]]] = {}
    order = [table.c.message, table.c.reason]
    for row in rows_of(connection).select(connection, table, table.c.message.in_(messages), order_by=order):
        found.setdefault(MessageId(row["message"]), []).append((row["reason"], row["parts"]))
    return dict(found)
