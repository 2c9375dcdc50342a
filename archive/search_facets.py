"""Core: facets: what a result is made of, counted, and each count as a condition that narrows a query to it.

A count of a facet is the number of results that the query has with that facet added: both come from the same facts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import assert_never

from archive.index_document import Direction, Field, IndexDocument
from archive.query_conditions import (
    AddressIs,
    AllOf,
    CategoryIs,
    DirectionIs,
    HasAttachment,
    Not,
    Query,
    ReceivedBefore,
    ReceivedFrom,
    SenderDomainIs,
)
from archive.words import fold
from mailstore.addresses import BadAddressError, parse_mailbox
from mailstore.errors import RefusedError

YES, NO = "yes", "no"
LONGEST_VALUE = 320
"""Characters: a mail address is the longest value there is (RFC 3696 erratum 1690)."""

LAST_YEAR = 9_998


class BadFacetError(RefusedError):
    """A facet cannot have this value."""

    code = "bad_facet"


class Facet(StrEnum):
    """What results are counted by. DOMAIN: the sender's. MAILBOX: an address of ours that takes part."""

    YEAR = "year"
    DIRECTION = "direction"
    ATTACHMENT = "attachment"
    CATEGORY = "category"
    MAILBOX = "mailbox"
    DOMAIN = "domain"


Chosen = Mapping[Facet, str]
"""The facets that a query is narrowed by, one value each."""


@dataclass(frozen=True)
class FacetCounts:
    """How many of ``total`` results have which value of which facet; values that none has are left out.

    Unless they are ``is_complete``, the time was over: they are counts of the newest results, and true as "at least".
    """

    total: int
    counts: Mapping[Facet, Mapping[str, int]] = field(repr=False)
    is_complete: bool = True


def counts_of(tallies: Iterable[tuple[Facet, str, int]], *, total: int, is_complete: bool = True) -> FacetCounts:
    """Counts put together from what several parts of an index counted."""
    counts: dict[Facet, Counter[str]] = {facet: Counter() for facet in Facet}
    for facet, value, count in tallies:
        if count and value:
            counts[facet][value] += count
    return FacetCounts(total, counts, is_complete=is_complete)


def condition_of(facet: Facet, value: str) -> Query:
    """What a message must be to be counted under this value. Raises ``BadFacetError``."""
    if len(value) > LONGEST_VALUE or not value.isprintable():
        raise _bad(facet)
    match facet:
        case Facet.YEAR:
            return _year(value)
        case Facet.DIRECTION:
            return _direction(value)
        case Facet.ATTACHMENT:
            if value not in {YES, NO}:
                raise _bad(facet)
            return HasAttachment() if value == YES else Not(HasAttachment())
        case Facet.CATEGORY:
            return CategoryIs(fold(value))
        case Facet.DOMAIN:
            return SenderDomainIs(_domain(value))
        case Facet.MAILBOX:
            return AddressIs(Field.PARTICIPANT, _address(value))
        case _:
            assert_never(facet)


def narrowed(query: Query, chosen: Chosen) -> Query:
    """The query with the chosen facets added."""
    more = tuple(condition_of(facet, value) for facet, value in sorted(chosen.items()))
    return AllOf((query, *more)) if more else query


def facets_of(document: IndexDocument, *, mailboxes: Collection[str]) -> list[tuple[Facet, str]]:
    """Every facet of one message, among the mailboxes that are asked about."""
    single = [
        (Facet.YEAR, f"{document.received_at.astimezone(UTC).year:04}"),
        (Facet.DIRECTION, document.direction.value),
        (Facet.ATTACHMENT, YES if document.has_attachment else NO),
        (Facet.CATEGORY, fold(document.category)),
        (Facet.DOMAIN, document.sender_domain),
    ]
    taking_part = document.addresses.get(Field.PARTICIPANT, frozenset[str]())
    return [
        *filter(lambda each: each[1], single),
        *((Facet.MAILBOX, each) for each in mailboxes if each in taking_part),
    ]


def _year(value: str) -> Query:
    if not (value.isascii() and value.isdigit() and len(value) == len("2026") and 0 < int(value) <= LAST_YEAR):
        raise _bad(Facet.YEAR)
    first, after = (datetime(year, 1, 1, tzinfo=UTC) for year in (int(value), int(value) + 1))
    return AllOf((ReceivedFrom(first), ReceivedBefore(after)))


def _direction(value: str) -> Query:
    try:
        return DirectionIs(Direction(value))
    except ValueError:
        raise _bad(Facet.DIRECTION) from None


def _domain(value: str) -> str:
    """The canonical spelling. Mail has domains that no strict reader takes: those are as they stand there."""
    try:
        return parse_mailbox(f"anybody@{value}").canonical.rpartition("@")[2]
    except BadAddressError:
        return value


def _address(value: str) -> str:
    try:
        return parse_mailbox(value).canonical
    except BadAddressError:
        raise _bad(Facet.MAILBOX) from None


def _bad(facet: Facet) -> BadFacetError:
    return BadFacetError(f"there is no such {facet.value}", fix="Choose one that the search page shows.")
