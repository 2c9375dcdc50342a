"""Core: a query as a part of the SQLite index is asked it: one FTS5 expression, what SQL adds, and bounds of time.

Every condition on words, addresses, category and attachment is a token (``sqlite_schema``), so whatever joins them is
one FTS5 expression. SQL is left for ids, for dates, and for what mixes these with words by OR or a hyphen.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from archive.index_document import Field
from archive.query_conditions import (
    AddressIs,
    AllOf,
    AnyOf,
    CategoryIs,
    DirectionIs,
    HasAttachment,
    IdIs,
    Not,
    Prefix,
    Query,
    ReceivedBefore,
    ReceivedFrom,
    SenderDomainIs,
    Words,
    leaves,
)
from archive.search_relevance import Signal
from archive.sqlite_schema import NOWHERE, address_token, column_of, mark_token, word_token
from mailstore.instants import microseconds
from mailstore.message import MessageId

Parameter: TypeAlias = str | int

_WITH_WORDS = "m.number IN (SELECT rowid FROM words WHERE words MATCH ?)"
SAME_FOR_ALL = "0"
_AMONG = "m.id IN (SELECT value FROM json_each(?))"


@dataclass(frozen=True)
class Question:
    """What a message must be: ``match`` its words (None: any), ``conditions`` of SQL over ``messages AS m``.

    ``received_from`` and ``received_before`` bound the time of receipt, in microseconds since 1970. ``score`` is SQL
    for how relevant a message is, by which they come first; the same for all where only the time counts.
    """

    match: str | None = field(default=None, repr=False)
    conditions: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = field(default=(), repr=False)
    received_from: int | None = None
    received_before: int | None = None
    score: str = SAME_FOR_ALL
    score_parameters: tuple[Parameter, ...] = field(default=(), repr=False)

    def may_be_within(self, first: int, last: int) -> bool:
        """False when no message received from ``first`` to ``last`` can be meant."""
        is_late_enough = self.received_from is None or last >= self.received_from
        return is_late_enough and (self.received_before is None or first < self.received_before)

    def asked_within(self, first: int, last: int) -> Question:
        """The same of messages received from ``first`` to ``last``: bounds that all of these keep are left out."""
        asked = replace(self, received_from=None, received_before=None)
        if self.received_from is not None and self.received_from > first:
            asked = asked.narrowed("m.received_at >= ?", self.received_from)
        if self.received_before is not None and self.received_before <= last:
            asked = asked.narrowed("m.received_at < ?", self.received_before)
        return asked

    def narrowed(self, condition: str, *parameters: Parameter) -> Question:
        """One condition more."""
        return replace(self, conditions=(*self.conditions, condition), parameters=(*self.parameters, *parameters))


EVERYTHING = Question()
"""What every message answers."""


@dataclass(frozen=True)
class _Expression:
    """Messages with these words, or all others when it is ``negated``: FTS5 has no NOT that stands alone."""

    text: str = field(repr=False)
    negated: bool = False


@dataclass(frozen=True)
class _Sql:
    condition: str
    parameters: tuple[Parameter, ...] = field(default=(), repr=False)


def question_of(query: Query, *, among: Collection[MessageId] | None = None) -> Question:
    """What to ask. With ``among`` only these messages are meant."""
    parts = query.queries if isinstance(query, AllOf) else (query,)
    question = Question()
    for part in parts:
        match part:
            case ReceivedFrom(instant):
                question = _from_at_least(question, microseconds(instant))
            case ReceivedBefore(instant):
                question = _before_at_most(question, microseconds(instant))
            case _ if not _is_of_words(part):
                sql = _sql(part)
                question = question.narrowed(sql.condition, *sql.parameters)
    question = _with_words(question, [part for part in parts if _is_of_words(part)])
    return question if among is None else question.narrowed(_AMONG, json.dumps(sorted(among)))


def scored(question: Question, signals: Sequence[Signal]) -> Question:
    """The same question, with how relevant a message is for what was asked."""
    if not signals:
        return question
    score = " + ".join(_scored(signal) for signal in signals)
    tokens = tuple(_token(condition) for signal in signals for condition, _ in signal)
    return replace(question, score=score, score_parameters=tokens)


def _scored(signal: Signal) -> str:
    """The weight of the first of its conditions that a message meets."""
    return f"CASE {' '.join(f'WHEN {_WITH_WORDS} THEN {weight:d}' for _, weight in signal)} ELSE 0 END"


def address_question(address: str) -> Question:
    """Which messages this address takes part in."""
    return Question(match=_token(AddressIs(Field.PARTICIPANT, address)))


def _from_at_least(question: Question, instant: int) -> Question:
    return replace(question, received_from=max(instant, question.received_from or instant))


def _before_at_most(question: Question, instant: int) -> Question:
    return replace(question, received_before=min(instant, question.received_before or instant))


def _with_words(question: Question, parts: Sequence[Query]) -> Question:
    if not parts:
        return question
    expression = _all_of(map(_expression, parts))
    if expression.negated:
        return question.narrowed(f"NOT {_WITH_WORDS}", expression.text)
    return replace(question, match=expression.text)


def _is_of_words(query: Query) -> bool:
    return not any(isinstance(leaf, IdIs | ReceivedFrom | ReceivedBefore) for leaf in leaves(query))


def _sql(query: Query) -> _Sql:
    """A condition in SQL. What in it is of words alone becomes one FTS5 expression."""
    if _is_of_words(query):
        expression = _expression(query)
        return _Sql(f"{'NOT ' if expression.negated else ''}{_WITH_WORDS}", (expression.text,))
    match query:
        case Not(inner):
            found = _sql(inner)
            return _Sql(f"NOT ({found.condition})", found.parameters)
        case AllOf(queries):
            return _joined(" AND ", queries)
        case AnyOf(queries):
            ids = [part.id for part in queries if isinstance(part, IdIs)]
            others = tuple(part for part in queries if not isinstance(part, IdIs))
            return _joined(" OR ", others, *([_Sql(_AMONG, (json.dumps(ids),))] if ids else []))
        case _:
            return _fact(query)


def _fact(condition: Query) -> _Sql:
    """What is no word: an id or a time of receipt."""
    match condition:
        case IdIs(message):
            return _Sql("m.id = ?", (message,))
        case ReceivedFrom(instant):
            return _Sql("m.received_at >= ?", (microseconds(instant),))
        case ReceivedBefore(instant):
            return _Sql("m.received_at < ?", (microseconds(instant),))
        case _:
            raise AssertionError(condition)


def _joined(how: str, queries: Sequence[Query], *more: _Sql) -> _Sql:
    """Conditions joined; those of words alone come as one, so that FTS5 joins them itself."""
    of_words = tuple(query for query in queries if _is_of_words(query))
    together = AllOf if how == " AND " else AnyOf
    found = [*more, *(_sql(query) for query in queries if query not in of_words)]
    if of_words:
        found.append(_sql(together(of_words)))
    conditions = how.join(f"({each.condition})" for each in found)
    return _Sql(conditions, tuple(parameter for each in found for parameter in each.parameters))


def _expression(query: Query) -> _Expression:
    match query:
        case Not(inner):
            return _opposite(_expression(inner))
        case AllOf(queries):
            return _all_of(map(_expression, queries))
        case AnyOf(queries):
            return _opposite(_all_of(_opposite(_expression(part)) for part in queries))
        case _:
            return _Expression(_token(query))


def _token(condition: Query) -> str:
    """One condition as FTS5 is asked for it."""
    match condition:
        case Words(where, words):
            return _in_column(column_of(where), " ".join(word_token(where, word) for word in words))
        case Prefix(where, start):
            return f"{_in_column(column_of(where), word_token(where, start))} *"
        case AddressIs(where, address):
            return _quoted(address_token(where, address))
        case CategoryIs() | HasAttachment() | SenderDomainIs() | DirectionIs():
            return _quoted(mark_token(condition))
        case _:
            raise AssertionError(condition)


def _opposite(expression: _Expression) -> _Expression:
    return replace(expression, negated=not expression.negated)


def _all_of(expressions: Iterable[_Expression]) -> _Expression:
    """What all ask for; by De Morgan's laws this is every way to join."""
    found = list(expressions)
    if not found:
        return _Expression(_quoted(NOWHERE), negated=True)
    if len(found) == 1:
        return found[0]
    wanted = " AND ".join(each.text for each in found if not each.negated)
    unwanted = " OR ".join(each.text for each in found if each.negated)
    if not wanted:
        return _Expression(f"({unwanted})", negated=True)
    return _Expression(f"(({wanted}) NOT ({unwanted}))" if unwanted else f"({wanted})")


def _in_column(column: str, tokens: str) -> str:
    return f"{column} : {_quoted(tokens)}" if column else _quoted(tokens)


def _quoted(tokens: str) -> str:
    """An FTS5 string. No token holds a quotation mark."""
    return f'"{tokens}"'
