"""Records how far each recipient's copy has come: state, reasons, follow-up and evidence in one transaction.

After a crash at any step a copy is never lost and at most once doubled for each crash (promise I4):

1. ``intend`` records the route and that the answer is unknown, before the message goes out.
2. The message goes out; the far server answers.
3. ``settle`` records the answer and takes the item out of the outbox, together.

A crash before 1 leaves the item; it is simply done. Between 1 and 3 the item is done again, and because the last
reply still says that the answer is unknown, that copy is marked (``relayed_message.POSSIBLE_DUPLICATE``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import assert_never

from sqlalchemy import Connection

from appliance import retry_schedule
from appliance.delivery_plan import RouteDecision
from appliance.recipient_outcome import (
    ANSWER_UNKNOWN,
    Outcome,
    RefusedForGood,
    Stage,
    Taken,
    ToPortal,
    TryAgain,
)
from appliance.retry_schedule import RetrySchedule
from mailstore import audit_trail, message_records, message_state, outbox
from mailstore.addresses import Address
from mailstore.audit_entry import AuditFact
from mailstore.database import Database
from mailstore.errors import DestroyedError, NotFoundError, StorageUnavailableError
from mailstore.message import MessageId, RecipientState, Route, StoredMessage, StoredRecipient
from mailstore.message_columns import RecipientRow
from mailstore.message_state import IllegalTransitionError, RecipientEvent
from mailstore.outbox import Kind, OutboxItem
from mailstore.retrieval import Retrieval
from mailstore.sealed_columns import RecipientDetail

SYSTEM_ACTOR = "system"
BUSY_PAUSE = timedelta(seconds=2)
TO_DO = frozenset({RecipientState.QUEUED, RecipientState.DEFERRED})
TOLD = frozenset({RecipientState.NOTIFIED, RecipientState.OPENED})
"""States that a notice leads to; when the state last changed is never before that notice."""


@dataclass(frozen=True)
class Work:
    """One outbox item with the message and the recipient it is about, as they stood when it was claimed."""

    item: OutboxItem
    message: StoredMessage
    recipient: StoredRecipient
    address: Address = field(repr=False)

    @property
    def may_have_arrived(self) -> bool:
        """True when an earlier attempt ended without an answer: the next copy is to be marked."""
        return self.recipient.last_reply == ANSWER_UNKNOWN


@dataclass(frozen=True)
class _Step:
    """What is to be recorded of one recipient. ``begins_anew``: attempts are counted from nought again."""

    event: RecipientEvent | None
    fact: str = ""
    route: Route | None = None
    reasons: tuple[str, ...] | None = field(default=None, repr=False)
    last_reply: str = field(default="", repr=False)
    is_attempt: bool = True
    begins_anew: bool = False


class DeliveryProgress:
    """Writes down intentions and outcomes. ``jitter`` draws a number from 0 to 1."""

    def __init__(
        self,
        database: Database,
        retrieval: Retrieval,
        schedule: RetrySchedule,
        *,
        jitter: Callable[[], float],
    ) -> None:
        self._database = database
        self._retrieval = retrieval
        self._schedule = schedule
        self._jitter = jitter

    def intend(self, copies: Sequence[tuple[Work, RouteDecision]], *, now: datetime) -> None:
        """Record that these copies go out now by this route, and that nobody knows the answer yet."""
        with self._database.write() as connection:
            for work, decision in copies:
                is_new = work.recipient.route is not decision.route
                step = _Step(
                    RecipientEvent.ROUTED if is_new else None,
                    fact="message.route_decided" if is_new else "",
                    route=decision.route,
                    reasons=decision.reasons,
                    last_reply=ANSWER_UNKNOWN,
                    is_attempt=False,
                )
                self._record_of(connection, work, step, now=now)

    def settle(self, outcomes: Sequence[tuple[Work, Outcome]], stage: Stage, *, now: datetime) -> None:
        """Record what became of an attempt and what follows from it."""
        with self._database.write() as connection:
            for work, outcome in outcomes:
                self._settle(connection, work, outcome, stage, now=now)

    def wait_for_turn(self, works: Sequence[Work], *, now: datetime) -> None:
        """Too many conversations with this domain already: not an attempt, and soon again."""
        with self._database.write() as connection:
            for work in works:
                outbox.postpone(connection, work.item, now + BUSY_PAUSE, "domain_busy")

    def wait_for_next_notice(self, work: Work, pause: timedelta, *, now: datetime) -> bool:
        """Put a notice off when this person got one less than ``pause`` ago; True when it was put off."""
        with self._database.write() as connection:
            told = [row.changed_at for _, row in self._copies_like(connection, work) if row.state in TOLD]
            until = min(max(told, default=now - pause), now) + pause
            if until > now:
                outbox.postpone(connection, work.item, until, "joins_next_notice")
        return until > now

    def join_notice(self, work: Work, taken: Taken, *, now: datetime) -> None:
        """What else waits to be told to this person is told by the notice that was just taken."""
        with self._database.write() as connection:
            for message, row in self._copies_like(connection, work):
                if row.state in TO_DO:
                    step = _Step(RecipientEvent.NOTICE_SENT, "notice.sent", last_reply=taken.reply)
                    self._record(connection, message, row.position, step, now=now)
                    for kind in (Kind.NOTIFY, Kind.REPORT):
                        outbox.drop(connection, message, kind=kind, position=row.position)

    def notice_returned(self, message: MessageId, position: int, reply: str, *, now: datetime) -> None:
        """A notice that had been taken came back: the writer hears of it, unless the recipient read the message."""
        with self._database.write() as connection:
            try:
                row = message_records.recipient_row(connection, message, position)
            except (NotFoundError, DestroyedError):
                return
            if row.route is Route.PORTAL and row.state is RecipientState.NOTIFIED:
                step = _Step(RecipientEvent.GIVEN_UP, "notice.failed", last_reply=reply, is_attempt=False)
                self._record(connection, message, position, step, now=now)
                outbox.add(connection, Kind.REPORT, message, position, now)

    def _copies_like(self, connection: Connection, work: Work) -> list[tuple[MessageId, RecipientRow]]:
        """All that goes to the same person through the portal."""
        row = message_records.recipient_row(connection, work.message.id, work.recipient.position)
        return message_records.copies_for(connection, row.address_index, Route.PORTAL)

    def drop(self, items: Sequence[OutboxItem]) -> None:
        """Nothing is left to do for these items: the copy arrived, was destroyed, or goes another way."""
        with self._database.write() as connection:
            for item in items:
                outbox.finish(connection, item)

    def _settle(self, connection: Connection, work: Work, outcome: Outcome, stage: Stage, *, now: datetime) -> None:
        match outcome:
            case Taken(reply):
                self._taken(connection, work, reply, stage, now=now)
            case ToPortal(reasons):
                self._to_portal(connection, work, reasons, now=now)
            case RefusedForGood(reply):
                self._failed(connection, work, reply, stage, now=now)
            case TryAgain():
                if self._is_over(work, now=now):
                    self._failed(connection, work, outcome.problem, stage, now=now)
                else:
                    self._waiting(connection, work, outcome, now=now)
            case _:
                assert_never(outcome)

    def _is_over(self, work: Work, *, now: datetime) -> bool:
        return retry_schedule.is_over(
            self._schedule,
            accepted_at=work.message.received_at,
            attempts=work.recipient.attempts + 1,
            now=now,
        )

    def _taken(self, connection: Connection, work: Work, reply: str, stage: Stage, *, now: datetime) -> None:
        events = {
            Stage.MESSAGE: (RecipientEvent.RELAYED, "message.relayed"),
            Stage.NOTICE: (RecipientEvent.NOTICE_SENT, "notice.sent"),
        }
        event, fact = events[stage]
        self._record_of(connection, work, _Step(event, fact, last_reply=reply), now=now)
        outbox.drop(connection, work.message.id, kind=Kind.REPORT, position=work.recipient.position)
        _finish(connection, work.item)

    def _to_portal(self, connection: Connection, work: Work, reasons: tuple[str, ...], *, now: datetime) -> None:
        step = _Step(
            RecipientEvent.ROUTED, "message.route_decided", route=Route.PORTAL, reasons=reasons, begins_anew=True
        )
        self._record_of(connection, work, step, now=now)
        outbox.add(connection, Kind.NOTIFY, work.message.id, work.recipient.position, now)
        _finish(connection, work.item)

    def _failed(self, connection: Connection, work: Work, reply: str, stage: Stage, *, now: datetime) -> None:
        fact = {Stage.MESSAGE: "message.failed", Stage.NOTICE: "notice.failed"}[stage]
        self._record_of(connection, work, _Step(RecipientEvent.GIVEN_UP, fact, last_reply=reply), now=now)
        outbox.drop(connection, work.message.id, kind=Kind.REPORT, position=work.recipient.position)
        outbox.add(connection, Kind.REPORT, work.message.id, work.recipient.position, now)
        _finish(connection, work.item)

    def _waiting(self, connection: Connection, work: Work, outcome: TryAgain, *, now: datetime) -> None:
        is_first = work.recipient.state is RecipientState.QUEUED
        step = _Step(
            RecipientEvent.DELAYED,
            fact="message.deferred" if is_first else "",
            reasons=outcome.reasons,
            last_reply=outcome.last_reply,
        )
        self._record_of(connection, work, step, now=now)
        if is_first:
            due = retry_schedule.delay_report_at(self._schedule, accepted_at=work.message.received_at)
            outbox.drop(connection, work.message.id, kind=Kind.REPORT, position=work.recipient.position)
            outbox.add(connection, Kind.REPORT, work.message.id, work.recipient.position, due)
        attempts = work.recipient.attempts + 1
        wait = retry_schedule.wait_after(self._schedule, attempts=attempts, jitter=self._jitter())
        if not outbox.postpone(connection, work.item, now + wait, "not_taken_yet"):
            raise StorageUnavailableError("the lease of an outbox item ran out while it was worked on")

    def _record_of(self, connection: Connection, work: Work, step: _Step, *, now: datetime) -> None:
        self._record(connection, work.message.id, work.recipient.position, step, now=now)

    def _record(self, connection: Connection, message: MessageId, position: int, step: _Step, *, now: datetime) -> None:
        """Change the recipient's row and write the audit entry."""
        row = self._retrieval.recipient(message, position)
        reasons = row.reasons if step.reasons is None else step.reasons
        detail = RecipientDetail(row.address, reasons, step.last_reply)
        message_records.set_recipient(
            connection,
            message,
            position,
            route=step.route,
            state=_following(row.state, step.event),
            attempts=0 if step.begins_anew else row.attempts + step.is_attempt,
            sealed_detail=self._retrieval.seal_detail(message, position, detail),
            now=now,
        )
        if step.fact:
            route = step.route or row.route
            told = {"position": position, "attempts": row.attempts + 1, "route": route.value}
            audit_trail.append(connection, [AuditFact(step.fact, SYSTEM_ACTOR, message, told)], now=now)


def _following(state: RecipientState, event: RecipientEvent | None) -> RecipientState | None:
    """The next state; None where the recipient was faster, such as reading it before the notice arrived."""
    try:
        return None if event is None else message_state.after(state, event)
    except IllegalTransitionError:
        return None


def _finish(connection: Connection, item: OutboxItem) -> None:
    """Raises ``StorageUnavailableError``, undoing the transaction, when the item was no longer ours."""
    if not outbox.finish(connection, item):
        raise StorageUnavailableError("the lease of an outbox item ran out while it was worked on")
