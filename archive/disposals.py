"""Disposals: what is due is proposed by one person and approved, to the record, by another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from archive import archive_records, decision_time, disposal_records
from archive.disposal_records import DisposalItem, DisposalRecord, DisposalState, ItemState
from archive.due_records import DueRecord, DueRecords
from archive.schedules import Schedules
from archive.two_persons import (
    APPROVERS,
    KEEPERS,
    PROPOSERS,
    require_other_person,
    require_own_step,
    require_reader,
    require_role,
)
from mailstore import audit_trail
from mailstore.actor import Actor
from mailstore.audit_entry import AuditFact, Detail
from mailstore.database import Database
from mailstore.errors import RefusedError
from mailstore.failpoint import reached
from mailstore.message import ID_BYTES, identifier_from
from mailstore.sealed_format import Randomness
from mailstore.trusted_clock import TrustedClock
from mailstore.wall_clock import Clock

PROPOSED = "disposal.proposed"
APPROVED = "disposal.approved"
WITHDRAWN = "disposal.withdrawn"

Progress = Callable[[int, int], None]
"""Told how many messages were looked at, and of how many."""


class NoScheduleError(RefusedError):
    """Nothing can be due while no schedule is in force."""

    code = "no_schedule"


class WrongSetError(RefusedError):
    """The hash names another set than the one proposed."""

    code = "wrong_set_hash"


class WrongDisposalStateError(RefusedError):
    """The disposal is not in the state that this step begins from."""

    code = "wrong_disposal_state"


class ScheduleChangedError(RefusedError):
    """Another schedule is in force than the one by which the records were due."""

    code = "schedule_changed"


@dataclass(frozen=True)
class ProposedDisposal:
    """A disposal that waits for its approver. ``held`` records would be due too, but for a hold."""

    id: str
    messages: int
    set_hash: bytes
    held: int


@dataclass(frozen=True)
class DisposalView:
    """A disposal with every record of its set."""

    record: DisposalRecord
    items: tuple[DisposalItem, ...]


class Disposals:
    """What commands and pages ask about disposals. ``archive.disposal_run`` carries them out."""

    def __init__(
        self,
        *,
        database: Database,
        due_records: DueRecords,
        schedules: Schedules,
        clock: Clock,
        trusted_clock: TrustedClock,
        randomness: Randomness,
        cooling_off_hours: int,
    ) -> None:
        self._database = database
        self._due_records = due_records
        self._schedules = schedules
        self._clock = clock
        self._trusted_clock = trusted_clock
        self._randomness = randomness
        self._cooling_off = timedelta(hours=cooling_off_hours)

    def propose(self, actor: Actor, progress: Progress | None = None) -> ProposedDisposal:
        """Collect exactly what is due now. Nothing dies of it."""
        require_role(actor, PROPOSERS)
        with self._database.read() as connection:
            rules = self._due_records.rules(connection)
        if rules.schedule is None:
            raise NoScheduleError("no retention schedule is in force; nothing is due", fix="Approve a schedule first.")
        decision_time.refuse_doubt(rules.moment)
        survey = self._due_records.survey(progress=progress)
        record = DisposalRecord(
            id=identifier_from(self._randomness(ID_BYTES)),
            state=DisposalState.PROPOSED,
            schedule=rules.schedule.version,
            set_hash=self._due_records.hash_of(survey.due),
            messages=len(survey.due),
            held=survey.held,
            proposed_by=actor.account,
            proposed_at=self._clock.now(),
        )
        self._record(record, survey.due)
        return ProposedDisposal(record.id, record.messages, record.set_hash, record.held)

    def past_period(self, actor: Actor) -> int:
        """About how many messages have passed their period, by what the archive last classified; holds not asked.

        Counted from rows, in no time. ``propose`` opens every message and decides.
        """
        require_reader(actor)
        with self._database.read() as connection:
            schedule = self._schedules.in_force(connection)
            past = schedule.past_moments(self._clock.now()) if schedule else {}
            return archive_records.count_received_before(connection, past)

    def show(self, actor: Actor, disposal: str) -> DisposalView:
        """The disposal and what stands in its set. Raises ``NotFoundError``."""
        require_reader(actor)
        with self._database.read() as connection:
            record = disposal_records.of(connection, disposal)
            return DisposalView(record, tuple(disposal_records.items(connection, disposal)))

    def all(self, actor: Actor) -> list[DisposalRecord]:
        """Every disposal, newest first."""
        require_reader(actor)
        with self._database.read() as connection:
            return disposal_records.all_disposals(connection)

    def approve(self, actor: Actor, disposal: str, *, set_hash: bytes) -> DisposalRecord:
        """Approve exactly the set of that hash, as another person than proposed it; the cooling-off begins."""
        require_role(actor, APPROVERS)
        now = self._clock.now()
        with self._database.write() as connection:
            record = disposal_records.of(connection, disposal)
            require_other_person(actor, record.proposed_by)
            if record.state is not DisposalState.PROPOSED:
                raise WrongDisposalStateError(
                    f"this disposal is {record.state}, not proposed", fix="Look at it again to see what became of it."
                )
            if set_hash != record.set_hash:
                raise WrongSetError(
                    "this hash names another set than the one proposed",
                    fix="Look at the disposal again and give the hash that it shows.",
                )
            schedule = self._schedules.in_force(connection)
            if schedule is None or schedule.version != record.schedule:
                raise ScheduleChangedError("the schedule has changed since", fix="Propose the disposal again.")
            cooled_off_at = self._cooled_off_at(now, decision_time.required(connection, self._trusted_clock))
            changes = {"approved_by": actor.account, "approved_at": now, "cooled_off_at": cooled_off_at}
            disposal_records.change(connection, disposal, state=DisposalState.APPROVED, **changes)
            detail: Detail = {"set_hash": set_hash.hex(), "messages": record.messages}
            audit_trail.append(connection, [AuditFact(APPROVED, actor.account, disposal, detail)], now=now)
            approved = disposal_records.of(connection, disposal)
        reached("disposals.after_approval")
        return approved

    def _cooled_off_at(self, now: datetime, trusted: datetime) -> datetime:
        """Where there is no cooling-off, nothing waits for the trusted time to come up with the clock on the wall."""
        return max(now, trusted) + self._cooling_off if self._cooling_off else now

    def withdraw(self, actor: Actor, disposal: str) -> DisposalRecord:
        """Take back one's own proposal, or one's own approval with it, while nothing of it was destroyed."""
        require_role(actor, KEEPERS)
        with self._database.write() as connection:
            record = disposal_records.of(connection, disposal)
            require_own_step(actor, record.proposed_by, record.approved_by)
            if record.state not in {DisposalState.PROPOSED, DisposalState.APPROVED}:
                raise WrongDisposalStateError(
                    f"this disposal is {record.state}; it can no longer be withdrawn",
                    fix="Look at it again to see what became of it.",
                )
            disposal_records.change(connection, disposal, state=DisposalState.WITHDRAWN)
            audit_trail.append(connection, [AuditFact(WITHDRAWN, actor.account, disposal)], now=self._clock.now())
            return disposal_records.of(connection, disposal)

    def _record(self, record: DisposalRecord, due: tuple[DueRecord, ...]) -> None:
        items = [
            DisposalItem(
                message=each.message,
                state=ItemState.LISTED,
                sealed_digest=each.sealed_digest,
                received_at=each.received_at,
                category=each.category,
                due_at=each.due_at,
            )
            for each in due
        ]
        detail: Detail = {"set_hash": record.set_hash.hex(), "messages": record.messages, "held": record.held}
        fact = AuditFact(PROPOSED, record.proposed_by, record.id, detail)
        with self._database.write() as connection:
            disposal_records.insert(connection, record, items)
            audit_trail.append(connection, [fact], now=record.proposed_at)
        reached("disposals.after_proposal")
