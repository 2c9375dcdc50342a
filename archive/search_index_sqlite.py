"""The search index on SQLite FTS5, in encrypted parts of some thousand messages each.

The list of the parts and of their keys is sealed and opens with the secret of the index, as that of the other engine
does; when messages are taken out, their parts are written anew without them and the secret dies
(``sealed_index_storage``). Written down in ``docs/formats/sqlite-index.md``.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from heapq import nlargest
from itertools import islice
from pathlib import Path

from archive import sqlite_part
from archive.index_document import DEFINITION, IndexDocument
from archive.query_conditions import Query
from archive.sealed_index_storage import SealedIndexStorage
from archive.search_facets import Facet, FacetCounts, counts_of
from archive.search_index import Hit, Hits, IndexOutdatedError
from archive.search_relevance import Order, signals
from archive.sqlite_part import ENDING, Part
from archive.sqlite_question import SAME_FOR_ALL, Question, question_of, scored
from archive.sqlite_schema import FORMAT
from mailstore.errors import StorageUnavailableError, TamperedError
from mailstore.failpoint import reached
from mailstore.instants import instant_of
from mailstore.message import MessageId
from mailstore.sealed_format import KEY_BYTES

MOST_PART_MESSAGES = 32_768
"""A part grows no further. Taking messages out writes their part anew, so this bounds what that costs."""

QUERY_SECONDS = 5.0
LOCK_SECONDS = 120.0
_CACHE_BYTES = 256 * 1024 * 1024
"""Memory for pages of all open parts together; views beside the first have a quarter of it each."""

_BESIDE = 2
"""So three searches of one process run at a time; a fourth waits, which does not count as its own time."""

_LEAST_PART_CACHE = 2 * 1024 * 1024
_MOST_PART_CACHE = 32 * 1024 * 1024
_COMMITTED_TOGETHER = 2_000
_LIST = "parts"
LIST_FOLDER = "list"
"""Where in the directory of the index the sealed list of its parts lies."""

DAMAGED = "damaged"
"""Left by whoever met damage; the index is to be made anew then."""

_TRIES = 5


@dataclass(frozen=True)
class _Listed:
    """A part as the list names it: its file and the key of that file."""

    name: str
    key: bytes = field(repr=False)


class SqliteIndex:
    """A ``SearchIndex``. Safe to share between threads; each process has its own.

    ``directory`` holds the parts, ``directory/list`` the sealed list of them, which is ``storage``. ``beside`` is how
    many more views of it are opened, each with connections of its own, for searches that come while others last.
    """

    def __init__(
        self,
        directory: Path,
        storage: SealedIndexStorage,
        *,
        most_part_messages: int = MOST_PART_MESSAGES,
        query_seconds: float = QUERY_SECONDS,
        cache_bytes: int = _CACHE_BYTES,
        beside: int = _BESIDE,
    ) -> None:
        self._directory = directory
        self._reading = storage
        self._writing = storage.writing_view()
        self._most = most_part_messages
        self._query_seconds = query_seconds
        self._cache_bytes = cache_bytes
        self._beside = tuple(
            SqliteIndex(directory, storage.writing_view(), cache_bytes=cache_bytes // 4, beside=0)
            for _ in range(beside)
        )
        self._lock = threading.RLock()
        self._opened: object = None
        self._parts: dict[_Listed, Part] = {}

    def add(self, documents: Iterable[IndexDocument]) -> None:
        """Index these, durably when this returns. A message that is there already is replaced."""
        waiting = iter(documents)
        while some := {document.id: document for document in islice(waiting, _COMMITTED_TOGETHER)}:
            with self._lock, self._damage_remembered(), self._exclusively() as storage:
                self._put(storage, some)

    def remove(self, messages: Collection[MessageId], *, more_follow: bool = False) -> None:
        """Take these out so that no word of theirs is left in any file, durably when this returns.

        With ``more_follow`` they are not found any more, and their words go with the next removal that is the last.
        """
        if not messages:
            return
        with self._lock, self._damage_remembered(), self._exclusively() as storage:
            for part in self._parts.values():
                part.remove(messages)
            reached("sqlite_index.after_removal")
            due = [] if more_follow else [listed for listed, part in self._parts.items() if part.is_purge_due()]
            if due:
                self._purge(storage, due)

    def search(
        self, query: Query, *, limit: int, among: Collection[MessageId] | None = None, order: Order = Order.NEWEST
    ) -> Hits:
        """The first ``limit`` messages that match, of ``among`` if given.

        After ``QUERY_SECONDS`` it answers with what it found so far, in the newest parts, and says that it is not all.
        """
        question = question_of(query, among=among)
        if order is Order.RELEVANCE:
            question = scored(question, signals(query))
        with self._current() as parts:
            ends = time.monotonic() + self._query_seconds
            return _hits(parts, question, limit, is_over=lambda: time.monotonic() >= ends)

    def facets(self, query: Query, *, mailboxes: Collection[str], seconds: float) -> FacetCounts:
        """How many of the messages that match have which facet, counted for ``seconds``."""
        question = question_of(query)
        with self._current() as parts:
            ends = time.monotonic() + seconds
            return _facets(parts, question, mailboxes, is_over=lambda: time.monotonic() >= ends)

    def document_count(self) -> int:
        """How many messages the index holds."""
        with self._current() as parts:
            return sum(part.count() for part in parts)

    def verify(self) -> None:
        """Read all of it. Raises ``TamperedError`` when it is not what was written."""
        with self._current() as parts:
            for part in parts:
                part.verify()

    def clear(self) -> None:
        """Remove everything, also what is damaged or outdated."""
        with self._lock:
            self._close_all()
            self._writing.create().erase(seconds=LOCK_SECONDS)
            for path in self._directory.iterdir():
                if path.name != LIST_FOLDER:
                    path.unlink(missing_ok=True)

    @contextmanager
    def _current(self) -> Iterator[list[Part]]:
        """The parts as they are now, over connections that nobody else uses meanwhile."""
        free = self._free_view()
        try:
            with free.parts_now() as parts:
                for view in (self, *self._beside):
                    view.let_go_of_older(than=free)
                yield parts
        finally:
            free.give_back()

    def _free_view(self) -> SqliteIndex:
        """A view that nobody has, taken; this one when it comes free if all are taken."""
        for view in (self, *self._beside):
            if view.take(seconds=0.0):
                return view
        if not self.take(seconds=LOCK_SECONDS):
            raise StorageUnavailableError("too many searches wait for the index")
        return self

    def take(self, *, seconds: float) -> bool:
        """Have this view to oneself; False when somebody else has it for longer than that."""
        return self._lock.acquire(timeout=seconds)

    def give_back(self) -> None:
        """Leave this view to others."""
        self._lock.release()

    @contextmanager
    def parts_now(self) -> Iterator[list[Part]]:
        """The newest parts, over connections of this view, for whoever has taken it."""
        with self._damage_remembered():
            self._refresh()
            yield list(self._parts.values())

    def let_go_of_older(self, *, than: SqliteIndex) -> None:
        """At rest, keep no file open that belongs to an older state: it may have been removed since."""
        if self._opened in {None, than.opened_state} or not self.take(seconds=0.0):
            return
        try:
            self._close_all()
        finally:
            self.give_back()

    @property
    def opened_state(self) -> object:
        """The published state that the open parts are of; None when that is to be looked at."""
        return self._opened

    def _refresh(self) -> None:
        """Open what a newer list brought. A part may be replaced meanwhile: then the newest is looked at again."""
        if (self._directory / DAMAGED).exists():
            raise TamperedError("the search index was found damaged")
        for _ in range(_TRIES):
            self._reading.refresh()
            if self._opened == self._reading.state:
                return
            try:
                self._open_parts(_listed(self._reading))
            except FileNotFoundError as missing:
                lost = missing
                continue
            self._opened = self._reading.state
            return
        raise TamperedError(f"the index file {lost} is missing")

    def _open_parts(self, listed: Sequence[_Listed]) -> None:
        for gone in self._parts.keys() - set(listed):
            self._parts.pop(gone).close()
        self._parts = {each: self._parts.get(each) or self._open(each) for each in listed}
        self._share_memory()

    def _share_memory(self) -> None:
        """However many parts there are, and in whatever order they came, their pages fit into ``cache_bytes``."""
        share = min(_MOST_PART_CACHE, max(_LEAST_PART_CACHE, self._cache_bytes // max(1, len(self._parts))))
        for part in self._parts.values():
            part.limit_cache(share)

    def _open(self, listed: _Listed) -> Part:
        path = self._directory / listed.name
        try:
            return Part(path, listed.key, cache_bytes=_LEAST_PART_CACHE)
        except StorageUnavailableError:
            if path.exists():
                raise
            raise FileNotFoundError(path.name) from None  # it went while it was being opened

    def _close_all(self) -> None:
        for part in self._parts.values():
            part.close()
        self._parts, self._opened = {}, None

    @contextmanager
    def _exclusively(self) -> Iterator[SealedIndexStorage]:
        """Be the one writer over all processes; the parts are then the newest, and what nobody lists is gone."""
        storage = self._writing.create()
        with storage.exclusively(seconds=LOCK_SECONDS):
            _require_definition(storage)
            self._refresh()
            belongs = {each.name for each in self._parts}
            for path in self._directory.glob(f"*{ENDING}"):
                if path.name not in belongs:
                    sqlite_part.unlink(path)
            yield storage

    def _put(self, storage: SealedIndexStorage, fresh: dict[MessageId, IndexDocument]) -> None:
        """Replace what is here where it lies; the rest goes into the newest part, and into new ones."""
        for part in self._parts.values():
            here = part.numbers_of(fresh)
            if here:
                part.put([fresh.pop(MessageId(message)) for message in here], replaced=here)
        waiting = list(fresh.values())
        while waiting:
            part, room = self._part_with_room(storage)
            part.put(waiting[:room], replaced={})
            waiting = waiting[room:]

    def _part_with_room(self, storage: SealedIndexStorage) -> tuple[Part, int]:
        newest = next(reversed(self._parts.values()), None)
        room = self._most - newest.count() if newest else 0
        if newest is not None and room > 0:
            return newest, room
        if newest is not None:
            newest.settle()
        listed = _Listed(secrets.token_hex(16) + ENDING, secrets.token_bytes(KEY_BYTES))
        part = Part.made(self._directory / listed.name, listed.key, cache_bytes=_MOST_PART_CACHE)
        self._publish(storage, {**self._parts, listed: part})
        return part, self._most

    def _purge(self, storage: SealedIndexStorage, due: Sequence[_Listed]) -> None:
        """Write these parts anew under new keys, without what was removed, and let the keys of the old ones die."""
        anew: dict[_Listed, Part] = {}
        for listed, part in self._parts.items():
            if listed not in due:
                anew[listed] = part
                continue
            part.settle()
            if part.count():
                fresh = _Listed(secrets.token_hex(16) + ENDING, secrets.token_bytes(KEY_BYTES))
                part.copy_to(self._directory / fresh.name, fresh.key)
                anew[fresh] = self._open(fresh)
                anew[fresh].declare_purged()
        reached("sqlite_index.after_copies")
        replaced = {listed: self._parts[listed] for listed in due}
        self._publish(storage, anew, retire_secret=True)
        for listed, part in replaced.items():
            part.close()
            sqlite_part.unlink(self._directory / listed.name)

    def _publish(self, storage: SealedIndexStorage, parts: dict[_Listed, Part], *, retire_secret: bool = False) -> None:
        told = {"format": FORMAT, "parts": [[each.name, each.key.hex()] for each in parts]}
        if storage.file_exists(_LIST):
            storage.delete_file(_LIST)
        with storage.create_file(_LIST) as file:
            file.write(json.dumps(told).encode())
        storage.publish(retire_secret=retire_secret)
        self._parts, self._opened = parts, None
        self._share_memory()

    @contextmanager
    def _damage_remembered(self) -> Iterator[None]:
        """Whoever meets damage leaves a mark, so that the index is made anew by whoever looks after it."""
        try:
            yield
        except TamperedError:
            if self._directory.exists():
                (self._directory / DAMAGED).touch(mode=0o600)
            self._close_all()
            raise


def _listed(storage: SealedIndexStorage) -> list[_Listed]:
    _require_definition(storage)
    if not storage.file_exists(_LIST):
        return []
    with storage.open_file(_LIST) as file:
        told = json.loads(file.raw_file().at(0, storage.file_length(_LIST)))
    if told["format"] != FORMAT:
        raise IndexOutdatedError("the index was made in another form", fix="Rebuild the index from the messages.")
    return [_Listed(name, bytes.fromhex(key)) for name, key in told["parts"]]


def _require_definition(storage: SealedIndexStorage) -> None:
    if storage.made_with != DEFINITION:
        raise IndexOutdatedError(
            "the index was made with another definition of a word", fix="Rebuild the index from the messages."
        )


def _hits(parts: Sequence[Part], question: Question, limit: int, *, is_over: Callable[[], bool]) -> Hits:
    """Ask the parts, the one with the newest mail first; stop when the time is over."""
    total, found, is_complete = 0, list[tuple[int, int, str]](), True
    is_by_time = question.score == SAME_FOR_ALL
    for last, part, asked in _asked_of(parts, question):
        is_full = is_by_time and 0 < limit <= len(found) and last < found[-1][1]
        answer = None if is_over() else part.answer(asked, limit=0 if is_full else limit, is_over=is_over)
        if answer is None:
            is_complete = False
            break
        total += answer.total
        found = nlargest(limit, found + answer.first)
    items = tuple(Hit(MessageId(message), instant_of(received)) for _, received, message in found)
    return Hits(total, items, is_complete=is_complete)


def _facets(
    parts: Sequence[Part], question: Question, mailboxes: Collection[str], *, is_over: Callable[[], bool]
) -> FacetCounts:
    """Count part by part, as ``_hits`` asks them; a part counts whole or not at all."""
    tallies: list[tuple[Facet, str, int]] = []
    total = 0
    for _, part, asked in _asked_of(parts, question):
        counted = None if is_over() else part.facets(asked, mailboxes=mailboxes, is_over=is_over)
        if counted is None:
            return counts_of(tallies, total=total, is_complete=False)
        total += counted[0]
        tallies += counted[1]
    return counts_of(tallies, total=total)


def _asked_of(parts: Sequence[Part], question: Question) -> Iterator[tuple[int, Part, Question]]:
    """What each part is asked, with the time of its newest mail: the newest first, without those of other times."""
    spans = [(span, part) for part in parts if (span := part.span()) is not None]
    for (first, last), part in sorted(spans, key=lambda each: each[0][1], reverse=True):
        if question.may_be_within(first, last):
            yield last, part, question.asked_within(first, last)
