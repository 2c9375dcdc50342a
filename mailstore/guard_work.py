"""Puts down, in the transaction of its cause, that the object store must be told how long it has to keep something.

The work itself is done later by whoever knows schedule and holds, and reads them anew: what is put down is only that
something changed. So it does not matter which change comes first, or how often the work is done.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from mailstore import outbox
from mailstore.message import MessageId
from mailstore.outbox import Kind, NewItem


@dataclass(frozen=True)
class GuardWork:
    """``is_wanted`` is False for a store that nobody can tell anything: then nothing is put down."""

    is_wanted: bool

    def add(self, connection: Connection, messages: Iterable[MessageId], *, now: datetime) -> None:
        """Something changed about these messages: where they lie, their category, or the holds they are under."""
        if self.is_wanted:
            outbox.add_many(connection, [NewItem(Kind.GUARD, message, now) for message in messages])


NO_GUARD_WORK = GuardWork(is_wanted=False)
