"""Core: which of the messages that match say most about what was asked, by where in them the words stand.

A word in the subject says more than one deep in an attachment, and words that stand next to each other as they were
typed say more than words far apart. Each condition counts once, at the best place where it is met; equally relevant
messages come newest first. Every engine works out the same numbers, so that both give one order.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import TypeAlias

from archive.index_document import ADDRESS_FIELDS, Field, IndexDocument
from archive.query_conditions import (
    AddressIs,
    AllOf,
    AnyOf,
    Not,
    Prefix,
    Query,
    TextCondition,
    Words,
    fields_of,
    matches,
)

WEIGHTS = {Field.SUBJECT: 8, Field.PARTICIPANT: 4, Field.FILENAME: 3, Field.BODY: 2, Field.ATTACHMENT: 1}
"""What a condition that is met there counts. From, to, cc and bcc count as participants do."""


class Order(StrEnum):
    """In which order results come."""

    NEWEST = "newest"
    RELEVANCE = "relevance"


Signal: TypeAlias = tuple[tuple[TextCondition, int], ...]
"""One condition in each field it may be met in, with what it counts there: the best first, of which one counts."""


def signals(query: Query) -> tuple[Signal, ...]:
    """What makes a message relevant. A query of dates and facts alone has nothing."""
    return tuple(dict.fromkeys(map(_signal, _conditions(query))))


def relevance(query: Query, document: IndexDocument) -> int:
    """How relevant one message is, from 0 on."""
    return sum(next((weight for each, weight in signal if matches(each, document)), 0) for signal in signals(query))


def _conditions(query: Query) -> Iterator[TextCondition]:
    """The conditions on text that a message meets by having something, and the words that were typed side by side."""
    match query:
        case Not():
            return
        case AllOf(queries):
            typed = tuple(part.words[0] for part in queries if isinstance(part, Words) and _is_plain_word(part))
            if len(typed) > 1:
                yield Words(None, typed)
            for part in queries:
                yield from _conditions(part)
        case AnyOf(queries):
            for part in queries:
                yield from _conditions(part)
        case Words() | Prefix() | AddressIs():
            yield query
        case _:
            return


def _is_plain_word(words: Words) -> bool:
    return words.where is None and len(words.words) == 1


def _signal(condition: TextCondition) -> Signal:
    weighed = ((_within(condition, name), _weight(name)) for name in fields_of(condition.where))
    return tuple(sorted(weighed, key=lambda each: -each[1]))


def _within(condition: TextCondition, name: Field) -> TextCondition:
    match condition:
        case Words(_, words):
            return Words(name, words)
        case Prefix(_, start):
            return Prefix(name, start)
        case AddressIs():
            return condition


def _weight(name: Field) -> int:
    return WEIGHTS[Field.PARTICIPANT if name in ADDRESS_FIELDS else name]
