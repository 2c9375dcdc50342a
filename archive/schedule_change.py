"""Core: what a proposed schedule changes, in its own words and on the messages that are here."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from archive.disposal_decision import category_of
from archive.legal_hold import Evidence
from archive.retention_schedule import UNCLASSIFIED, Category, Schedule, period_text
from mailstore.message import MessageId

SAMPLES = 5
"""Message ids shown of each category and each change."""

YEAR = timedelta(days=365)
NEVER = datetime.max.replace(tzinfo=UTC)
UNREADABLE = "unreadable"
"""Where a simulation counts messages that could not be opened. They are kept."""

_SOME_RECEIPT = datetime(2000, 3, 1, tzinfo=UTC)
"""Periods of days and of years are compared as they would run from one day."""


@dataclass(frozen=True)
class ScheduleChange:
    """How one schedule differs from the one before. Texts are ``name: period -> period``."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    shorter: tuple[str, ...]
    longer: tuple[str, ...]
    rules_added: tuple[str, ...]
    rules_removed: tuple[str, ...]


@dataclass(frozen=True)
class CategoryOutcome:
    """What a schedule would do to the messages of one category."""

    name: str
    messages: int
    due_now: int
    due_within_year: int
    samples: tuple[MessageId, ...]


@dataclass(frozen=True)
class Simulation:
    """What a schedule would do to the archive, against the schedule in force.

    ``sooner`` and ``later`` count messages that would be due earlier or later than now; ``newly_due`` would be due
    at once and are not today.
    """

    messages: int
    categories: tuple[CategoryOutcome, ...]
    sooner: int
    later: int
    newly_due: int
    newly_due_samples: tuple[MessageId, ...]


class Rehearsal:
    """Takes the messages of the archive one by one and adds up what the schedule would do to them."""

    def __init__(self, proposed: Schedule, in_force: Schedule | None, *, now: datetime) -> None:
        self._proposed = proposed
        self._in_force = in_force
        self._now = now
        self._counts: dict[str, Counter[str]] = defaultdict(Counter)
        self._samples: dict[str, list[MessageId]] = defaultdict(list)
        self._changes: Counter[str] = Counter()
        self._newly_due: list[MessageId] = []

    def take(self, message: MessageId, evidence: Evidence) -> None:
        """Add one message."""
        category, due_at = _due(self._proposed, evidence)
        counts = self._counts[category]
        counts["messages"] += 1
        counts["due_now"] += due_at <= self._now
        counts["due_within_year"] += due_at <= self._now + YEAR
        if len(self._samples[category]) < SAMPLES:
            self._samples[category].append(message)
        self._compare(message, due_at, _due(self._in_force, evidence)[1])

    def outcome(self) -> Simulation:
        """What was added up."""
        names = [*self._proposed.categories, *(name for name in self._counts if name not in self._proposed.categories)]
        return Simulation(
            messages=sum(counts["messages"] for counts in self._counts.values()),
            categories=tuple(self._category(name) for name in names),
            sooner=self._changes["sooner"],
            later=self._changes["later"],
            newly_due=self._changes["newly_due"],
            newly_due_samples=tuple(self._newly_due),
        )

    def _compare(self, message: MessageId, due_at: datetime, due_today: datetime) -> None:
        self._changes["sooner"] += due_at < due_today
        self._changes["later"] += due_at > due_today
        if due_at <= self._now < due_today:
            self._changes["newly_due"] += 1
            self._newly_due += [message] if len(self._newly_due) < SAMPLES else []

    def _category(self, name: str) -> CategoryOutcome:
        counts = self._counts[name]
        return CategoryOutcome(
            name=name,
            messages=counts["messages"],
            due_now=counts["due_now"],
            due_within_year=counts["due_within_year"],
            samples=tuple(self._samples[name]),
        )


def change_between(before: Schedule | None, after: Schedule) -> ScheduleChange:
    """How ``after`` differs from ``before`` (from nothing at all, when there was none)."""
    old = before.categories if before else {}
    new = after.categories
    kept = [(old[name], new[name]) for name in new if name in old]
    old_rules = [f"{rule.category}: {rule.match}" for rule in (before.rules if before else ())]
    new_rules = [f"{rule.category}: {rule.match}" for rule in after.rules]
    return ScheduleChange(
        added=tuple(f"{name}: {period_text(new[name].retain)}" for name in new if name not in old),
        removed=tuple(f"{name}: {period_text(old[name].retain)}" for name in old if name not in new),
        shorter=tuple(_step(was, is_) for was, is_ in kept if _typical(is_) < _typical(was)),
        longer=tuple(_step(was, is_) for was, is_ in kept if _typical(is_) > _typical(was)),
        rules_added=tuple(rule for rule in new_rules if rule not in old_rules),
        rules_removed=tuple(rule for rule in old_rules if rule not in new_rules),
    )


def _due(schedule: Schedule | None, evidence: Evidence) -> tuple[str, datetime]:
    if schedule is None:
        return UNCLASSIFIED, NEVER
    category = category_of(evidence, schedule) or UNREADABLE
    return category, schedule.due_at(category, evidence.received_at) or NEVER


def _typical(category: Category) -> datetime:
    return category.due_at(_SOME_RECEIPT) or NEVER


def _step(before: Category, after: Category) -> str:
    return f"{after.name}: {period_text(before.retain)} -> {period_text(after.retain)}"
