"""What the trusted time said of messages captured under another clock: the only module that touches that table.

The time of capture is the later of clock and trusted time, so that no period begins too early. Where the clock stood
ahead it says nothing of the true day, and holds that are placed later ask for that one too.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection

from archive.tables import doubted_captures as table
from mailstore.message import MessageId
from mailstore.sealed_rows import rows_of
from mailstore.trusted_time import TOLERANCE


def note(
    connection: Connection, messages: Iterable[MessageId], *, captured_at: datetime, proved_at: datetime | None
) -> None:
    """Note the trusted time of newly captured messages where it is far from ``captured_at``; else nothing."""
    if proved_at is not None and captured_at - proved_at > TOLERANCE:
        told = [{"message": message, "proved_at": proved_at} for message in messages]
        rows_of(connection).insert_many(connection, table, told)


def proved_at(connection: Connection, message: MessageId) -> datetime | None:
    """The trusted time when the message was captured; None where the clock agreed with it."""
    row = rows_of(connection).one(connection, table, table.c.message == message)
    return None if row is None else row["proved_at"]


def remove(connection: Connection, message: MessageId) -> None:
    """Forget a message."""
    rows_of(connection).delete(connection, table, table.c.message == message)
