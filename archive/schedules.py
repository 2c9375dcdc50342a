"""Versions of the retention schedule: tried out, proposed by one, approved by another, in force from then on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from sqlalchemy import Connection

from archive import retention_schedule, schedule_records
from archive.evidence import EvidenceReader
from archive.retention_schedule import Schedule
from archive.schedule_change import Rehearsal, ScheduleChange, Simulation, change_between
from archive.schedule_records import ScheduleRecord, ScheduleState
from archive.sealed_details import SealedDetails
from archive.two_persons import KEEPERS, require_other_person, require_own_step, require_role
from mailstore import audit_trail, message_records
from mailstore.actor import Actor
from mailstore.audit_entry import AuditFact
from mailstore.database import Database
from mailstore.errors import NotFoundError, RefusedError, TamperedError
from mailstore.failpoint import reached
from mailstore.message import ID_BYTES, AccountId, identifier_from
from mailstore.sealed_format import Randomness
from mailstore.wall_clock import Clock

TEXT = "schedule-text"
PROPOSED = "schedule.proposed"
APPROVED = "schedule.approved"
WITHDRAWN = "schedule.withdrawn"

Progress = Callable[[int, int], None]
"""Told how many messages were looked at, and of how many."""


class NotProposedError(RefusedError):
    """That version does not wait for an approval."""

    code = "not_proposed"


@dataclass(frozen=True)
class ScheduleView:
    """One version of the schedule as it is shown. ``text`` is the very TOML that was proposed."""

    id: str
    state: ScheduleState
    text: str
    schedule: Schedule
    proposed_by: AccountId
    proposed_at: datetime
    approved_by: AccountId | None
    approved_at: datetime | None


class Schedules:
    """What commands and pages ask about schedules."""

    def __init__(
        self,
        *,
        database: Database,
        details: SealedDetails,
        evidence: EvidenceReader,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._database = database
        self._details = details
        self._evidence = evidence
        self._clock = clock
        self._randomness = randomness

    def in_force(self, connection: Connection) -> Schedule | None:
        """The schedule by which is decided now, or None.

        Raises ``TamperedError`` when it is not the one that the audit log saw approved last.
        """
        record = schedule_records.active(connection)
        approved = audit_trail.of_events(connection, (APPROVED,))
        last = approved[-1].object if approved else None
        if (record.id if record else None) != last:
            raise TamperedError(
                "the active schedule is not the one that was approved last",
                fix="Restore the row from a backup. Until then nothing is destroyed.",
            )
        return self._view(record).schedule if record else None

    def recorded(self, connection: Connection) -> Schedule | None:
        """The schedule in force by its row alone: enough to sort what comes in, not for whoever destroys."""
        record = schedule_records.active(connection)
        return self._view(record).schedule if record else None

    def active(self) -> ScheduleView:
        """The version in force. Raises ``NotFoundError`` when there is none: then everything is kept."""
        with self._database.read() as connection:
            record = schedule_records.active(connection)
            if record is None:
                raise NotFoundError(
                    "no retention schedule is in force; everything is kept",
                    fix="Propose a schedule and have another person approve it.",
                )
            return self._view(record)

    def all(self, actor: Actor) -> list[ScheduleView]:
        """Every version, newest first, for those who keep records: rules may name people."""
        require_role(actor, KEEPERS)
        return self.versions()

    def show(self, actor: Actor, schedule: str) -> ScheduleView:
        """One version, for those who keep records. Raises ``NotFoundError``."""
        require_role(actor, KEEPERS)
        return self.version(schedule)

    def versions(self) -> list[ScheduleView]:
        """Every version, newest first."""
        with self._database.read() as connection:
            return [self._view(record) for record in schedule_records.all_versions(connection)]

    def version(self, schedule: str) -> ScheduleView:
        """One version. Raises ``NotFoundError``."""
        with self._database.read() as connection:
            return self._view(schedule_records.of(connection, schedule))

    def simulate(self, actor: Actor, text: str, progress: Progress | None = None) -> Simulation:
        """What a schedule would do to the archive as it is now, message by message. Changes nothing."""
        require_role(actor, KEEPERS)
        proposed = retention_schedule.parse(text)
        with self._database.read() as connection:
            rehearsal = Rehearsal(proposed, self.in_force(connection), now=self._clock.now())
            messages = list(message_records.all_messages(connection))
        for number, message in enumerate(messages, start=1):
            rehearsal.take(message.id, self._evidence.of(message))
            if progress:
                progress(number, len(messages))
        return rehearsal.outcome()

    def propose(self, actor: Actor, text: str) -> str:
        """Put a schedule forward; answers its id. Raises ``ScheduleError`` naming everything wrong with it."""
        require_role(actor, KEEPERS)
        schedule = retention_schedule.parse(text)
        now, id_ = self._clock.now(), identifier_from(self._randomness(ID_BYTES))
        record = ScheduleRecord(
            id=id_,
            state=ScheduleState.PROPOSED,
            text_sealed=self._details.seal(TEXT, id_, text.encode()),
            proposed_by=actor.account,
            proposed_at=now,
        )
        detail = {"categories": len(schedule.categories), "rules": len(schedule.rules)}
        with self._database.write() as connection:
            schedule_records.insert(connection, record)
            audit_trail.append(connection, [AuditFact(PROPOSED, actor.account, id_, detail)], now=now)
        reached("schedules.after_proposal")
        return id_

    def change(self, actor: Actor, schedule: str) -> ScheduleChange:
        """What would be different with that version: to be read before it is approved."""
        require_role(actor, KEEPERS)
        with self._database.read() as connection:
            proposed = self._view(schedule_records.of(connection, schedule)).schedule
            return change_between(self.in_force(connection), proposed)

    def approve(self, actor: Actor, schedule: str) -> ScheduleChange:
        """Put a proposed version in force, by another person than proposed it; answers what is different now."""
        require_role(actor, KEEPERS)
        now = self._clock.now()
        with self._database.write() as connection:
            record = schedule_records.of(connection, schedule)
            if record.state is not ScheduleState.PROPOSED:
                raise NotProposedError("this version does not wait for an approval", fix="Propose the schedule again.")
            require_other_person(actor, record.proposed_by)
            change = change_between(self.in_force(connection), self._view(record).schedule)
            schedule_records.activate(connection, schedule, by=actor.account, now=now)
            detail = {"shorter": len(change.shorter), "longer": len(change.longer), "removed": len(change.removed)}
            audit_trail.append(connection, [AuditFact(APPROVED, actor.account, schedule, detail)], now=now)
        reached("schedules.after_approval")
        return change

    def withdraw(self, actor: Actor, schedule: str) -> None:
        """Take back one's own proposal before it was approved."""
        require_role(actor, KEEPERS)
        with self._database.write() as connection:
            record = schedule_records.of(connection, schedule)
            require_own_step(actor, record.proposed_by)
            if record.state is not ScheduleState.PROPOSED:
                raise NotProposedError(
                    f"this version is {record.state}; it can no longer be withdrawn",
                    fix="To change what is in force, propose another version.",
                )
            schedule_records.withdraw(connection, schedule)
            audit_trail.append(connection, [AuditFact(WITHDRAWN, actor.account, schedule)], now=self._clock.now())

    def _view(self, record: ScheduleRecord) -> ScheduleView:
        text = self._details.open(TEXT, record.id, record.text_sealed).decode()
        return ScheduleView(
            id=record.id,
            state=record.state,
            text=text,
            schedule=_parsed(text, record.id),
            proposed_by=record.proposed_by,
            proposed_at=record.proposed_at,
            approved_by=record.approved_by,
            approved_at=record.approved_at,
        )


@lru_cache(maxsize=8)
def _parsed(text: str, version: str) -> Schedule:
    """Every message that comes in asks for the same few versions."""
    return retention_schedule.parse(text, version=version)
