"""Which messages of each series of the sealed spool are ours: the only module that touches its two tables.

The count of a series grows in the transaction that makes a message of it ours, and by one at a time: so each becomes
ours once, in order, whatever is cut short and begun again. What could not be opened when its turn came is **missing**:
the count goes on behind it, and its numbers are kept, so that it is taken in, once, should it open later. Rows stay: a
segment that somebody puts back later is known by its series.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection

from mailstore.errors import RefusedError
from mailstore.sealed_rows import rows_of
from mailstore.tables import sealed_series, sealed_series_missing


@dataclass(frozen=True)
class Arrival:
    """Where a message waited: its series, and how many of that series came before it."""

    series: str
    number: int


class OutOfTurnError(RefusedError):
    """This message of a series is not to be taken in: it is ours already, or one before it is not."""

    code = "out_of_turn"


@dataclass(frozen=True)
class Taken:
    """What of a series is ours: all below ``count`` but the ``missing``, as ranges that include their first number."""

    count: int = 0
    missing: frozenset[tuple[int, int]] = frozenset()

    def has(self, number: int) -> bool:
        """True when this message is ours."""
        return number < self.count and not any(first <= number < until for first, until in self.missing)

    def lacks(self, first: int, until: int) -> int:
        """How many of these messages are not ours."""
        missing = sum(max(0, min(until, end) - max(first, begin)) for begin, end in self.missing)
        return missing + max(0, until - max(first, self.count))

    def taking(self, number: int) -> Taken:
        """With one more: the next, or one that was missing. Raises ``OutOfTurnError`` for any other."""
        if number == self.count:
            return Taken(number + 1, self.missing)
        within = next(((first, until) for first, until in self.missing if first <= number < until), None)
        if within is None:
            raise OutOfTurnError("a message of the sealed spool is not the next of its series, and not missing")
        first, until = within
        left = {(begin, end) for begin, end in ((first, number), (number + 1, until)) if begin < end}
        return Taken(self.count, self.missing - {within} | left)

    def passing_over(self, until: int) -> Taken:
        """With all up to ``until`` behind us, missing if they are not ours. Never back."""
        if until <= self.count:
            return self
        return Taken(until, self.missing | {(self.count, until)})


def taken(connection: Connection, series: str) -> Taken:
    """Which messages of a series are ours."""
    rows = rows_of(connection)
    row = rows.one(connection, sealed_series, sealed_series.c.id == series)
    if row is None:
        return Taken()
    missing = rows.select(connection, sealed_series_missing, sealed_series_missing.c.series == series)
    return Taken(int(row["drained"]), frozenset((int(each["begins"]), int(each["ends"])) for each in missing))


def advance(connection: Connection, arrivals: Iterable[Arrival]) -> None:
    """Count these messages as ours, each the next of its series or missing. ``OutOfTurnError`` when one is neither."""
    before: dict[str, Taken] = {}
    after: dict[str, Taken] = {}
    for arrival in arrivals:
        if arrival.series not in before:
            before[arrival.series] = after[arrival.series] = taken(connection, arrival.series)
        after[arrival.series] = after[arrival.series].taking(arrival.number)
    for series, now in after.items():
        _set(connection, series, before[series], now)


def pass_over(connection: Connection, series: str, *, until: int) -> None:
    """Go on at ``until`` with a series, because what comes before cannot be opened now. Never back."""
    before = taken(connection, series)
    _set(connection, series, before, before.passing_over(until))


def _set(connection: Connection, series: str, before: Taken, now: Taken) -> None:
    rows = rows_of(connection)
    if now.count != before.count and not rows.update(
        connection, sealed_series, sealed_series.c.id == series, {"drained": now.count}
    ):
        rows.insert(connection, sealed_series, {"id": series, "drained": now.count})
    if now.missing != before.missing:
        rows.delete(connection, sealed_series_missing, sealed_series_missing.c.series == series)
        ranges = sorted(now.missing)
        found = [{"series": series, "begins": begins, "ends": ends} for begins, ends in ranges]
        rows.insert_many(connection, sealed_series_missing, found)
