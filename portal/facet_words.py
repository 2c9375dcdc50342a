"""Core: facets in words that a person reads, each value with its count and the address that narrows to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from archive.search_facets import NO, YES, Chosen, Facet, FacetCounts
from mailstore.addresses import display
from portal.search_address import SearchAddress

MOST_VALUES = 8
"""Values of one facet that are shown; the others are found by a word or a narrower question."""

TITLES: Mapping[Facet, str] = {
    Facet.YEAR: "Year",
    Facet.DIRECTION: "Direction",
    Facet.ATTACHMENT: "Attachment",
    Facet.CATEGORY: "Category",
    Facet.MAILBOX: "Mailbox",
    Facet.DOMAIN: "Sender's domain",
}

_WORDS: Mapping[tuple[Facet, str], str] = {
    (Facet.DIRECTION, "received"): "Received",
    (Facet.DIRECTION, "sent"): "Sent by staff",
    (Facet.DIRECTION, "system"): "Written by Strongroom",
    (Facet.ATTACHMENT, YES): "With a file",
    (Facet.ATTACHMENT, NO): "Without",
    (Facet.CATEGORY, "unclassified"): "Not classified",
}


@dataclass(frozen=True)
class FacetValue:
    """One value: what it is called, how many results have it, and where it leads."""

    words: str = field(repr=False)
    count: int
    at: str = field(repr=False)


@dataclass(frozen=True)
class FacetGroup:
    """One facet with the values that are shown; ``more`` are not."""

    title: str
    values: tuple[FacetValue, ...]
    more: int = 0


def groups(address: SearchAddress, counts: FacetCounts, names: Mapping[str, str]) -> tuple[FacetGroup, ...]:
    """The facets that a search may be narrowed by. One that is chosen already, or says nothing, is left out.

    ``names`` are the people of the mailboxes, by address.
    """
    found = (
        _group(address, facet, counts.counts.get(facet, {}), names)
        for facet in Facet
        if facet not in address.asked.chosen
    )
    return tuple(group for group in found if group.values)


def chips(address: SearchAddress, names: Mapping[str, str]) -> tuple[tuple[str, str, str], ...]:
    """The chosen facets: title, value in words, and the address without it."""
    chosen: Chosen = address.asked.chosen
    return tuple(
        (TITLES[facet], words_of(facet, chosen[facet], names), address.with_facet(facet, "").at())
        for facet in Facet
        if facet in chosen
    )


def words_of(facet: Facet, value: str, names: Mapping[str, str]) -> str:
    """What a value is called."""
    if facet is Facet.MAILBOX and value in names:
        return display(f"{names[value]} ({value})")
    return _WORDS.get((facet, value)) or display(value)


def _group(address: SearchAddress, facet: Facet, counts: Mapping[str, int], names: Mapping[str, str]) -> FacetGroup:
    by_count = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    shown = by_count[:MOST_VALUES]
    if facet is Facet.YEAR:
        shown = sorted(shown, reverse=True)
    values = (FacetValue(words_of(facet, value, names), count, _at(address, facet, value)) for value, count in shown)
    return FacetGroup(TITLES[facet], tuple(values), len(by_count) - len(shown))


def _at(address: SearchAddress, facet: Facet, value: str) -> str:
    return address.with_facet(facet, value).at()
