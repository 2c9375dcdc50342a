"""Puts what was refused at the door into the audit log: that it was, and why, and nothing of what it said."""

from __future__ import annotations

from dataclasses import dataclass

from mailstore import audit_trail
from mailstore.audit_entry import AuditFact
from mailstore.database import Database
from mailstore.wall_clock import Clock


@dataclass(frozen=True)
class AuditedRefusals:
    """The record of a process that has the row database. While the appliance is sealed there is none, but the log."""

    database: Database
    clock: Clock

    def __call__(self, fact: AuditFact) -> None:
        """One entry, in a transaction of its own. Raises ``StorageUnavailableError``."""
        with self.database.write() as connection:
            audit_trail.append(connection, [fact], now=self.clock.now())
