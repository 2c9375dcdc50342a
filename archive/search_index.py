"""The port of the search index: what every engine offers, and what it may not do.

An index is a cache. It answers exactly as ``query_conditions.matches`` answers on the messages, it holds nothing of
a message that was removed, and it can be made anew at any time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from archive.index_document import IndexDocument
from archive.query_conditions import Query
from archive.search_facets import FacetCounts
from archive.search_relevance import Order
from mailstore.errors import LimitExceededError, StrongroomError
from mailstore.message import MessageId


class QueryTooWideError(LimitExceededError):
    """The query would read too large a part of the index; a narrower one will be answered."""

    code = "query_too_wide"


class IndexOutdatedError(StrongroomError):
    """The index was made with another definition of a word; its answers would not be those of the messages."""

    code = "index_outdated"


@dataclass(frozen=True)
class Hit:
    """One message that the query asks for."""

    id: MessageId
    received_at: datetime


@dataclass(frozen=True)
class Hits:
    """``total`` messages match; ``items`` are the first of them in the order that was asked for.

    When the time was over before all were asked, ``is_complete`` is false: then there may be more, older ones.
    """

    total: int
    items: tuple[Hit, ...]
    is_complete: bool = True


class SearchIndex(Protocol):
    """Finds messages by query. One writer at a time over all processes, any number of readers."""

    def add(self, documents: Iterable[IndexDocument]) -> None:
        """Index these, durably when this returns. A message that is there already is replaced."""
        ...

    def remove(self, messages: Collection[MessageId], *, more_follow: bool = False) -> None:
        """Take these out so that no word of theirs is left in any file, durably when this returns.

        With ``more_follow`` they are not found any more from now on; that none of their words is left is then promised
        by the next removal without it, also of messages that are out already.
        """
        ...

    def search(
        self, query: Query, *, limit: int, among: Collection[MessageId] | None = None, order: Order = Order.NEWEST
    ) -> Hits:
        """The first ``limit`` messages that match, of ``among`` if given: the newest, or the most relevant.

        A query that takes too much time is refused with ``QueryTooWideError``, or answered in part and marked so.
        """
        ...

    def facets(self, query: Query, *, mailboxes: Collection[str], seconds: float) -> FacetCounts:
        """How many of the messages that match have which facet, as ``search_facets.facets_of`` says of each.

        ``mailboxes``: the canonical addresses that are counted. After ``seconds`` it answers with what it has counted,
        the newest messages first, and says that this is not all.
        """
        ...

    def document_count(self) -> int:
        """How many messages the index holds."""
        ...

    def verify(self) -> None:
        """Read all of it, once for what has not changed since. Raises ``TamperedError`` when it is damaged."""
        ...

    def clear(self) -> None:
        """Remove everything, also what is damaged or outdated."""
        ...
