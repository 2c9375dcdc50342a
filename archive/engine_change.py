"""Changes the search engine: builds the other index beside the living one, compares both, and swaps at once.

Everything may be cut off and begun again: what is built already stays, the rows say which engine answers, and
searching goes on with it until the other one has proved to give the same answers.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from archive import archive_records, engine_records
from archive.chosen_index import ChosenIndex
from archive.engine_records import Engine
from archive.evidence import DocumentSource
from archive.index_care import RebuildMark
from archive.index_document import ADDRESS_FIELDS, Field, IndexDocument
from archive.intake import Progress
from archive.query_conditions import AddressIs, AllOf, AnyOf, IdIs, Not, Prefix, Query, Words
from archive.search_index import IndexOutdatedError, QueryTooWideError, SearchIndex
from mailstore import audit_trail, message_records
from mailstore.audit_entry import AuditFact
from mailstore.database import Database
from mailstore.deposit import NEIGHBOURS
from mailstore.errors import DestroyedError, NotFoundError, RefusedError, TamperedError, WrongKeyError
from mailstore.failpoint import reached
from mailstore.message import AccountId, MessageId, identifier_from
from mailstore.wall_clock import Clock

CHANGED = "index.engine_changed"
BATCH = 500
"""Messages that are opened and put into the new index together."""

SAMPLED_MESSAGES = 12
_TRIES = 5
_PAUSE_SECONDS = 0.2
_PREFIX_LETTERS = 4
_SHOWN = 100


class EnginesDifferError(RefusedError):
    """The new index does not answer as the one in use; nothing was changed."""

    code = "engines_differ"


@dataclass(frozen=True)
class Times:
    """How long one engine took for the sample of queries, in milliseconds."""

    p50_ms: float
    p95_ms: float


@dataclass(frozen=True)
class Comparison:
    """What both engines were asked before the change: ``queries`` of them, with the same answers."""

    messages: int
    queries: int
    before: Times
    after: Times


class EngineChange:
    """Builds, compares and swaps. One process at a time: ``mark`` is held meanwhile and says how far it is."""

    def __init__(
        self, *, database: Database, index: ChosenIndex, documents: DocumentSource, clock: Clock, mark: RebuildMark
    ) -> None:
        self._database = database
        self._index = index
        self._documents = documents
        self._clock = clock
        self._mark = mark

    def run(self, engine: Engine, *, actor: AccountId, progress: Progress) -> Comparison | None:
        """Change to this engine; None when it is in use already.

        Raises ``IndexBusyError`` when somebody else is at it, and ``EnginesDifferError``.
        """
        with self._mark.held() as tell:

            def told(done: int, total: int) -> None:
                tell(done, total)
                progress(done, total)

            before = self._index.engines()
            if before.living is engine:
                self._given_up()
                return None
            self._begin(engine)
            self._fill(before.living, engine, told)
            comparison = self._compared(before.living, engine)
            self._swap(before.living, engine, actor, told)
            reached("engine_change.after_swap")
            self._index.clear_left_over()
            return comparison

    def _begin(self, engine: Engine) -> None:
        """From now on every writer writes to both; who began before that is waited for."""
        with self._database.write() as connection:
            engine_records.begin(connection, engine, now=self._clock.now())
        reached("engine_change.after_begin")
        with self._index.writers_turn(alone=True):
            try:
                self._index.of(engine).verify()
            except (TamperedError, IndexOutdatedError):
                self._index.of(engine).clear()

    def _given_up(self) -> None:
        """The engine in use stays; what was being built beside it, or was left over, goes."""
        with self._database.write() as connection:
            engine_records.give_up(connection)
        with self._index.writers_turn(alone=True):
            self._index.clear_left_over()

    def _fill(self, before: Engine, engine: Engine, told: Progress) -> None:
        """Put into the new index what it lacks, oldest first. What it holds too much of goes with all the rest."""
        self._put_missing(engine, told)
        if self._surplus(before, engine) > 0:
            self._index.of(engine).clear()
            self._put_missing(engine, told)

    def _surplus(self, before: Engine, engine: Engine) -> int:
        """By how many messages the new index holds more, with every writer out of the way."""
        with self._index.writers_turn(alone=True):
            return self._index.of(engine).document_count() - self._index.of(before).document_count()

    def _put_missing(self, engine: Engine, told: Progress) -> None:
        new, done = self._index.of(engine), 0
        for page in self._pages():
            there = _found(new, page)
            missing = [message for message in page if message not in there]
            if missing:
                self._put(new, missing)
                reached("engine_change.after_batch")
            done += len(page)
            told(done, max(done, self._indexed()))

    def _pages(self) -> Iterator[list[MessageId]]:
        last: tuple[datetime, str] | None = None
        while True:
            with self._database.read() as connection:
                page = archive_records.indexed_in_order(connection, after=last, limit=BATCH)
            if not page:
                return
            yield [message for _, message in page]
            last = page[-1]

    def _put(self, new: SearchIndex, messages: Sequence[MessageId]) -> None:
        """Index these; what was disposed of while it was open here leaves again."""
        documents = list(self._read(messages))
        with self._index.writers_turn():
            new.add(documents)
            with self._database.read() as connection:
                living = {entry.message for entry in archive_records.entries(connection, messages)}
            new.remove([document.id for document in documents if document.id not in living])

    def _read(self, messages: Sequence[MessageId]) -> Iterator[IndexDocument]:
        with self._database.read() as connection:
            categories = {entry.message: entry.category for entry in archive_records.entries(connection, messages)}
            stored = message_records.stored_many(connection, list(categories))
        for each in stored:
            try:
                yield self._documents.read(each).document.in_category(categories[each.id])
            except (TamperedError, WrongKeyError, DestroyedError, NotFoundError):
                continue

    def _compared(self, old: Engine, new: Engine) -> Comparison:
        """Ask both for a sample of what this archive's own messages say."""
        queries = [query for document in self._sample() for query in queries_about(document)]
        times: list[tuple[float, float]] = []
        for query in queries:
            times += self._asked_both(self._index.of(old), self._index.of(new), query)
        before, after = ([pair[each] for pair in times] for each in (0, 1))
        return Comparison(self._indexed(), len(times), _times(before), _times(after))

    def _asked_both(self, old: SearchIndex, new: SearchIndex, query: Query) -> list[tuple[float, float]]:
        """The two times; none when an engine has no whole answer. Mail that comes in meanwhile is waited for."""
        for _ in range(_TRIES):
            begun = time.perf_counter()
            try:
                expected = old.search(query, limit=_SHOWN)
                between = time.perf_counter()
                found = new.search(query, limit=_SHOWN)
            except QueryTooWideError:
                return []
            ended = time.perf_counter()
            if not (expected.is_complete and found.is_complete):
                return []
            if found == expected:
                return [((between - begun) * 1000, (ended - between) * 1000)]
            time.sleep(_PAUSE_SECONDS)
        raise EnginesDifferError(
            "the new index does not answer as the one in use",
            fix="Nothing was changed. Rebuild the index in use (strongroom archive rebuild) and try again.",
        )

    def _sample(self) -> Iterator[IndexDocument]:
        for _ in range(SAMPLED_MESSAGES):
            after = identifier_from(secrets.token_bytes(16))
            with self._database.read() as connection:
                found = archive_records.indexed_page(connection, after=after, limit=NEIGHBOURS)
                found = found or archive_records.indexed_page(connection, after="", limit=NEIGHBOURS)
            yield from self._read([secrets.choice(found)] if found else [])

    def _swap(self, before: Engine, engine: Engine, actor: AccountId, told: Progress) -> None:
        """Under the lock of all writers: both hold as many, then the rows say that the other one answers."""
        for _ in range(_TRIES):
            with self._index.writers_turn(alone=True):
                if self._index.of(engine).document_count() == self._index.of(before).document_count():
                    now = self._clock.now()
                    with self._database.write() as connection:
                        engine_records.swap(connection, engine, now=now)
                        audit_trail.append(
                            connection, [AuditFact(CHANGED, actor, detail={"engine": engine.value})], now=now
                        )
                    return
            self._fill(before, engine, told)
        raise EnginesDifferError("the new index does not hold what the archive does", fix="Try it again.")

    def _indexed(self) -> int:
        with self._database.read() as connection:
            return archive_records.counts(connection).indexed


def _found(index: SearchIndex, messages: Sequence[MessageId]) -> set[MessageId]:
    asked = AnyOf(tuple(IdIs(message) for message in messages))
    return {hit.id for hit in index.search(asked, limit=len(messages)).items}


def queries_about(document: IndexDocument) -> Iterator[Query]:
    """Words, two words, a phrase, a beginning, what is left out, and an address: what people ask for."""
    for name in (Field.SUBJECT, Field.BODY):
        for words in document.words.get(name, ())[:1]:
            for one, other in list(pairwise(words))[:: max(1, len(words) // 2)]:
                yield Words(None, (one,))
                yield Words(None, (one, other))
                yield AllOf((Words(name, (other,)), Not(Words(None, (one,)))))
                yield Prefix(None, one[:_PREFIX_LETTERS])
    for name in sorted(ADDRESS_FIELDS & document.addresses.keys()):
        yield from (AddressIs(name, address) for address in sorted(document.addresses[name])[:1])


def p95(milliseconds: Sequence[float]) -> float:
    """What 95 of 100 times stay within; 0 when there are none."""
    found = sorted(milliseconds) or [0.0]
    return round(found[int(len(found) * 0.95)], 2)


def _times(milliseconds: Sequence[float]) -> Times:
    found = sorted(milliseconds) or [0.0]
    return Times(p50_ms=round(found[len(found) // 2], 2), p95_ms=p95(found))
