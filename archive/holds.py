"""Legal holds: placed by one person, and released only when a second one has seen what would then be due."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import islice

from sqlalchemy import Connection

from archive import decision_time, decommission, hold_records
from archive.disposal_decision import classified
from archive.due_records import DueRecord, DueRecords
from archive.evidence import EvidenceReader
from archive.hold_records import HeldCounts, HeldMessage, HoldRecord
from archive.ledger_book import KeepLedger
from archive.legal_hold import Hold, HoldState, Matter, covers, matter
from archive.living_holds import DETAILS, PLACED, RELEASED, LivingHolds
from archive.schedules import Schedules
from archive.sealed_details import SealedDetails
from archive.two_persons import KEEPERS, require_other_person, require_reader, require_role
from mailstore import audit_trail, message_records
from mailstore.actor import Actor
from mailstore.audit_entry import AuditFact, Detail
from mailstore.database import Database
from mailstore.errors import RefusedError
from mailstore.failpoint import reached
from mailstore.guard_work import NO_GUARD_WORK, GuardWork
from mailstore.message import ID_BYTES, AccountId, MessageId, StoredMessage, identifier_from
from mailstore.sealed_format import Randomness
from mailstore.trusted_clock import TrustedClock
from mailstore.wall_clock import Clock

RELEASE_REQUESTED = "hold.release_requested"
RELEASE_REASON = "hold-release-reason"
REASON_CHARACTERS_MAX = 2_000
PREVIEW_SAMPLES = 10
NONE_HELD = HeldCounts()
AT_ONCE = 100
"""Messages looked at between two short transactions."""

Progress = Callable[[int, int], None]
"""Told how many messages were looked at, and of how many."""


class WrongHoldStateError(RefusedError):
    """The hold is not in the state that this step begins from."""

    code = "wrong_hold_state"


class SomethingElseDueError(RefusedError):
    """What would be due is no longer what the approver saw."""

    code = "something_else_due"


@dataclass(frozen=True)
class PlacedHold:
    """A hold in force. ``matched`` messages are under it already because they surely match.

    ``kept_to_be_safe`` more are under it because a part of them could not be read, so that nobody can tell.
    """

    id: str
    matched: int
    kept_to_be_safe: int


@dataclass(frozen=True)
class HoldPreview:
    """What a hold would catch, of the ``looked_at`` newest of ``messages`` messages. ``samples`` match surely."""

    messages: int
    looked_at: int
    matched: int
    kept_to_be_safe: int
    samples: tuple[MessageId, ...]


@dataclass(frozen=True)
class HoldView:
    """One hold as it is shown to those who keep records. ``since`` and ``until`` are days, both included."""

    id: str
    state: HoldState
    name: str = field(repr=False)
    reason: str = field(repr=False)
    custodians: tuple[str, ...] = field(repr=False)
    since: date | None
    until: date | None
    query: str = field(repr=False)
    matched: int
    kept_to_be_safe: int
    is_evaluated: bool
    placed_by: AccountId
    placed_at: datetime
    release_requested_by: AccountId | None
    release_reason: str = field(repr=False)
    released_by: AccountId | None
    released_at: datetime | None


@dataclass(frozen=True)
class ReleasePreview:
    """What would be due at once if the hold ended now. ``set_hash`` names exactly this list."""

    hold: str
    due: tuple[DueRecord, ...]
    set_hash: bytes


class Holds:
    """What commands, pages and the intake ask about holds."""

    def __init__(
        self,
        *,
        database: Database,
        details: SealedDetails,
        living: LivingHolds,
        schedules: Schedules,
        evidence: EvidenceReader,
        due_records: DueRecords,
        clock: Clock,
        trusted_clock: TrustedClock,
        randomness: Randomness,
        keep_ledger: KeepLedger,
        guard_work: GuardWork = NO_GUARD_WORK,
    ) -> None:
        self._database = database
        self._details = details
        self._living = living
        self._schedules = schedules
        self._evidence = evidence
        self._due_records = due_records
        self._clock = clock
        self._trusted_clock = trusted_clock
        self._randomness = randomness
        self._keep_ledger = keep_ledger
        self._guard_work = guard_work

    def place(
        self,
        actor: Actor,
        *,
        name: str,
        reason: str,
        custodians: Iterable[str] = (),
        since: date | None = None,
        until: date | None = None,
        query: str = "",
        progress: Progress | None = None,
    ) -> PlacedHold:
        """Place a hold and look at every message that is here.

        1. The hold stands in its row, durably: from here on no message that it covers can be destroyed, and mail
        that comes in joins by itself; the ledger says so, so that it stands after a restore of older rows too.
        2. Every message is opened and asked. 3. Only then the answer.
        """
        require_role(actor, KEEPERS)
        told = matter(name=name, reason=reason, custodians=custodians, since=since, until=until, query_text=query)
        now, id_ = self._clock.now(), identifier_from(self._randomness(ID_BYTES))
        record = HoldRecord(
            id=id_,
            state=HoldState.ACTIVE,
            details_sealed=self._details.seal(DETAILS, id_, told.to_bytes()),
            placed_by=actor.account,
            placed_at=now,
        )
        with self._database.write() as connection:
            decommission.refuse_begun(connection)
            hold_records.insert(connection, record)
            audit_trail.append(connection, [AuditFact(PLACED, actor.account, id_)], now=now)
        reached("holds.after_placing")
        self._keep_ledger()
        self._evaluate(self._living.hold_of(record), progress)
        counts = self._counts(id_)
        return PlacedHold(id=id_, matched=counts.matched, kept_to_be_safe=counts.kept_to_be_safe)

    def preview(self, actor: Actor, told: Matter, *, seconds: float) -> HoldPreview:
        """What a hold on this matter would catch, the newest mail first, as far as the time goes. Nothing changes."""
        require_role(actor, KEEPERS)
        hold = self._living.hold_on(told)
        with self._database.read() as connection:
            messages = list(message_records.all_messages(connection))
            schedule = self._schedules.in_force(connection)
        messages.sort(key=lambda message: message.received_at, reverse=True)
        ends = time.monotonic() + seconds
        answers: list[tuple[MessageId, bool | None]] = []
        for message in messages:
            if answers and time.monotonic() > ends:
                break
            answers.append((message.id, covers(hold, classified(self._evidence.of(message), schedule))))
        matched = [message for message, answer in answers if answer]
        unsure = sum(answer is None for _, answer in answers)
        return HoldPreview(len(messages), len(answers), len(matched), unsure, tuple(matched[:PREVIEW_SAMPLES]))

    def evaluate_unfinished(self) -> int:
        """Look at all mail again for holds whose evaluation was interrupted; answers how many those were."""
        with self._database.read() as connection:
            records = hold_records.all_holds(connection)
        unfinished = [record for record in records if record.state.holds and record.evaluated_at is None]
        for record in unfinished:
            self._evaluate(self._living.hold_of(record), None)
        return len(unfinished)

    def all(self, actor: Actor) -> list[HoldView]:
        """Every hold, oldest first."""
        require_reader(actor)
        with self._database.read() as connection:
            counts = hold_records.counts(connection)
            records = hold_records.all_holds(connection)
        return [self._view(record, counts.get(record.id, NONE_HELD)) for record in records]

    def show(self, actor: Actor, hold: str) -> HoldView:
        """One hold. Raises ``NotFoundError``."""
        require_reader(actor)
        with self._database.read() as connection:
            record = hold_records.of(connection, hold)
        return self._view(record, self._counts(hold))

    def about(self, actor: Actor, message: MessageId) -> list[tuple[HoldView, HeldMessage]]:
        """Every hold that a message came under, released ones too, with how it came under it."""
        require_role(actor, KEEPERS)
        with self._database.read() as connection:
            found = hold_records.holds_of(connection, message)
        return [(self.show(actor, held.hold), held) for held in found]

    def held(self, actor: Actor, hold: str, *, limit: int, offset: int = 0) -> list[HeldMessage]:
        """Some of the messages under a hold, the latest to join first."""
        require_role(actor, KEEPERS)
        with self._database.read() as connection:
            return hold_records.messages_of(
                connection, hold_records.of(connection, hold).id, limit=limit, offset=offset
            )

    def messages_of(self, actor: Actor, hold: str) -> list[MessageId]:
        """The messages under a hold."""
        require_role(actor, KEEPERS)
        with self._database.read() as connection:
            found = hold_records.messages_of(connection, hold_records.of(connection, hold).id)
        return [held.message for held in found]

    def request_release(self, actor: Actor, hold: str, *, reason: str) -> None:
        """Ask for the end of a hold. It goes on holding until another person approves."""
        require_role(actor, KEEPERS)
        if not 0 < len(reason.strip()) <= REASON_CHARACTERS_MAX:
            raise RefusedError(
                f"a release needs a reason of at most {REASON_CHARACTERS_MAX:,} characters",
                fix="Say in a few words why nothing of it must be kept any longer.",
            )
        now = self._clock.now()
        with self._database.write() as connection:
            self._in_state(connection, hold, HoldState.ACTIVE)
            hold_records.request_release(
                connection,
                hold,
                by=actor.account,
                reason_sealed=self._details.seal(RELEASE_REASON, hold, reason.encode()),
                now=now,
            )
            audit_trail.append(connection, [AuditFact(RELEASE_REQUESTED, actor.account, hold)], now=now)
        reached("holds.after_request")
        self._keep_ledger()

    def preview_release(self, actor: Actor, hold: str, progress: Progress | None = None) -> ReleasePreview:
        """Exactly what would be due at once if this hold ended now."""
        require_role(actor, KEEPERS)
        with self._database.read() as connection:
            self._in_state(connection, hold, HoldState.RELEASE_REQUESTED)
        found = self._due_records.survey(without_hold=hold, progress=progress)
        due = tuple(record for record in found.due if hold in record.freed_from)
        return ReleasePreview(hold=hold, due=due, set_hash=self._due_records.hash_of(due))

    def approve_release(self, actor: Actor, hold: str, *, set_hash: bytes) -> ReleasePreview:
        """End a hold, as another person than asked for it, who has seen ``preview_release``.

        ``set_hash`` is that of the preview. Raises ``SomethingElseDueError`` when more or less would be due by now,
        and ``ClockInDoubtError`` while nobody can say what is due.
        """
        preview = self.preview_release(actor, hold)
        if preview.set_hash != set_hash:
            raise SomethingElseDueError(
                "what would be due has changed since it was shown", fix="Look at the list again, then approve."
            )
        now = self._clock.now()
        with self._database.write() as connection:
            record = self._in_state(connection, hold, HoldState.RELEASE_REQUESTED)
            require_other_person(actor, record.release_requested_by)
            decision_time.required(connection, self._trusted_clock)
            hold_records.release(connection, hold, by=actor.account, now=now)
            freed = [held.message for held in hold_records.messages_of(connection, hold)]
            self._guard_work.add(connection, freed, now=now)
            detail: Detail = {"due": len(preview.due), "set_hash": preview.set_hash.hex()}
            audit_trail.append(connection, [AuditFact(RELEASED, actor.account, hold, detail)], now=now)
        reached("holds.after_release")
        self._keep_ledger()
        return preview

    def _evaluate(self, hold: Hold, progress: Progress | None) -> None:
        with self._database.read() as connection:
            messages = list(message_records.all_messages(connection))
            schedule = self._schedules.in_force(connection)
        done = 0
        for some in _batches(messages):
            told = [(message.id, classified(self._evidence.of(message), schedule)) for message in some]
            answers = [(message, covers(hold, evidence)) for message, evidence in told]
            self._join(hold, answers)
            reached("holds.after_joining")
            done += len(some)
            if progress:
                progress(done, len(messages))
        with self._database.write() as connection:
            hold_records.mark_evaluated(connection, hold.id, now=self._clock.now())
        reached("holds.after_evaluation")
        self._keep_ledger()

    def _join(self, hold: Hold, answers: list[tuple[MessageId, bool | None]]) -> None:
        with self._database.write() as connection:
            for is_certain in (True, False):
                wanted = True if is_certain else None
                covered = [message for message, answer in answers if answer is wanted]
                hold_records.join(
                    connection, hold.id, covered, now=self._clock.now(), at_placement=True, is_certain=is_certain
                )
                self._guard_work.add(connection, covered, now=self._clock.now())

    def _counts(self, hold: str) -> HeldCounts:
        with self._database.read() as connection:
            return hold_records.counts(connection).get(hold, NONE_HELD)

    def _in_state(self, connection: Connection, hold: str, state: HoldState) -> HoldRecord:
        record = hold_records.of(connection, hold)
        if record.state is not state:
            raise WrongHoldStateError(f"this hold is {record.state}, not {state}", fix=_NEXT[record.state])
        return record

    def _view(self, record: HoldRecord, counts: HeldCounts) -> HoldView:
        told, sealed = self._living.matter_of(record), record.release_reason_sealed
        reason = self._details.open(RELEASE_REASON, record.id, sealed).decode() if sealed else ""
        return HoldView(
            id=record.id,
            state=record.state,
            name=told.name,
            reason=told.reason,
            custodians=told.custodians,
            since=told.since,
            until=told.until,
            query=told.query_text,
            matched=counts.matched,
            kept_to_be_safe=counts.kept_to_be_safe,
            is_evaluated=record.evaluated_at is not None,
            placed_by=record.placed_by,
            placed_at=record.placed_at,
            release_requested_by=record.release_requested_by,
            release_reason=reason,
            released_by=record.released_by,
            released_at=record.released_at,
        )


_NEXT = {
    HoldState.ACTIVE: "Ask for its release first; another person approves it then.",
    HoldState.RELEASE_REQUESTED: "Another person than asked for its release approves it.",
    HoldState.RELEASED: "If its messages must be kept after all, place a new hold.",
}


def _batches(messages: list[StoredMessage]) -> Iterator[list[StoredMessage]]:
    every = iter(messages)
    while some := list(islice(every, AT_ONCE)):
        yield some
