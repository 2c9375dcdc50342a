"""Core: the retention schedule as data - how long each category of record is kept, and by what authority.

The text is TOML (``docs/reference/schedule-file.md``). Whatever is not understood is an error, and all errors
are reported at once: a schedule that was half understood would destroy the wrong records. The clock of a category
starts when our own machine received the message; the Date field of its header is a stranger's claim, never asked.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any, assert_never

from archive import search_query
from archive.query_conditions import CategoryIs, Query, leaves
from archive.search_query import QueryError
from mailstore.errors import RefusedError

UNCLASSIFIED = "unclassified"
"""What a message is that no rule speaks of. It is kept."""

SCHEDULE_BYTES_MAX = 262_144
CATEGORIES_MAX = 200
RULES_MAX = 1_000
YEARS_MAX = 500
DAYS_MAX = 200_000
TEXT_CHARACTERS_MAX = 1_000

CLOCK_RECEIPT = "receipt"

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_PERIOD = re.compile(r"(0|[1-9][0-9]{0,6}) (days?|years?)")


class ScheduleError(RefusedError):
    """The text is not a schedule. ``problems`` names every place that must change."""

    code = "bad_schedule"

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(
            "the schedule cannot be used: " + "; ".join(self.problems),
            fix="Correct every place named and propose the schedule again.",
        )


@dataclass(frozen=True)
class Days:
    """A period of whole days of 24 hours."""

    count: int


@dataclass(frozen=True)
class Years:
    """A period of calendar years: to the same day and time of a later year, 29 February to 1 March."""

    count: int


@dataclass(frozen=True)
class Forever:
    """A record that is never due."""


Retention = Days | Years | Forever


@dataclass(frozen=True)
class Category:
    """One kind of record: how long it is kept after receipt, and the paragraph that says so."""

    name: str
    retain: Retention
    citation: str
    title: str = ""
    clock: str = CLOCK_RECEIPT

    def due_at(self, received_at: datetime) -> datetime | None:
        """When a message received then may go; None when never."""
        match self.retain:
            case Days(count):
                return received_at + timedelta(days=count)
            case Years(count):
                return _years_later(received_at, count)
            case Forever():
                return None
            case _:
                assert_never(self.retain)

    def past_since(self, now: datetime) -> datetime | None:
        """Messages received before this, to the day, have passed their period by ``now``; None when none ever does."""
        match self.retain:
            case Days(count):
                return now - timedelta(days=count)
            case Years(count):
                day = 28 if (now.month, now.day) == (2, 29) else now.day
                return now.replace(year=now.year - count, day=day)
            case Forever():
                return None
            case _:
                assert_never(self.retain)


@dataclass(frozen=True)
class Rule:
    """A message that ``query`` matches belongs to ``category``. Its text may name people: never in logs."""

    category: str
    match: str = field(repr=False)
    query: Query = field(repr=False)


@dataclass(frozen=True)
class Schedule:
    """A whole schedule. ``version`` is the id of its row, empty while it is only text."""

    categories: Mapping[str, Category]
    rules: tuple[Rule, ...]
    version: str = ""

    def longest(self, names: Iterable[str], received_at: datetime) -> str:
        """Which of these keeps a message of that moment longest; unclassified when there is none."""
        known = [self.categories[name] for name in names if name in self.categories]
        if not known:
            return UNCLASSIFIED
        return max(known, key=lambda category: (_length(category, received_at), category.name)).name

    def due_at(self, category: str, received_at: datetime) -> datetime | None:
        """When a message of that category may go; None when never, or when nobody knows the category."""
        known = self.categories.get(category)
        return known.due_at(received_at) if known else None

    def past_moments(self, now: datetime) -> dict[str, datetime]:
        """For each category the moment of ``Category.past_since``; those that are kept for ever are left out."""
        moments = {each.name: each.past_since(now) for each in self.categories.values()}
        return {name: moment for name, moment in moments.items() if moment is not None}


def parse(text: str, *, version: str = "") -> Schedule:
    """The schedule that a TOML text describes. Raises ``ScheduleError`` naming everything wrong at once."""
    if len(text.encode("utf-8", "surrogatepass")) > SCHEDULE_BYTES_MAX:
        raise ScheduleError([f"the text is larger than {SCHEDULE_BYTES_MAX} bytes"])
    problems: list[str] = []
    document = _toml(text)
    problems += [f"unknown key: {key}" for key in document if key not in {"category", "rule"}]
    categories = _categories(document.get("category", {}), problems)
    rules = _rules(document.get("rule", []), document.get("category", {}), problems)
    if problems:
        raise ScheduleError(problems)
    return Schedule(categories=categories, rules=rules, version=version)


def to_toml(schedule: Schedule) -> str:
    """The schedule as text that ``parse`` reads back to the same schedule."""
    blocks = [_category_text(category) for category in schedule.categories.values()]
    blocks += [f"[[rule]]\ncategory = {_quoted(r.category)}\nmatch = {_quoted(r.match)}\n" for r in schedule.rules]
    return "\n".join(blocks)


def period_text(retain: Retention) -> str:
    """The period as a schedule writes it: ``6 years``, ``90 days``, ``forever``."""
    match retain:
        case Days(count):
            return f"{count} day" if count == 1 else f"{count} days"
        case Years(count):
            return f"{count} year" if count == 1 else f"{count} years"
        case Forever():
            return "forever"
        case _:
            assert_never(retain)


def default_schedule_text() -> str:
    """The schedule that comes with the house, as a beginning for a practice's own."""
    return resources.files("archive").joinpath("default_schedule.toml").read_text(encoding="utf-8")


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScheduleError([f"not TOML: {error}"]) from error
    except (RecursionError, ValueError) as error:
        raise ScheduleError(["not TOML that can be read: nested too deeply, or a number too long"]) from error


def _categories(tables: Any, problems: list[str]) -> dict[str, Category]:
    if not isinstance(tables, dict) or not tables:
        problems.append("no [category.NAME]: a schedule names at least one category")
        return {}
    if len(tables) > CATEGORIES_MAX:
        problems.append(f"more than {CATEGORIES_MAX} categories")
        return {}
    found = (_category(name, table, problems) for name, table in tables.items())
    return {category.name: category for category in found if category}


def _category(name: str, table: Any, problems: list[str]) -> Category | None:
    place = f"category.{name[:64]}"
    if not _NAME.fullmatch(name) or name == UNCLASSIFIED:
        problems.append(f"{place}: a name is lower-case letters, digits and hyphens, and not {UNCLASSIFIED}")
    if not isinstance(table, dict):
        problems.append(f"{place}: not a table")
        return None
    problems += [f"{place}: unknown key: {key}" for key in table if key not in _CATEGORY_KEYS]
    retain = _period(table.get("retain"), place, problems)
    if table.get("clock") != CLOCK_RECEIPT:
        problems.append(f'{place}: clock = "{CLOCK_RECEIPT}" is needed, and is the only clock there is')
    citation = _text(table, "citation", place, problems, required=True)
    title = _text(table, "title", place, problems, required=False)
    return Category(name=name, retain=retain, citation=citation, title=title) if retain else None


_CATEGORY_KEYS = frozenset({"retain", "clock", "citation", "title"})


def _period(value: Any, place: str, problems: list[str]) -> Retention | None:
    if value == "forever":
        return Forever()
    written = _PERIOD.fullmatch(value) if isinstance(value, str) else None
    if written is None:
        problems.append(f'{place}: retain must be like "6 years", "90 days" or "forever"')
        return None
    count, in_years = int(written[1]), written[2].startswith("year")
    if count > (YEARS_MAX if in_years else DAYS_MAX):
        problems.append(f'{place}: retain is over {YEARS_MAX} years or {DAYS_MAX} days; say "forever"')
        return None
    return Years(count) if in_years else Days(count)


def _text(table: dict[str, Any], key: str, place: str, problems: list[str], *, required: bool) -> str:
    value = table.get(key, "")
    if not isinstance(value, str) or len(value) > TEXT_CHARACTERS_MAX or not (value.strip() or not required):
        problems.append(f"{place}: {key} must be a text of at most {TEXT_CHARACTERS_MAX} characters")
        return ""
    return value


def _rules(tables: Any, categories: Any, problems: list[str]) -> tuple[Rule, ...]:
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        problems.append("rules are written as [[rule]]")
        return ()
    if len(tables) > RULES_MAX:
        problems.append(f"more than {RULES_MAX} rules")
        return ()
    names = set(categories) if isinstance(categories, dict) else set()
    found = (_rule(number, table, names, problems) for number, table in enumerate(tables, start=1))
    return tuple(rule for rule in found if rule)


def _rule(number: int, table: dict[str, Any], names: set[str], problems: list[str]) -> Rule | None:
    place = f"rule {number}"
    problems += [f"{place}: unknown key: {key}" for key in table if key not in {"category", "match"}]
    category, text = table.get("category"), table.get("match")
    if not isinstance(category, str) or category not in names:
        problems.append(f"{place}: category must be one of this schedule's own")
        return None
    if not isinstance(text, str):
        problems.append(f"{place}: match must be a query")
        return None
    try:
        query = search_query.parse(text)
    except QueryError as error:
        problems.append(f"{place}: match, {error.message}")
        return None
    if any(isinstance(leaf, CategoryIs) for leaf in leaves(query)):
        problems.append(f"{place}: match must not ask for a category: rules are what gives a message one")
        return None
    return Rule(category=category, match=text, query=query)


def _years_later(moment: datetime, count: int) -> datetime:
    try:
        return moment.replace(year=moment.year + count)
    except ValueError:
        return moment.replace(year=moment.year + count, month=3, day=1)


def _length(category: Category, received_at: datetime) -> datetime:
    return category.due_at(received_at) or datetime.max.replace(tzinfo=UTC)


def _category_text(category: Category) -> str:
    lines = [f"[category.{category.name}]", f"retain = {_quoted(period_text(category.retain))}"]
    lines += [f"clock = {_quoted(category.clock)}", f"citation = {_quoted(category.citation)}"]
    lines += [f"title = {_quoted(category.title)}"] if category.title else []
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A TOML basic string (TOML 1.0 section String): quotation mark, backslash and controls escaped."""
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return f"\\u{ord(character):04x}" if ord(character) < ord(" ") or character == "\x7f" else character
