"""What facets count, for every message of one part, kept in memory as two small numbers a message.

Most messages share what facets are made of with many others: a number stands for one such kind, another one for the
mailboxes that take part. What a query found is counted by these numbers, without a look into the part again.
A part that is settled keeps them as one row, so that they are there with one reading.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from archive.search_facets import NO, YES, Facet
from archive.words import fold

KINDS = "SELECT kind, year, category, has_attachment, sender_domain, direction FROM kinds"
MESSAGES = "SELECT json_group_array(number), json_group_array(kind) FROM messages"
"""The rows that these are made of. As one list of JSON, numbers come from SQLite in half the time of rows."""

KindRow = tuple[int, *tuple[int | str, ...]]
"""The number of a kind, then its values in the order of ``_FACETS``."""

KeptFacts = tuple[bytes, bytes, str]
"""The facts of a part as its row has them: kinds and circles by number, then what each of them is, in JSON."""

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

    ``meanings`` says what each kind is, ``kinds`` of which kind the message of each number is; ``circles`` and
    ``members`` say the same of the addresses that take part together, as far as they are among ``known``.
    """

    def __init__(
        self,
        meanings: dict[int, Sequence[int | str]],
        kinds: array[int],
        circles: array[int],
        members: list[tuple[str, ...]],
        known: frozenset[str],
    ) -> None:
        self._meanings = meanings
        self._kinds = kinds
        self._circles = circles
        self._members = members
        self._known = known

    @classmethod
    def read(cls, kinds: Iterable[KindRow], numbers: Sequence[int], kind_of_each: Sequence[int]) -> PartFacts:
        """From the rows of ``KINDS`` and ``MESSAGES``; of nobody is known yet where they take part."""
        by_number = _zeros(max(numbers, default=0) + 1)
        for number, kind in zip(numbers, kind_of_each, strict=True):
            by_number[number] = kind
        return cls({kind: values for kind, *values in kinds}, by_number, _zeros(len(by_number)), [()], frozenset())

    @classmethod
    def kept(cls, kinds: bytes, circles: bytes, told: str) -> PartFacts:
        """From what ``to_keep`` gave."""
        kinds_told, meanings, addresses, members = json.loads(told)
        return cls(
            dict(zip(kinds_told, meanings, strict=True)),
            array(_FOUR_BYTES, kinds),
            array(_FOUR_BYTES, circles),
            [tuple(addresses[place] for place in circle) for circle in members],
            frozenset(addresses),
        )

    def to_keep(self) -> KeptFacts:
        """All of it, as one row."""
        addresses = sorted(self._known)
        places = {address: place for place, address in enumerate(addresses)}
        members = [[places[address] for address in circle] for circle in self._members]
        told = json.dumps([list(self._meanings), list(self._meanings.values()), addresses, members])
        return self._kinds.tobytes(), self._circles.tobytes(), told

    def unknown(self, mailboxes: Collection[str]) -> list[str]:
        """Of which of these it is still to be asked where they take part."""
        return sorted(set(mailboxes) - self._known)

    def joined(self, taking_part: Mapping[str, Iterable[int]]) -> PartFacts:
        """With these addresses, of which nothing was known, in the messages of these numbers."""
        circles = self._circles[:]
        members = _gathered(circles, self._members, taking_part)
        return PartFacts(self._meanings, self._kinds, circles, members, self._known | taking_part.keys())

    def of_mailboxes(self, mailboxes: Collection[str]) -> PartFacts:
        """With these addresses alone."""
        members = [tuple(address for address in circle if address in mailboxes) for circle in self._members]
        return PartFacts(self._meanings, self._kinds, self._circles, members, self._known & set(mailboxes))

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
        of_mailboxes = defaultdict[str, int](int)
        for circle, count in circles.items():
            for address in self._members[circle]:
                of_mailboxes[address] += count
        yield from ((Facet.MAILBOX, address, count) for address, count in of_mailboxes.items())


def _zeros(size: int) -> array[int]:
    return array(_FOUR_BYTES, bytes(array(_FOUR_BYTES).itemsize * size))


def _gathered(
    circles: array[int], known: Sequence[tuple[str, ...]], taking_part: Mapping[str, Iterable[int]]
) -> list[tuple[str, ...]]:
    """Write down for each number which addresses take part together; answers who belongs to each such circle."""
    members = list(known)
    for address, numbers in taking_part.items():
        wider: dict[int, int] = {}
        for number in numbers:
            before = circles[number]
            if before not in wider:
                wider[before] = len(members)
                members.append((*members[before], address))
            circles[number] = wider[before]
    return members
