"""Core: a search that somebody saved: its name, what it asks, and how its results come.

The words of a query may name patients, and so may the name, so both are sealed together.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from archive import search_facets, search_query
from archive.query_conditions import AllOf, Query
from archive.search_facets import Chosen, Facet
from archive.search_relevance import Order
from mailstore.errors import RefusedError, TamperedError

NAME_CHARACTERS_MAX = 100

MOST_ITEMS = 1_000
"""Results of one search that can be leafed through."""


class BadSavedSearchError(RefusedError):
    """A search cannot be saved like this."""

    code = "bad_saved_search"


class NothingAskedError(RefusedError):
    """There are neither words nor a facet to search for."""

    code = "nothing_asked"


@dataclass(frozen=True)
class AskedSearch:
    """What is searched for: words in the query language, narrowed by facets, and in which order results come."""

    text: str = field(default="", repr=False)
    chosen: Chosen = field(default_factory=dict, repr=False)
    order: Order = Order.NEWEST

    @property
    def is_empty(self) -> bool:
        """True when nothing is asked."""
        return not self.text.strip() and not self.chosen

    def query(self) -> Query:
        """What it means. Raises ``QueryError``, ``BadFacetError`` and ``NothingAskedError``."""
        if self.is_empty:
            raise NothingAskedError("nothing is asked", fix="Write a word, or choose a facet.")
        conditions = [search_facets.condition_of(facet, value) for facet, value in sorted(self.chosen.items())]
        if self.text.strip():
            conditions.insert(0, search_query.parse(self.text))
        return conditions[0] if len(conditions) == 1 else AllOf(tuple(conditions))


@dataclass(frozen=True)
class SavedDetails:
    """What is sealed of a saved search."""

    name: str = field(repr=False)
    asked: AskedSearch = field(repr=False)

    def to_bytes(self) -> bytes:
        """As it is sealed: JSON."""
        told = {"name": self.name, "query": self.asked.text, "order": self.asked.order, "facets": self.asked.chosen}
        return json.dumps(told, ensure_ascii=False, sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> SavedDetails:
        """What ``to_bytes`` gave. Raises ``TamperedError`` when it cannot be understood."""
        try:
            told = json.loads(data)
            chosen = {Facet(facet): str(value) for facet, value in told["facets"].items()}
            return cls(str(told["name"]), AskedSearch(str(told["query"]), chosen, Order(told["order"])))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TamperedError("the details of a saved search cannot be understood") from error


def saved_details(name: str, asked: AskedSearch) -> SavedDetails:
    """The details of a search that may be saved. Raises as ``AskedSearch.query`` does, and ``BadSavedSearchError``."""
    trimmed = " ".join(name.split())
    if not 0 < len(trimmed) <= NAME_CHARACTERS_MAX:
        raise BadSavedSearchError(f"a saved search needs a name of at most {NAME_CHARACTERS_MAX} characters")
    if any("\ud800" <= character <= "\udfff" for character in trimmed):
        raise BadSavedSearchError("the name of a saved search holds what is no text")
    asked.query()
    return SavedDetails(trimmed, asked)
