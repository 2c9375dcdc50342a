"""What facets count, for every message of one part, kept in memory as two small numbers a message.

Most messages share what facets are made of with many others: a number stands for one such kind, another one for the
mailboxes that take part. What a query found is counted by these numbers, without a look into the part again.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from archive.search_facets import NO, YES, Facet
from archive.words import fold

KINDS = "SELECT kind, year, category, has_attachment, sender_domain, direction FROM kinds"
MESSAGES = "SELECT json_group_array(number), json_group_array(kind) FROM messages"
"""The rows that these are made of. As one list of JSON, numbers come from SQLite in half the time of rows."""

KindRow = tuple[int, *tuple[int | str, ...]]
"""The number of a kind, then its values in the order of ``_FACETS``."""

Tally = tuple[Facet, str, int]
"""A value of a facet, and how many messages have it."""

_FACETS: tuple[tuple[Facet, Callable[[int | str], str]], ...] = (
    (Facet.YEAR, lambda year: f"{year:04}"),
    (Facet.CATEGORY, lambda category: fold(str(category))),
    (Facet.ATTACHMENT, lambda has_attachment: YES if has_attachment else NO),
    (Facet.DOMAIN, str),
    (Facet.DIRECTION, str),
)
"""What ``KINDS`` answers, and how each value is told. They are counted as they stand there: it is done often."""

_FOUR_BYTES = "I"
_NO_KIND = 0
"""Of a number that no message has. SQLite counts kinds from 1."""


class PartFacts:
    """The facets of the messages of one part, by their numbers.

    ``kinds`` says what each kind is, ``kind_of_each`` which of them each of the messages ``numbers`` is of,
    ``taking_part`` in which messages an address of ours takes part.
    """

    def __init__(
        self,
        kinds: Iterable[KindRow],
        numbers: Sequence[int],
        kind_of_each: Sequence[int],
        taking_part: Mapping[str, Iterable[int]],
    ) -> None:
        self._meanings = {kind: values for kind, *values in kinds}
        self._kinds = _zeros(max(numbers, default=0) + 1)
        for number, kind in zip(numbers, kind_of_each, strict=True):
            self._kinds[number] = kind
        self._circles = _zeros(len(self._kinds))
        self._members = _gathered(self._circles, taking_part)

    def counted(self, numbers: Sequence[int]) -> tuple[int, list[Tally]]:
        """How many these are, and how often each value comes among them. All of them are in the part."""
        kinds = Counter(map(self._kinds.__getitem__, numbers))
        return len(numbers), list(self._tallies(kinds, Counter(map(self._circles.__getitem__, numbers))))

    @cached_property
    def of_all(self) -> tuple[int, list[Tally]]:
        """The same of all messages of the part."""
        kinds = Counter(self._kinds)
        del kinds[_NO_KIND]
        return kinds.total(), list(self._tallies(kinds, Counter(self._circles)))

    def _tallies(self, kinds: Counter[int], circles: Counter[int]) -> Iterator[Tally]:
        of_each = [defaultdict[int | str, int](int) for _ in _FACETS]
        for kind, count in kinds.items():
            for values, value in zip(of_each, self._meanings[kind], strict=True):
                values[value] += count
        for (facet, told), values in zip(_FACETS, of_each, strict=True):
            yield from ((facet, told(value), count) for value, count in values.items())
        of_mailboxes = Counter[str]()
        for circle, count in circles.items():
            of_mailboxes.update(dict.fromkeys(self._members[circle], count))
        yield from ((Facet.MAILBOX, address, count) for address, count in of_mailboxes.items())


def _zeros(size: int) -> array[int]:
    return array(_FOUR_BYTES, bytes(array(_FOUR_BYTES).itemsize * size))


def _gathered(circles: array[int], taking_part: Mapping[str, Iterable[int]]) -> list[tuple[str, ...]]:
    """Write down for each number which addresses take part together; answers who belongs to each such circle."""
    members: list[tuple[str, ...]] = [()]
    for address, numbers in taking_part.items():
        wider: dict[int, int] = {}
        for number in numbers:
            before = circles[number]
            if before not in wider:
                wider[before] = len(members)
                members.append((*members[before], address))
            circles[number] = wider[before]
    return members
