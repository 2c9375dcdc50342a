"""Core: may this record be destroyed now? Anything unknown is kept.

The same decision is taken twice: when a disposal is proposed, and again under the write lock in the moment before
the key goes. It is told everything; it looks nothing up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from archive.legal_hold import Evidence
from archive.query_certainty import answer
from archive.retention_schedule import UNCLASSIFIED, Schedule
from mailstore.message import MessageId
from mailstore.trusted_time import TOLERANCE, Doubt, Frozen, Judgement


class Why(StrEnum):
    """The reason why a record stays, as a word that programs and certificates share."""

    NO_SCHEDULE = "no_schedule"
    UNREADABLE = "unreadable"
    UNCLASSIFIED = "unclassified"
    UNKNOWN_CATEGORY = "unknown_category"
    FOREVER = "kept_forever"
    NOT_DUE = "not_due"
    HELD = "held"
    ON_ITS_WAY = "on_its_way"
    NOT_CAPTURED = "not_captured"
    CLOCK = "clock_went_back"
    CLOCK_AHEAD = "clock_not_confirmed"
    CHANGED = "changed_since_approval"
    SCHEDULE_CHANGED = "schedule_changed"
    GONE = "not_here"

    @property
    def words(self) -> str:
        """The reason as a sentence for people."""
        return _WORDS[self]


_WORDS = {
    Why.NO_SCHEDULE: "no retention schedule is active",
    Why.UNREADABLE: "the message could not be read whole, so nobody can say that it may go",
    Why.UNCLASSIFIED: "no rule of the schedule speaks of it",
    Why.UNKNOWN_CATEGORY: "its category is not in the schedule",
    Why.FOREVER: "its category is kept for ever",
    Why.NOT_DUE: "its period has not ended",
    Why.HELD: "a legal hold covers it, or may cover it",
    Why.ON_ITS_WAY: "it has not reached every recipient yet",
    Why.NOT_CAPTURED: "the archive has not captured and indexed it yet",
    Why.CLOCK: "the clock stands before a time that has passed already",
    Why.CLOCK_AHEAD: "the clock stands further ahead than time has been seen to pass",
    Why.CHANGED: "it is not what the approver saw",
    Why.SCHEDULE_CHANGED: "another schedule is in force than the approver saw",
    Why.GONE: "it is not in the archive",
}


@dataclass(frozen=True)
class Moment:
    """When the decision is taken: what is known of the time, and the newest time that the audit log knows."""

    time: Judgement
    newest_audit_entry: datetime | None

    @property
    def doubt(self) -> Why | None:
        """Why no decision about time can be taken at this moment; None when one can."""
        match self.time:
            case Frozen(_, Doubt.BEHIND, _):
                return Why.CLOCK
            case Frozen():
                return Why.CLOCK_AHEAD
        newest = self.newest_audit_entry
        return Why.CLOCK if newest is not None and newest > self.time.now + TOLERANCE else None


@dataclass(frozen=True)
class Record:
    """What is known of one message when the decision is taken.

    ``received_at`` is when its period began: when it was received, or later when the clock was behind then.
    ``category`` is None when the rules could not be asked because the message could not be read.
    ``is_captured`` is True once the archive has it and its index took it or gave it up. ``is_on_its_way`` is True
    while any recipient still waits for it.
    """

    message: MessageId
    received_at: datetime
    sealed_digest: bytes = field(repr=False)
    category: str | None
    is_captured: bool
    is_on_its_way: bool


@dataclass(frozen=True)
class HoldFinding:
    """What one living hold says of the message. ``covers`` is None when that could not be found out."""

    hold: str
    covers: bool | None


@dataclass(frozen=True)
class Dispose:
    """The record may go: its period ended at ``due_at``, and nothing holds it."""

    category: str
    due_at: datetime


@dataclass(frozen=True)
class Keep:
    """The record stays. ``holds`` names the holds that cover it or may."""

    why: Why
    holds: tuple[str, ...] = ()


Decision = Dispose | Keep


def decide(
    *,
    record: Record,
    schedule: Schedule | None,
    holds: Iterable[HoldFinding],
    moment: Moment,
) -> Decision:
    """Destroy or keep. The first reason to keep is the one given; a hold is asked last so that it can be counted."""
    if moment.doubt is not None:
        return Keep(moment.doubt)
    if schedule is None:
        return Keep(Why.NO_SCHEDULE)
    due = _due(record, schedule, moment.time.now)
    if isinstance(due, Keep):
        return due
    if not record.is_captured:
        return Keep(Why.NOT_CAPTURED)
    if record.is_on_its_way:
        return Keep(Why.ON_ITS_WAY)
    covering = tuple(sorted(finding.hold for finding in holds if finding.covers is not False))
    return Keep(Why.HELD, covering) if covering else due


def category_of(evidence: Evidence, schedule: Schedule) -> str | None:
    """The category that a message has by a schedule; None when it could not be opened.

    Where a part of it could not be read, or clocks differ about when it came, every rule that it might satisfy counts
    as satisfied: that can only keep it longer. A message that no rule is known to match stays unclassified.
    """
    document = evidence.document
    if document is None:
        return None
    fresh = document.in_category(UNCLASSIFIED)
    whole, came = evidence.is_whole, evidence.came
    answers = [(rule.category, answer(rule.query, fresh, is_whole=whole, came=came)) for rule in schedule.rules]
    if not any(found for _, found in answers):
        return UNCLASSIFIED
    return schedule.longest([name for name, found in answers if found is not False], evidence.received_at)


def classified(evidence: Evidence, schedule: Schedule | None) -> Evidence:
    """The same evidence, its document in the category of that schedule, for holds that ask for one."""
    if evidence.document is None:
        return evidence
    category = category_of(evidence, schedule) if schedule else None
    return replace(evidence, document=evidence.document.in_category(category or UNCLASSIFIED))


def begin_of_period(received_at: datetime, captured_at: datetime | None) -> datetime:
    """When the period of a message begins: when it was received, by a clock that may have been behind then.

    ``captured_at`` is by the trusted time. Where the two are further apart than clocks may be, the later one counts.
    """
    if captured_at is not None and captured_at > received_at + TOLERANCE:
        return captured_at
    return received_at


def may_be_due(schedule: Schedule, received_at: datetime, now: datetime) -> bool:
    """False when a message of that moment is due in no category, so that it need not even be opened."""
    due = (schedule.due_at(name, received_at) for name in schedule.categories)
    return any(moment is not None and moment <= now for moment in due)


def set_hash(records: Iterable[tuple[MessageId, bytes]]) -> bytes:
    """The name of an exact set of records: SHA-256 over their sorted ids and the digests of their sealed bytes.

    Each record is written as ``id LF hex-digest LF``, so that no two sets share an encoding.
    """
    lines = sorted(f"{message}\n{digest.hex()}\n" for message, digest in records)
    return hashlib.sha256("".join(lines).encode("ascii")).digest()


def _due(record: Record, schedule: Schedule, now: datetime) -> Decision:
    """Whether the period of the record has ended by its category."""
    match record.category:
        case None:
            return Keep(Why.UNREADABLE)
        case category if category == UNCLASSIFIED:
            return Keep(Why.UNCLASSIFIED)
        case category if category not in schedule.categories:
            return Keep(Why.UNKNOWN_CATEGORY)
        case category:
            due_at = schedule.due_at(category, record.received_at)
    if due_at is None:
        return Keep(Why.FOREVER)
    return Dispose(category, due_at) if due_at <= now else Keep(Why.NOT_DUE)
