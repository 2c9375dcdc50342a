"""Which records may go now: the decision of ``disposal_decision``, told everything it needs from the real archive."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection

from archive import archive_records, decision_time
from archive.disposal_decision import (
    Decision,
    Dispose,
    HoldFinding,
    Keep,
    Moment,
    Record,
    Why,
    begin_of_period,
    category_of,
    classified,
    decide,
    may_be_due,
    set_hash,
)
from archive.evidence import EvidenceReader
from archive.legal_hold import Evidence, Hold
from archive.living_holds import LivingHolds
from archive.retention_schedule import Schedule
from archive.schedules import Schedules
from mailstore import message_records
from mailstore.database import Database
from mailstore.message import MessageId, RecipientState, StoredMessage
from mailstore.trusted_clock import TrustedClock

WAITING = frozenset({RecipientState.QUEUED, RecipientState.DEFERRED})

_AT_ONCE = 500

_DAY = timedelta(days=1)
"""Calendar years end on different days forwards and backwards; the decision itself is exact."""

Progress = Callable[[int, int], None]
"""Told how many messages were looked at, and of how many."""


@dataclass(frozen=True)
class DueRecord:
    """One record that may go. ``freed_from`` names the hold that was left out of account, if it covers the record."""

    message: MessageId
    received_at: datetime
    sealed_digest: bytes = field(repr=False)
    category: str
    due_at: datetime
    freed_from: tuple[str, ...] = ()


@dataclass(frozen=True)
class Survey:
    """What may go now, oldest first, and how many records only a hold keeps."""

    due: tuple[DueRecord, ...]
    held: int


@dataclass(frozen=True)
class Rules:
    """By what is decided: the schedule and the holds in force, and the moment."""

    schedule: Schedule | None
    holds: tuple[Hold, ...]
    moment: Moment

    @property
    def now(self) -> datetime:
        """The trusted time: what has not passed by it has not passed."""
        return self.moment.time.now

    def may_be_due(self, received_at: datetime) -> bool:
        """False when a message of that moment is due in no category of the schedule."""
        return self.schedule is not None and may_be_due(self.schedule, received_at, self.now)


class DueRecords:
    """Takes the decision for single messages and for the whole archive."""

    def __init__(
        self,
        *,
        database: Database,
        schedules: Schedules,
        living: LivingHolds,
        evidence: EvidenceReader,
        clock: TrustedClock,
    ) -> None:
        self._database = database
        self._schedules = schedules
        self._living = living
        self._evidence = evidence
        self._clock = clock

    def rules(self, connection: Connection) -> Rules:
        """What is in force at this moment. Raises ``TamperedError`` when rows and audit log disagree about it."""
        return Rules(
            schedule=self._schedules.in_force(connection),
            holds=self._living.all(connection),
            moment=decision_time.moment(connection, self._clock),
        )

    def evidence_of(self, message: StoredMessage) -> Evidence:
        """What the message itself says. Opens it, so it is called outside any write transaction."""
        return self._evidence.of(message)

    def decision(
        self,
        connection: Connection,
        rules: Rules,
        message: StoredMessage,
        evidence: Evidence,
        *,
        without_hold: str | None = None,
    ) -> tuple[Decision, bool]:
        """Whether the message may go, and whether the hold left out of account covers it."""
        found = self._findings(connection, rules, message, evidence)
        decision = decide(
            record=self._record(connection, rules, message, evidence),
            schedule=rules.schedule,
            holds=[finding for finding in found if finding.hold != without_hold],
            moment=rules.moment,
        )
        freed = any(finding.hold == without_hold and finding.covers is not False for finding in found)
        return decision, freed

    def survey(self, *, without_hold: str | None = None, progress: Progress | None = None) -> Survey:
        """Decide for every message whose period may have ended; ``without_hold`` counts as released."""
        with self._database.read() as connection:
            rules = self.rules(connection)
            messages = self._candidates(connection, rules)
        due: list[DueRecord] = []
        held = 0
        for number, message in enumerate(self._opened(messages, rules), start=1):
            evidence = self.evidence_of(message)
            with self._database.read() as connection:
                decision, freed = self.decision(connection, rules, message, evidence, without_hold=without_hold)
            match decision:
                case Dispose():
                    due.append(_due_record(message, decision, freed_from=without_hold if freed else None))
                case Keep(why=Why.HELD):
                    held += 1
                case _:
                    pass
            if progress:
                progress(number, len(messages))
        return Survey(due=tuple(due), held=held)

    @staticmethod
    def hash_of(records: Iterable[DueRecord]) -> bytes:
        """The name of an exact set of records."""
        return set_hash((record.message, record.sealed_digest) for record in records)

    def _candidates(self, connection: Connection, rules: Rules) -> list[MessageId]:
        """What has to be opened: not those that the schedule in force puts into a category that keeps them longer."""
        if rules.schedule is None:
            return []
        moments = rules.schedule.past_moments(rules.now + _DAY)
        return archive_records.perhaps_past(connection, rules.schedule.version, moments)

    def _opened(self, messages: Sequence[MessageId], rules: Rules) -> Iterator[StoredMessage]:
        """The rows of messages that may be due in some category, some at a time; those gone meanwhile are left out."""
        for start in range(0, len(messages), _AT_ONCE):
            with self._database.read() as connection:
                stored = message_records.stored_many(connection, messages[start : start + _AT_ONCE])
            yield from (each for each in stored if rules.may_be_due(each.received_at))

    def _findings(
        self, connection: Connection, rules: Rules, message: StoredMessage, evidence: Evidence
    ) -> tuple[HoldFinding, ...]:
        told = classified(evidence, rules.schedule)
        return self._living.findings(connection, rules.holds, message.id, told)

    def _record(self, connection: Connection, rules: Rules, message: StoredMessage, evidence: Evidence) -> Record:
        entry = archive_records.find(connection, message.id)
        states = {recipient.state for recipient in message_records.recipient_rows(connection, message.id)}
        return Record(
            message=message.id,
            received_at=begin_of_period(message.received_at, entry.captured_at if entry else None),
            sealed_digest=message.sealed_digest,
            category=category_of(evidence, rules.schedule) if rules.schedule else None,
            is_captured=entry is not None and (entry.indexed_at is not None or entry.problem is not None),
            is_on_its_way=bool(states & WAITING),
        )


def _due_record(message: StoredMessage, decision: Dispose, *, freed_from: str | None) -> DueRecord:
    return DueRecord(
        message=message.id,
        received_at=message.received_at,
        sealed_digest=message.sealed_digest,
        category=decision.category,
        due_at=decision.due_at,
        freed_from=(freed_from,) if freed_from else (),
    )
