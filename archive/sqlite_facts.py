"""What facets count, for every message of one part, kept in memory as one small number a message.

Most messages share what facets are made of with many others, so each number stands for one such combination. What a
query found is then counted without looking anything up in the part again.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from archive.search_facets import NO, YES, Facet
from archive.words import fold
from mailstore.instants import instant_of

FACTS = "SELECT number, received_at, category, sender_domain, has_attachment, direction FROM messages"
"""The rows that these are made of."""

FactRow = tuple[int, int, str, str, int, str]
_Facts = tuple[tuple[Facet, str], ...]


class PartFacts:
    """The facets of the messages of one part, by their numbers."""

    def __init__(self, rows: Iterable[FactRow]) -> None:
        combinations: dict[tuple[int, str, str, int, str], int] = {}
        self._codes = array("I")
        for number, received_at, category, domain, has_attachment, direction in rows:
            facts = (_year(received_at), category, domain, has_attachment, direction)
            if number >= len(self._codes):
                self._codes.extend([0] * (number + 1 - len(self._codes)))
            self._codes[number] = combinations.setdefault(facts, len(combinations))
        self._combinations: Sequence[_Facts] = [_facts(*each) for each in combinations]

    def counted(self, numbers: Iterable[int]) -> Iterator[tuple[Facet, str, int]]:
        """How often each value of each facet comes among these messages, all of which are in the part."""
        for code, count in Counter(map(self._codes.__getitem__, numbers)).items():
            for facet, value in self._combinations[code]:
                yield facet, value, count


def _year(received_at: int) -> int:
    return instant_of(received_at).year


def _facts(year: int, category: str, domain: str, has_attachment: int, direction: str) -> _Facts:
    return (
        (Facet.YEAR, f"{year:04}"),
        (Facet.CATEGORY, fold(category)),
        (Facet.DOMAIN, domain),
        (Facet.ATTACHMENT, YES if has_attachment else NO),
        (Facet.DIRECTION, direction),
    )
