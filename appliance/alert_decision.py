"""Core: whether somebody must be written to, by what the doctor sees now and what was told before.

One mail when a line turns red, one when it is well again, and a reminder while it stays red. A line counts as turned
once it was seen so often in a row, or red so often in a day; one that turns too often in a day is told in reminders
alone for that day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from appliance.health_finding import BROKEN_OFF, Finding

MOST_TURNS: Final = 3
"""How often a day one line is told as newly red."""

MANY_RED_LOOKS: Final = 6
"""So many in a day are no hiccups, though each was followed by a look that found nothing."""

DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class WatchedLine:
    """What is known of one line: how often it was seen as it is (``looks``), and what was told of it.

    ``told_at``: when a mail named it as red last. ``turns`` and ``red_looks``: how often it was told as newly red, and
    seen red without having been told as well in between, since ``turns_since``.
    """

    is_red: bool
    looks: int
    is_told: bool
    told_at: datetime | None
    turns: int
    turns_since: datetime
    red_looks: int = 0

    @property
    def is_restless(self) -> bool:
        """True for one that turned too often: it is told in reminders alone."""
        return self.turns > MOST_TURNS


@dataclass(frozen=True)
class Patience:
    """How many looks in a row make a turn, and how long after a mail a reminder is due."""

    looks: int
    remind_after: timedelta


@dataclass(frozen=True)
class Alert:
    """One mail: what turned red, what is red still, and the names of what is well again."""

    turned: tuple[Finding, ...]
    still: tuple[Finding, ...]
    well: tuple[str, ...]


@dataclass(frozen=True)
class Decision:
    """``lines`` as they are to be remembered when nothing could be told, ``told`` when the alert reached somebody."""

    lines: Mapping[str, WatchedLine]
    told: Mapping[str, WatchedLine]
    alert: Alert | None


def decide(known: Mapping[str, WatchedLine], seen: Sequence[Finding], *, now: datetime, patience: Patience) -> Decision:
    """What to tell, and what to remember. ``known`` is of the same round of looks as ``seen``.

    A line that is looked at no more counts as well: what it was about is gone. One that could not be looked at stays as
    it was, and nothing is told of it.
    """
    red = worst_by_check(seen)
    kept = {name: line for name, line in known.items() if name not in red and _is_hidden(name, seen)}
    names = sorted({*known, *red} - kept.keys())
    lines = {**kept, **{name: _seen(known.get(name), is_red=name in red, now=now) for name in names}}
    settled = {name: lines[name] for name in names if _is_settled(lines[name], patience)}
    turned = [name for name, line in settled.items() if line.is_red and not line.is_told]
    well = [name for name, line in settled.items() if not line.is_red and line.is_told]
    told = {
        **lines,
        **{name: _turned(lines[name], now) for name in turned},
        **{name: _well(lines[name]) for name in well},
    }
    new = [name for name in turned if not told[name].is_restless]
    still = [name for name in names if name not in new and told[name].is_red and told[name].is_told]
    over = [name for name in well if not lines[name].is_restless]
    is_due = any(_is_due(told[name], now, patience.remind_after) for name in still)
    if not (new or over or is_due):
        return Decision(_worth_keeping(lines), _worth_keeping({**told}), None)
    told.update({name: replace(told[name], told_at=now) for name in (*new, *still)})
    alert = Alert(tuple(red[name] for name in new), tuple(red[name] for name in still), tuple(over))
    return Decision(_worth_keeping(lines), _worth_keeping(told), alert)


def worst_by_check(seen: Sequence[Finding]) -> dict[str, Finding]:
    """Of each check that calls somebody, the line that is told: the first, with how many more there are."""
    found: dict[str, list[Finding]] = {}
    for each in seen:
        if each.calls_somebody:
            found.setdefault(each.check, []).append(each)
    return {
        check: first if not more else replace(first, message=f"{first.message}; and {len(more)} more of this kind")
        for check, (first, *more) in found.items()
    }


def _is_hidden(name: str, seen: Sequence[Finding]) -> bool:
    """True when its look, or one that it would have come from, could not be made."""
    unknown = {each.check for each in seen if each.is_unknown}
    if name in {each.check for each in seen} - unknown:
        return False
    return any(each in {BROKEN_OFF, name} or name.startswith(f"{each} ") for each in unknown)


def _is_settled(line: WatchedLine, patience: Patience) -> bool:
    return line.looks >= patience.looks or (line.is_red and line.red_looks >= MANY_RED_LOOKS)


def _seen(line: WatchedLine | None, *, is_red: bool, now: datetime) -> WatchedLine:
    if line is None:
        return WatchedLine(is_red, 1, is_told=False, told_at=None, turns=0, turns_since=now, red_looks=int(is_red))
    if not timedelta(0) <= now - line.turns_since < DAY:
        line = replace(line, turns=0, turns_since=now, red_looks=0)
    looks = line.looks + 1 if line.is_red is is_red else 1
    return replace(line, is_red=is_red, looks=looks, red_looks=line.red_looks + is_red)


def _turned(line: WatchedLine, now: datetime) -> WatchedLine:
    return replace(line, is_told=True, turns=line.turns + 1, told_at=line.told_at or now)


def _well(line: WatchedLine) -> WatchedLine:
    return replace(line, is_told=False, red_looks=0)


def _is_due(line: WatchedLine, now: datetime, after: timedelta) -> bool:
    """A clock that was set back makes nothing wait for longer than it would have."""
    return line.told_at is None or not timedelta(0) <= now - line.told_at < after


def _worth_keeping(lines: Mapping[str, WatchedLine]) -> dict[str, WatchedLine]:
    """Lines that are well, and were not red for a day, need not be remembered."""
    return {name: line for name, line in lines.items() if line.is_red or line.is_told or line.turns or line.red_looks}
