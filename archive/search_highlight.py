"""Core: the places of a message that answer a query, cut out to be shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from archive.index_document import ADDRESS_FIELDS, Field, IndexDocument
from archive.query_conditions import AddressIs, AllOf, AnyOf, Leaf, Not, Prefix, Query, Words, fields_of
from archive.words import WORD, visible, words_of
from mailstore.addresses import display

CONTEXT_CHARACTERS = 60
MOST_SNIPPETS = 3
_SEARCHED_CHARACTERS = 200_000
_MOST_IN_SNIPPET = 8
_SPACES = re.compile(r"\s+")


@dataclass(frozen=True)
class Segment:
    """A stretch of shown text; ``is_match`` when it is what was searched for."""

    text: str = field(repr=False)
    is_match: bool


@dataclass(frozen=True)
class Highlight:
    """One place of a message. ``where`` names its field."""

    where: Field
    segments: tuple[Segment, ...]

    @property
    def marked(self) -> str:
        """The place as one line, what was searched for between guillemets."""
        return "".join(f"«{each.text}»" if each.is_match else each.text for each in self.segments).strip()


def highlights(query: Query, document: IndexDocument) -> tuple[Highlight, ...]:
    """At most three places that show why the message matches. A query of dates and ids alone has none."""
    found: list[Highlight] = []
    wanted = list(_wanted(query))
    for where in (Field.SUBJECT, Field.BODY, Field.ATTACHMENT, Field.FILENAME, Field.PARTICIPANT):
        here = [leaf for leaf in wanted if _looks_into(leaf, where)]
        for text in document.texts.get(where, ()) if here else ():
            found += _in_text(text[:_SEARCHED_CHARACTERS], where, here)
            if len(found) >= MOST_SNIPPETS:
                return tuple(found[:MOST_SNIPPETS])
    return tuple(found)


def _wanted(query: Query) -> Iterator[Leaf]:
    """The conditions that the message meets by having something, leaving out what it must not have."""
    match query:
        case Not():
            return
        case AllOf(queries) | AnyOf(queries):
            for part in queries:
                yield from _wanted(part)
        case Words() | Prefix() | AddressIs():
            yield query
        case _:
            return


def _looks_into(leaf: Leaf, where: Field) -> bool:
    """True when the condition may be met there; what is in from, to, cc or bcc is shown among the participants."""
    match leaf:
        case Words(name, _) | Prefix(name, _) | AddressIs(name, _):
            return where in fields_of(name) or (where is Field.PARTICIPANT and name in ADDRESS_FIELDS)
        case _:
            return False


def _in_text(text: str, where: Field, wanted: list[Leaf]) -> Iterator[Highlight]:
    shown = visible(text)
    words = [(found.start(), found.end(), words_of(found[0])) for found in WORD.finditer(shown)]
    hits = sorted(set(_hits([folded for _, _, folded in words], wanted)))
    if not hits:
        return
    first = words[hits[0]][0]
    ends = first + 2 * CONTEXT_CHARACTERS
    spans = [words[hit][:2] for hit in hits if words[hit][0] < ends][:_MOST_IN_SNIPPET]
    yield Highlight(where, tuple(_segments(shown, spans)))


def _hits(words: list[list[str]], wanted: list[Leaf]) -> Iterator[int]:
    """The numbers of the words that meet a condition, all words of a phrase included."""
    for leaf in wanted:
        needle = _needle(leaf)
        for number in range(len(words)):
            if _begins(words, number, needle, is_prefix=isinstance(leaf, Prefix)):
                yield from range(number, number + len(needle))


def _needle(leaf: Leaf) -> tuple[str, ...]:
    match leaf:
        case Words(_, words):
            return words
        case Prefix(_, start):
            return (start,)
        case AddressIs(_, address):
            return tuple(words_of(address))
        case _:
            return ()


def _begins(words: list[list[str]], number: int, needle: tuple[str, ...], *, is_prefix: bool) -> bool:
    here = words[number : number + len(needle)]
    if len(here) < len(needle) or not needle:
        return False
    if is_prefix:
        return any(word.startswith(needle[0]) for word in here[0])
    return all(wanted in folded for wanted, folded in zip(needle, here, strict=True))


def _segments(text: str, spans: Iterable[tuple[int, int]]) -> Iterator[Segment]:
    some = list(spans)
    start = max(0, some[0][0] - CONTEXT_CHARACTERS)
    end = min(len(text), some[-1][1] + CONTEXT_CHARACTERS)
    for begin, after in some:
        yield from _plain(text[start:begin])
        yield Segment(_line(text[begin:after]), is_match=True)
        start = after
    yield from _plain(text[start:end])


def _plain(text: str) -> Iterator[Segment]:
    if text:
        yield Segment(_line(text), is_match=False)


def _line(text: str) -> str:
    return display(_SPACES.sub(" ", text))
