"""How far each series of the sealed spool was drained: the only module that touches ``sealed_series``.

The count of a series grows in the transaction that makes a message of it ours, and by one at a time: so each becomes
ours once, in order, whatever is cut short and begun again. Rows stay: a segment that somebody puts back later is
known by its series.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection

from mailstore.errors import RefusedError
from mailstore.sealed_rows import rows_of
from mailstore.tables import sealed_series


@dataclass(frozen=True)
class Arrival:
    """Where a message waited: its series, and how many of that series came before it."""

    series: str
    number: int


class OutOfTurnError(RefusedError):
    """This message of a series is not the next one: it is ours already, or one before it is not."""

    code = "out_of_turn"


def drained(connection: Connection, series: str) -> int:
    """How many messages of a series are ours."""
    row = rows_of(connection).one(connection, sealed_series, sealed_series.c.id == series)
    return 0 if row is None else int(row["drained"])


def advance(connection: Connection, arrivals: Iterable[Arrival]) -> None:
    """Count these messages as ours, each the next of its series. ``OutOfTurnError`` when one is not."""
    counts: dict[str, int] = {}
    for arrival in arrivals:
        count = counts.get(arrival.series)
        if count is None:
            count = drained(connection, arrival.series)
        if arrival.number != count:
            raise OutOfTurnError("a message of the sealed spool is not the next of its series")
        counts[arrival.series] = count + 1
    for series, count in counts.items():
        _set(connection, series, count)


def pass_over(connection: Connection, series: str, *, until: int) -> None:
    """Go on at ``until`` with a series, because what comes before cannot be opened. Never back."""
    if until > drained(connection, series):
        _set(connection, series, until)


def _set(connection: Connection, series: str, count: int) -> None:
    rows = rows_of(connection)
    if not rows.update(connection, sealed_series, sealed_series.c.id == series, {"drained": count}):
        rows.insert(connection, sealed_series, {"id": series, "drained": count})
