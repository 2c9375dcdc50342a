"""Core: the one query language of searches, holds and rules.

Written down for records officers in ``docs/reference/query-language.md``. What cannot be understood is refused with
its place marked; nothing is guessed, because a hold or a rule that meant something else would destroy or keep the
wrong records.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from archive.index_document import ADDRESS_FIELDS, Direction, Field
from archive.query_conditions import (
    AddressIs,
    AllOf,
    AnyOf,
    CategoryIs,
    DirectionIs,
    HasAttachment,
    IdIs,
    Leaf,
    Not,
    Prefix,
    Query,
    ReceivedBefore,
    ReceivedFrom,
    SenderDomainIs,
    Words,
    leaves,
    matches,
)
from archive.words import fold, words_of
from mailstore.addresses import BadAddressError, parse_mailbox
from mailstore.errors import RefusedError
from mailstore.message import MessageId

__all__ = ["CategoryIs", "Query", "QueryError", "leaves", "matches", "parse"]

MAX_QUERY_CHARACTERS = 1_000
MAX_DEPTH = 10
MAX_WORDS = 100
SHORTEST_PREFIX = 2
"""Bounds of one query. A prefix of one letter would ask for a good part of the whole vocabulary."""


class QueryError(RefusedError):
    """The query cannot be understood. ``position`` counts characters from 0 to where the trouble begins."""

    code = "bad_query"

    def __init__(self, position: int, message: str) -> None:
        super().__init__(
            f"character {position + 1}: {message}",
            fix="Correct the query at the marked place.",
        )
        self.position = position


def parse(text: str) -> Query:
    """The meaning of a query. Raises ``QueryError`` for anything that is not the language."""
    if len(text) > MAX_QUERY_CHARACTERS:
        raise QueryError(MAX_QUERY_CHARACTERS, f"a query is at most {MAX_QUERY_CHARACTERS:,} characters long")
    reader = _Reader(text)
    query = reader.alternatives(depth=0)
    if reader.position < len(text):
        raise QueryError(reader.position, "this parenthesis closes nothing")
    if sum(_weight(leaf) for leaf in leaves(query)) > MAX_WORDS:
        raise QueryError(0, f"a query holds at most {MAX_WORDS} words")
    return query


def _weight(leaf: Leaf) -> int:
    return len(leaf.words) if isinstance(leaf, Words) else 1


_SPACE = re.compile(r"\s*")
_CHUNK = re.compile(r'[^\s()"]*')
_OPERATORS = {
    "OR": 'OR joins two alternatives; for the word itself write "or"',
    "AND": 'words stand side by side and all must match; for the word itself write "and"',
    "NOT": 'what is left out is marked with a hyphen; for the word itself write "not"',
}
_DOUBTFUL = (
    (re.compile(r"[\u201c-\u201f\u00ab\u00bb\uff02]"), 'a phrase stands in straight quotation marks: "like this"'),
    (re.compile(r"\A[\u2010-\u2015\u2212\uff0d!]"), "what is left out is marked with a plain hyphen: -word"),
    (re.compile(r"\|"), "alternatives are joined by OR"),
    (re.compile(r"\?(?=\w)"), "there is no wildcard for one letter"),
    (re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]"), "this character belongs in no query"),
)


class _Reader:
    """Reads a query from left to right; ``position`` is where the next thing begins."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.position = 0
        self._skip_space()

    def alternatives(self, *, depth: int) -> Query:
        """``a b OR c``: what stands side by side binds closer than OR."""
        found = [self._side_by_side(depth)]
        while self._chunk() == "OR":
            self._advance(len("OR"))
            found.append(self._side_by_side(depth))
        return found[0] if len(found) == 1 else AnyOf(tuple(found))

    def _side_by_side(self, depth: int) -> Query:
        found: list[Query] = []
        while not self._at_end() and self._here() != ")" and self._chunk() != "OR":
            found.append(self._signed(depth))
        if not found:
            raise QueryError(self.position, "something to search for is missing here")
        return found[0] if len(found) == 1 else AllOf(tuple(found))

    def _signed(self, depth: int) -> Query:
        if self._here() != "-":
            return self._one(depth)
        self.position += 1
        if self._at_end() or self._here().isspace() or self._here() in "-)":
            raise QueryError(self.position - 1, "a hyphen stands right before what is left out")
        return Not(self._one(depth))

    def _one(self, depth: int) -> Query:
        if self._here() != "(":
            return self._condition()
        if depth == MAX_DEPTH:
            raise QueryError(self.position, f"parentheses nest at most {MAX_DEPTH} deep")
        opened = self.position
        self._advance(1)
        inner = self.alternatives(depth=depth + 1)
        if self._at_end():
            raise QueryError(opened, "this parenthesis is never closed")
        self.position += 1
        self._expect_gap()
        return inner

    def _condition(self) -> Query:
        start, chunk = self.position, self._chunk()
        if chunk in _OPERATORS:
            raise QueryError(start, _OPERATORS[chunk])
        name, colon, _ = chunk.partition(":")
        meaning = _meaning_of(name, start) if colon else _text_in(None)
        self.position += len(name + colon) if colon else 0
        value_at = self.position
        quoted = self._here() == '"'
        text = self._quoted() if quoted else self._bare()
        self._expect_gap()
        return meaning(_Value(text, quoted=quoted, position=value_at))

    def _quoted(self) -> str:
        end = self._text.find('"', self.position + 1)
        if end < 0:
            raise QueryError(self.position, "this quotation mark is never closed")
        value = self._text[self.position + 1 : end]
        if "*" in value:
            raise QueryError(self.position + 1 + value.index("*"), "a prefix* stands outside quotation marks")
        self.position = end + 1
        return value

    def _bare(self) -> str:
        value = self._chunk()
        for pattern, message in _DOUBTFUL:
            if found := pattern.search(value):
                raise QueryError(self.position + found.start(), message)
        if ":" in value:
            raise QueryError(self.position + value.index(":"), "a value with a colon stands in quotation marks")
        self.position += len(value)
        return value

    def _expect_gap(self) -> None:
        if not self._at_end() and not self._here().isspace() and self._here() != ")":
            raise QueryError(self.position, "a space is missing here")
        self._skip_space()

    def _chunk(self) -> str:
        found = _CHUNK.match(self._text, self.position)
        return found[0] if found else ""

    def _here(self) -> str:
        return self._text[self.position : self.position + 1]

    def _at_end(self) -> bool:
        return self.position >= len(self._text)

    def _advance(self, characters: int) -> None:
        self.position += characters
        self._skip_space()

    def _skip_space(self) -> None:
        found = _SPACE.match(self._text, self.position)
        self.position = found.end() if found else self.position


@dataclass(frozen=True)
class _Value:
    text: str = field(repr=False)
    quoted: bool
    position: int

    def refused(self, message: str) -> QueryError:
        return QueryError(self.position, message)

    def plain_words(self) -> tuple[str, ...]:
        """The words of the value; at least one."""
        if "*" in self.text:
            raise QueryError(self.position + self.text.index("*"), "a star stands only at the end of one word")
        words = tuple(words_of(self.text))
        if not words:
            raise self.refused("there is no letter and no digit to search for")
        return words


_Meaning = Callable[[_Value], Query]


def _text_in(name: Field | None) -> _Meaning:
    """Words, a phrase, a prefix or, in a field of addresses, one address."""

    def meaning(value: _Value) -> Query:
        if not value.quoted and value.text.endswith("*"):
            return Prefix(name, _start_of(value))
        if name in ADDRESS_FIELDS and not value.quoted and "@" in value.text.strip("@"):
            return AddressIs(name, _address(value))
        return Words(name, value.plain_words())

    return meaning


def _start_of(value: _Value) -> str:
    stem = _Value(value.text[:-1], quoted=False, position=value.position).plain_words()
    if len(stem) > 1:
        raise value.refused("a prefix is the beginning of one word")
    if len(stem[0]) < SHORTEST_PREFIX:
        raise value.refused(f"a prefix has at least {SHORTEST_PREFIX} letters")
    return stem[0]


def _address(value: _Value) -> str:
    value.plain_words()
    try:
        return parse_mailbox(value.text).canonical
    except BadAddressError:
        raise value.refused("this is no mail address; its words can be searched for in quotation marks") from None


def _id(value: _Value) -> Query:
    if not re.fullmatch("[a-z2-7]{26}", value.text.lower()):
        raise value.refused("an id is 26 letters and digits")
    return IdIs(MessageId(value.text.lower()))


def _category(value: _Value) -> Query:
    value.plain_words()
    return CategoryIs(fold(value.text))


def _has(value: _Value) -> Query:
    if value.text.lower() != "attachment":
        raise value.refused("only has:attachment can be asked")
    return HasAttachment()


def _domain(value: _Value) -> Query:
    value.plain_words()
    try:
        return SenderDomainIs(parse_mailbox(f"anybody@{value.text}").canonical.rpartition("@")[2])
    except BadAddressError:
        raise value.refused("this is no mail domain, such as mail.example") from None


def _direction(value: _Value) -> Query:
    try:
        return DirectionIs(Direction(value.text.lower()))
    except ValueError:
        raise value.refused(f"a direction is one of {', '.join(Direction)}") from None


def _first_instant(value: _Value) -> datetime:
    """The first instant, in UTC, of the year, month or day that the value names (ISO 8601 calendar dates)."""
    parts = re.fullmatch(r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?", value.text)
    refusal = value.refused("a date is written 2026, 2026-03 or 2026-03-31")
    if parts is None:
        raise refusal
    try:
        return datetime(int(parts[1]), int(parts[2] or 1), int(parts[3] or 1), tzinfo=UTC)
    except ValueError:
        raise refusal from None


_MEANINGS: dict[str, _Meaning] = {name.value: _text_in(name) for name in Field} | {
    "id": _id,
    "category": _category,
    "has": _has,
    "domain": _domain,
    "direction": _direction,
    "after": lambda value: ReceivedFrom(_first_instant(value)),
    "before": lambda value: ReceivedBefore(_first_instant(value)),
}


def _meaning_of(name: str, position: int) -> _Meaning:
    meaning = _MEANINGS.get(name.lower())
    if meaning is None:
        known = " ".join(f"{each}:" for each in _MEANINGS)
        raise QueryError(
            position, f"there is no such field; a text with a colon needs quotation marks. Fields: {known}"
        )
    return meaning
