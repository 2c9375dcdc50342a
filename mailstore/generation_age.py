"""Core: which generations of a backup are too old, though the clock that dated some of them may have been wrong.

Numbers are signed and chained, so the order is beyond doubt; a date is a claim. It counts as far as it agrees with the
others: a date that is later than now, or out of line with most of the others, says nothing. Such a generation was made
before the next one whose date counts, and goes with that one. So a clock that stood years ahead keeps nothing for ever,
and one that stood years behind takes nothing away with it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from mailstore.trusted_time import TOLERANCE

WITNESSES: Final = 16
"""How many dates are held against each other at most: each is one file to read, from a store far away perhaps."""


@dataclass(frozen=True)
class Dated:
    """A generation by its number, and when its listing says that it was made."""

    sequence: int
    made_at: datetime


def witnesses(sequences: Sequence[int]) -> list[int]:
    """Those of ascending numbers whose dates are held against each other: the first, the last, and some between."""
    if len(sequences) <= WITNESSES:
        return list(sequences)
    last = len(sequences) - 1
    return [sequences[at * last // (WITNESSES - 1)] for at in range(WITNESSES)]


class Dates:
    """What the dates of some generations, told in the order of their numbers, say about all.

    ``now`` is a proved time, which may lag behind the clock that dates them by ``TOLERANCE``.
    """

    def __init__(self, told: Iterable[Dated], *, now: datetime) -> None:
        self._latest = now + TOLERANCE
        self._counting = _longest_in_order([each for each in told if each.made_at <= self._latest])

    def counts(self, dated: Dated) -> bool:
        """True when a date agrees with those before and behind it."""
        at = bisect_right(self._counting, dated.sequence, key=lambda each: each.sequence)
        before = self._counting[at - 1].made_at if at else dated.made_at
        behind = self._counting[at].made_at if at < len(self._counting) else self._latest
        return before <= dated.made_at <= behind


def too_old(generations: Iterable[Dated], dates: Dates, *, before: datetime, first_kept: int) -> list[int]:
    """The numbers of those that were made before a moment, up to the first that is kept in any case.

    ``generations``: oldest first; no more of them are looked at than it takes.
    """
    gone: list[int] = []
    undecided: list[int] = []
    for each in generations:
        if each.sequence < first_kept:
            undecided.append(each.sequence)
        if not dates.counts(each):
            continue
        if each.made_at >= before:
            break
        gone += undecided
        undecided = []
        if each.sequence >= first_kept:
            break
    return gone


def _longest_in_order(told: Sequence[Dated]) -> list[Dated]:
    """As many as can be in the order of their dates as well. Of two choices that with later dates: it keeps more."""
    chains: list[list[Dated]] = []
    for each in told:
        fitting = [chain for chain in chains if chain[-1].made_at <= each.made_at]
        chains.append([*max(fitting, key=_weight, default=[]), each])
    return max(chains, key=_weight, default=[])


def _weight(chain: Sequence[Dated]) -> tuple[int, list[datetime]]:
    return len(chain), [each.made_at for each in chain]
