"""Why one message is kept and when it may go: the decision of a disposal, asked about a single record."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from archive import archive_records
from archive.archive_records import ArchiveEntry
from archive.disposal_decision import Decision, Dispose, Keep, begin_of_period, category_of
from archive.due_records import DueRecords
from archive.retention_schedule import Category
from archive.two_persons import KEEPERS, require_role
from mailstore import message_records
from mailstore.actor import Actor
from mailstore.database import Database
from mailstore.errors import NotFoundError
from mailstore.message import MessageId


@dataclass(frozen=True)
class Fate:
    """What schedule and holds say of one message now.

    ``category`` is None when no rule of the schedule in force names the message or it could not be read.
    ``due_at`` is when its period ends, None when never; ``decision`` is what a disposal would decide at this moment.
    """

    entry: ArchiveEntry
    category: Category | None = field(repr=False)
    due_at: datetime | None
    decision: Decision

    @property
    def keep(self) -> Keep | None:
        """Why it stays; None when it may go."""
        return self.decision if isinstance(self.decision, Keep) else None

    @property
    def may_go(self) -> bool:
        """True when a disposal proposed now would list it."""
        return isinstance(self.decision, Dispose)


class RecordFates:
    """Asks schedule and holds about single messages."""

    def __init__(self, *, database: Database, due_records: DueRecords) -> None:
        self._database = database
        self._due_records = due_records

    def of(self, actor: Actor, message: MessageId) -> Fate:
        """The fate of one message. Raises ``NotPermittedError``, ``NotFoundError`` and ``DestroyedError``."""
        require_role(actor, KEEPERS)
        with self._database.read() as connection:
            stored = message_records.stored(connection, message)
            entry = archive_records.find(connection, message)
        if entry is None:
            raise NotFoundError("this message is not in the archive yet", fix="Try again in a moment.")
        evidence = self._due_records.evidence_of(stored)
        with self._database.read() as connection:
            rules = self._due_records.rules(connection)
            decision, _ = self._due_records.decision(connection, rules, stored, evidence)
        name = category_of(evidence, rules.schedule) if rules.schedule else None
        category = rules.schedule.categories.get(name or "") if rules.schedule else None
        begin = begin_of_period(stored.received_at, entry.captured_at)
        due_at = category.due_at(begin) if category else None
        return Fate(entry=entry, category=category, due_at=due_at, decision=decision)
