"""Core: a dictionary of the text that much of a practice's mail shares, for packing its messages smaller.

A dictionary outlives the messages it was made from, so nothing may be in it that only some mail says. It is a list of
fragments, runs of 1 to 32 words and marks, and **each fragment as it stands occurs in at least 20 conversations and in
mail of at least 5 senders**. Fragments stand in the order of their use, never in that of a message, so that two of them
side by side say nothing. Whatever is quoted to and fro in one conversation counts once.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter

MIN_CONVERSATIONS = 20
MIN_SENDERS = 5
MAX_BYTES = 110 * 1024

READ_BYTES = 16 * 1024
"""Of each message: its headers and the beginning of its text, where most of what is shared stands."""

LONGEST = 32
"""Words and marks in a fragment, a power of two."""

_SHORTEST_BYTES = 3
_COST_BYTES = 2
"""What it costs to point at a fragment instead of writing it out."""

_NUMBER_BITS = 32
_Fragment = bytes | int
_TOKEN = re.compile(rb"\r\n[ \t]*|[A-Za-z0-9_\x80-\xff]+ ?|[^A-Za-z0-9_\x80-\xff\r\n]+|[\r\n]")


@dataclass(frozen=True)
class Sample:
    """The text of one message, the conversation it belongs to, and who sent it."""

    text: bytes = field(repr=False)
    conversation: str
    sender: bytes = field(repr=False)


@dataclass
class _Read:
    """A sample as numbers. ``runs[k]``: for each place the shared fragment of 2^k tokens that begins there, else 0."""

    sample: Sample
    tokens: list[bytes]
    runs: list[array[int]]

    def fragment(self, place: int, power: int) -> bytes:
        return b"".join(self.tokens[place : place + (1 << power)])


def dictionary_text(samples: Sequence[Sample]) -> bytes:
    """The text of a dictionary for mail like these samples, ``MAX_BYTES`` at most; empty when they share nothing.

    Costs about 6 ms of processor time and 50 KB of memory a sample.
    """
    read = _read(sorted(samples, key=attrgetter("conversation")))
    power = 0
    while 1 << power <= LONGEST and _mark_shared(read, power):
        power += 1
    return _assembled(_uses(read))


def _read(samples: Sequence[Sample]) -> list[_Read]:
    """The samples in words and marks. Equal ones are one object: there are many more of them than different ones."""
    known: dict[bytes, bytes] = {}
    words = (_TOKEN.findall(sample.text[:READ_BYTES]) for sample in samples)
    return [
        _Read(sample, [known.setdefault(word, word) for word in found], [])
        for sample, found in zip(samples, words, strict=True)
    ]


def _mark_shared(read: Sequence[_Read], power: int) -> bool:
    """Number the shared fragments of 2^power tokens. A long one can only be shared where both its halves are."""
    conversations: Counter[_Fragment] = Counter()
    for _, together in groupby(read, key=lambda each: each.sample.conversation):
        conversations.update({fragment for each in together for _, fragment in _fragments(each, power)})
    senders: dict[_Fragment, set[bytes]] = {
        fragment: set() for fragment, count in conversations.items() if count >= MIN_CONVERSATIONS
    }
    for each in read:
        for fragment in senders.keys() & {fragment for _, fragment in _fragments(each, power)}:
            senders[fragment].add(each.sample.sender)
    shared = (fragment for fragment, told in senders.items() if len(told) >= MIN_SENDERS)
    numbers = {fragment: number for number, fragment in enumerate(shared, start=1)}
    for each in read:
        run = array("I", bytes(4 * len(each.tokens)))
        for place, fragment in _fragments(each, power):
            run[place] = numbers.get(fragment, 0)
        each.runs.append(run)
    return bool(numbers)


def _fragments(each: _Read, power: int) -> Iterator[tuple[int, _Fragment]]:
    """The places of a sample, and the fragment of 2^power tokens at each as something that equals its like."""
    if power == 0:
        yield from enumerate(each.tokens)
        return
    half, runs = 1 << (power - 1), each.runs[power - 1]
    for place, (first, second) in enumerate(zip(runs, runs[half:], strict=False)):
        if first and second:
            yield place, first << _NUMBER_BITS | second


def _uses(read: Sequence[_Read]) -> Counter[bytes]:
    """In how many samples each fragment is the longest shared one at its place."""
    uses: Counter[bytes] = Counter()
    for each in read:
        uses.update(set(_longest(each)))
    return uses


def _longest(each: _Read) -> Iterator[bytes]:
    place, powers = 0, range(len(each.runs) - 1, -1, -1)
    while place < len(each.tokens):
        power = next((power for power in powers if each.runs[power][place]), None)
        if power is not None:
            yield each.fragment(place, power)
        place += 1 << (power or 0)


def _assembled(uses: Mapping[bytes, int]) -> bytes:
    """The fragments that save most, the best of them last: what is near is cheap to point at."""
    worth = {fragment: count * (len(fragment) - _COST_BYTES) for fragment, count in uses.items()}
    best = sorted(worth, key=lambda fragment: (-worth[fragment], fragment))
    chosen: list[bytes] = []
    text = b""
    for fragment in best:
        fits = len(text) + len(fragment) <= MAX_BYTES
        if len(fragment) >= _SHORTEST_BYTES and fits and fragment not in text:
            chosen.append(fragment)
            text += fragment
    return b"".join(reversed(chosen))
