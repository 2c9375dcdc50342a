"""Core: the address of a search page: all of its state, so that it can be shared, kept and gone back to."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from urllib.parse import urlencode

from archive.saved_search import MOST_ITEMS, AskedSearch
from archive.search_facets import Facet
from archive.search_relevance import Order
from mailstore.instants import instant_of, microseconds

PAGE_ITEMS = 25
LAST_PAGE = MOST_ITEMS // PAGE_ITEMS
_MICROSECONDS = re.compile(r"[0-9]{1,16}")

Parameter = Callable[[str], str]
"""A value of the address, empty when it is not there."""


@dataclass(frozen=True)
class SearchAddress:
    """What is asked, which page of it, and since when results are new to the one who asks.

    ``saved`` is the saved search that was opened, for its name alone: what is asked stands in the address itself.
    """

    asked: AskedSearch
    page: int = 1
    new_since: datetime | None = None
    saved: str = ""

    @classmethod
    def read(cls, parameter: Parameter, page: int) -> SearchAddress:
        """The address that a browser asks for. What no page of ours would write is left out."""
        chosen = {facet: value for facet in Facet if (value := parameter(facet.value).strip())}
        is_relevant = parameter("order") == Order.RELEVANCE
        asked = AskedSearch(_words(parameter("q")), chosen, Order.RELEVANCE if is_relevant else Order.NEWEST)
        since, saved = parameter("since"), parameter("saved")
        return cls(
            asked,
            min(page, LAST_PAGE),
            instant_of(int(since)) if _MICROSECONDS.fullmatch(since) else None,
            saved if re.fullmatch(r"[a-z2-7]{26}", saved) else "",
        )

    @property
    def text(self) -> str:
        """The words in the box."""
        return self.asked.text

    @property
    def offset(self) -> int:
        """How many results lie before this page."""
        return (self.page - 1) * PAGE_ITEMS

    def state(self) -> dict[str, str]:
        """What stands in the address, but for the page."""
        told = {"q": self.asked.text, **{facet.value: value for facet, value in sorted(self.asked.chosen.items())}}
        told["order"] = "" if self.asked.order is Order.NEWEST else self.asked.order.value
        told["since"] = str(microseconds(self.new_since)) if self.new_since else ""
        told["saved"] = self.saved
        return {name: value for name, value in told.items() if value}

    def at(self, path: str = "/archive", *, page: int | None = None) -> str:
        """This search at another page of it, before a record, or as a file."""
        wanted = self.page if page is None else page
        told = self.state() | ({"page": str(wanted)} if wanted > 1 else {})
        return f"{path}?{urlencode(told)}" if told else path

    def with_facet(self, facet: Facet, value: str) -> SearchAddress:
        """Narrowed by this value, or without the facet when the value is empty. It begins at the first page."""
        kept = {name: chosen for name, chosen in self.asked.chosen.items() if name is not facet}
        more = {facet: value} if value else {}
        return replace(self, asked=replace(self.asked, chosen=kept | more), page=1)

    def ordered(self, order: Order) -> SearchAddress:
        """In another order, from the first page on."""
        return replace(self, asked=replace(self.asked, order=order), page=1)


@dataclass(frozen=True)
class Neighbours:
    """The results before and after the one that is open, on the same page of them."""

    before: str = field(default="", repr=False)
    after: str = field(default="", repr=False)


def neighbours(address: SearchAddress, found: list[str], current: str) -> Neighbours:
    """The addresses of the neighbours of ``current``; none where it is not among the results."""
    if current not in found:
        return Neighbours()
    place = found.index(current)
    before = found[place - 1] if place else ""
    after = found[place + 1] if place + 1 < len(found) else ""
    return Neighbours(*(address.at(f"/archive/{each}") if each else "" for each in (before, after)))


def _words(text: str) -> str:
    return " ".join(text.split())
