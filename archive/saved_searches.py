"""Saved searches: each belongs to one person, says what is new since that person last looked, and dies when told to.

What is new is what came into the archive since, not what was received since: mail that waited at a sealed door is not
overlooked. Nothing is new before it is in the index, and each message is counted as new by one run only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter

from sqlalchemy import Connection

from archive import archive_records, saved_search_records
from archive.saved_search import AskedSearch, BadSavedSearchError, SavedDetails, saved_details
from archive.saved_search_records import SavedRecord
from archive.sealed_details import SealedDetails
from archive.search_index import QueryTooWideError, SearchIndex
from archive.two_persons import KEEPERS, require_role
from mailstore import audit_trail
from mailstore.actor import SYSTEM, Actor
from mailstore.audit_entry import AuditFact, Detail
from mailstore.database import Database
from mailstore.errors import RefusedError, TamperedError
from mailstore.message import ID_BYTES, AccountId, identifier_from
from mailstore.sealed_format import Randomness
from mailstore.wall_clock import Clock

DETAILS = "saved-search"
ADDED = "saved_search.added"
CHANGED = "saved_search.changed"
REMOVED = "saved_search.removed"
OPENED = "saved_search.opened"
RAN = "saved_search.ran"

MOST_SAVED = 100
"""Searches of one person."""

DAY = timedelta(days=1)
SETTLED_AFTER = timedelta(minutes=1)
"""A message that is being captured right now may carry a moment that is past already; its row follows within this."""

_AT_ONCE = 5_000

ActorOf = Callable[[AccountId], Actor | None]
"""Who an account is now; None when it is closed or gone."""

Notify = Callable[[AccountId, Sequence[int]], None]
"""Told whose searches found how many new messages each. Numbers alone: a name may name a patient."""


@dataclass(frozen=True)
class SavedSearch:
    """A saved search, opened for its owner."""

    id: str
    name: str = field(repr=False)
    asked: AskedSearch = field(repr=False)
    is_daily: bool
    created_at: datetime
    looked_until: datetime
    ran_at: datetime | None
    new_messages: int
    is_counted_whole: bool


class SavedSearches:
    """What the pages and commands ask of saved searches, and their daily run."""

    def __init__(
        self, *, database: Database, index: SearchIndex, details: SealedDetails, clock: Clock, randomness: Randomness
    ) -> None:
        self._database = database
        self._index = index
        self._details = details
        self._clock = clock
        self._randomness = randomness

    def add(self, actor: Actor, name: str, asked: AskedSearch, *, is_daily: bool = False) -> SavedSearch:
        """Save a search. Raises ``NotPermittedError``, ``BadSavedSearchError``, and ``QueryError`` with its place."""
        require_role(actor, KEEPERS)
        told, now = saved_details(name, asked), self._clock.now()
        id_ = identifier_from(self._randomness(ID_BYTES))
        with self._database.write() as connection:
            if saved_search_records.count_of(connection, actor.account) >= MOST_SAVED:
                raise BadSavedSearchError(f"{MOST_SAVED} searches are saved already", fix="Remove one of them first.")
            record = SavedRecord(
                id=id_,
                owner=actor.account,
                details_sealed=self._details.seal(DETAILS, id_, told.to_bytes()),
                is_daily=is_daily,
                created_at=now,
                looked_until=_settled_until(connection, now),
            )
            saved_search_records.insert(connection, record)
            self._note(connection, ADDED, actor, id_, {"is_daily": int(is_daily)})
        return self._opened(record)

    def all(self, actor: Actor) -> list[SavedSearch]:
        """What this person saved, oldest first."""
        require_role(actor, KEEPERS)
        with self._database.read() as connection:
            return [self._opened(record) for record in saved_search_records.of_owner(connection, actor.account)]

    def show(self, actor: Actor, saved: str) -> SavedSearch:
        """One search of this person. Raises ``NotFoundError``, also for one of somebody else."""
        require_role(actor, KEEPERS)
        with self._database.read() as connection:
            return self._opened(saved_search_records.own(connection, actor.account, saved))

    def rename(self, actor: Actor, saved: str, name: str) -> None:
        """Give a search another name."""
        require_role(actor, KEEPERS)
        with self._database.write() as connection:
            record = saved_search_records.own(connection, actor.account, saved)
            told = saved_details(name, self._opened(record).asked)
            sealed = self._details.seal(DETAILS, saved, told.to_bytes())
            saved_search_records.set_details(connection, saved, sealed=sealed)
            self._note(connection, CHANGED, actor, saved, {"what": "name"})

    def run_daily(self, actor: Actor, saved: str, *, is_daily: bool) -> None:
        """Have a search run every day, or not any more."""
        require_role(actor, KEEPERS)
        with self._database.write() as connection:
            saved_search_records.own(connection, actor.account, saved)
            saved_search_records.set_daily(connection, saved, is_daily=is_daily)
            self._note(connection, CHANGED, actor, saved, {"what": "daily", "is_daily": int(is_daily)})

    def remove(self, actor: Actor, saved: str) -> None:
        """Forget a search."""
        require_role(actor, KEEPERS)
        with self._database.write() as connection:
            saved_search_records.own(connection, actor.account, saved)
            saved_search_records.remove(connection, saved)
            self._note(connection, REMOVED, actor, saved)

    def look(self, actor: Actor, saved: str) -> SavedSearch:
        """Its owner looks at its results now. The answer says until when they had looked before."""
        require_role(actor, KEEPERS)
        with self._database.write() as connection:
            record = saved_search_records.own(connection, actor.account, saved)
            until = max(record.looked_until, _settled_until(connection, self._clock.now()))
            saved_search_records.set_looked(connection, saved, until=until)
            self._note(connection, OPENED, actor, saved)
        return self._opened(record)

    def run_due(self, actor_of: ActorOf, notify: Notify) -> int:
        """Run what is due, for owners who may still search; answers how many searches ran.

        An owner is told first and the run is recorded then: cut off in between, they are told twice. What is wrong
        with one owner's searches is raised when those of all others have run.
        """
        with self._database.read() as connection:
            due = saved_search_records.due(connection, self._clock.now() - DAY)
        ran, failure = 0, None
        for owner, records in groupby(due, key=attrgetter("owner")):
            actor = actor_of(owner)
            if actor is None or actor.role not in KEEPERS:
                continue
            try:
                ran += self._run(owner, list(records), notify)
            except (TamperedError, RefusedError) as error:
                failure = error
        if failure is not None:
            raise failure
        return ran

    def _run(self, owner: AccountId, records: Sequence[SavedRecord], notify: Notify) -> int:
        counts = [self._count_new(record) for record in records]
        if any(new > record.new_messages for record, (new, _) in zip(records, counts, strict=True)):
            notify(owner, [new for new, _ in counts if new])
        now = self._clock.now()
        with self._database.write() as connection:
            for record, (new, is_whole) in zip(records, counts, strict=True):
                saved_search_records.set_ran(
                    connection, record.id, now=now, new_messages=new, is_counted_whole=is_whole
                )
                self._note(connection, RAN, SYSTEM, record.id, {"new": new})
        return len(records)

    def _count_new(self, record: SavedRecord) -> tuple[int, bool]:
        """How many messages that its owner has not seen it finds, and whether all could be looked at."""
        query = self._opened(record).asked.query()
        with self._database.read() as connection:
            until = _settled_until(connection, self._clock.now())
            fresh = archive_records.captured_within(connection, record.looked_until, until)
        found, is_whole = 0, True
        for begin in range(0, len(fresh), _AT_ONCE):
            try:
                hits = self._index.search(query, limit=0, among=fresh[begin : begin + _AT_ONCE])
            except QueryTooWideError:
                return found, False
            found += hits.total
            is_whole = is_whole and hits.is_complete
        return found, is_whole

    def _opened(self, record: SavedRecord) -> SavedSearch:
        told = SavedDetails.from_bytes(self._details.open(DETAILS, record.id, record.details_sealed))
        return SavedSearch(
            id=record.id,
            name=told.name,
            asked=told.asked,
            is_daily=record.is_daily,
            created_at=record.created_at,
            looked_until=record.looked_until,
            ran_at=record.ran_at,
            new_messages=record.new_messages,
            is_counted_whole=record.is_counted_whole,
        )

    def _note(self, connection: Connection, event: str, actor: Actor, saved: str, detail: Detail | None = None) -> None:
        fact = AuditFact(event, actor.account, saved, detail or {})
        audit_trail.append(connection, [fact], now=self._clock.now())


def _settled_until(connection: Connection, now: datetime) -> datetime:
    """Everything captured before this moment is in the index, or never will be."""
    settled = now - SETTLED_AFTER
    waiting = archive_records.oldest_unindexed_at(connection)
    return min(settled, waiting) if waiting else settled
