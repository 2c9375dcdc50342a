"""The search index of the engine that is in use, and the one that is being built beside it.

Which they are stands in the rows and is looked up whenever the index is used, so that every process follows a change
at once. Writers hold a lock together while they write, so that a change can wait for those who began before it.
"""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from archive import engine_records
from archive.engine_records import Engine, Engines
from archive.index_document import IndexDocument
from archive.query_conditions import Query
from archive.search_facets import FacetCounts
from archive.search_index import Hits, IndexOutdatedError, SearchIndex
from archive.search_relevance import Order
from mailstore import durable_file
from mailstore.database import Database
from mailstore.errors import StrongroomError, TamperedError
from mailstore.message import MessageId

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class EngineFiles:
    """How the index of one engine is opened, and the directory of its files."""

    opened: Callable[[], SearchIndex]
    directory: Path


class ChosenIndex:
    """A ``SearchIndex``: whichever is in use. Safe to share between threads; each process has its own.

    ``turn`` is the file that is locked, by writers together, and alone by who changes the engine.
    """

    def __init__(self, database: Database, files: Mapping[Engine, EngineFiles], *, turn: Path) -> None:
        self._database = database
        self._files = files
        self._turn = turn
        self._opened: dict[Engine, SearchIndex] = {}
        self._lock = threading.Lock()

    def add(self, documents: Iterable[IndexDocument]) -> None:
        """Index these, durably when this returns. A message that is there already is replaced."""
        fresh = list(documents)
        if fresh:
            self._write(lambda index: index.add(fresh))

    def remove(self, messages: Collection[MessageId], *, more_follow: bool = False) -> None:
        """Take these out, also of the index that is being built."""
        if messages:
            with self.writers_turn():
                self.clear_left_over()
            self._write(lambda index: index.remove(messages, more_follow=more_follow))

    def search(
        self, query: Query, *, limit: int, among: Collection[MessageId] | None = None, order: Order = Order.NEWEST
    ) -> Hits:
        """The first ``limit`` messages that match, of ``among`` if given."""
        return self._ask(lambda index: index.search(query, limit=limit, among=among, order=order))

    def facets(self, query: Query, *, mailboxes: Collection[str], seconds: float) -> FacetCounts:
        """How many of the messages that match have which facet."""
        return self._ask(lambda index: index.facets(query, mailboxes=mailboxes, seconds=seconds))

    def document_count(self) -> int:
        """How many messages the index holds."""
        return self._ask(lambda index: index.document_count())

    def verify(self) -> None:
        """Read all of it. Raises ``TamperedError`` when it is not what was written."""
        self._ask(lambda index: index.verify())

    def clear(self) -> None:
        """Remove everything that is in use, also what is damaged or outdated."""
        with self.writers_turn():
            self.of(self.engines().living).clear()

    def engines(self) -> Engines:
        """Which engine is in use now, and which is being built."""
        with self._database.read() as connection:
            return engine_records.engines(connection)

    def of(self, engine: Engine) -> SearchIndex:
        """The index of one engine, in use or not."""
        with self._lock:
            if engine not in self._opened:
                self._opened[engine] = self._files[engine].opened()
            return self._opened[engine]

    def directory(self) -> Path:
        """Where the files of the index in use lie."""
        return self._files[self.engines().living].directory

    def size_bytes(self) -> int:
        """What the index in use takes on the disk."""
        sizes = (path.stat().st_size for path in self.directory().rglob("*") if path.is_file())
        return sum(sizes)

    def clear_left_over(self) -> None:
        """Destroy what an interrupted change of the engine left: nobody would take messages out of it any more."""
        engines = self.engines()
        for engine, files in self._files.items():
            in_use = engine in {engines.living, engines.building}
            if not in_use and any(path.name != "lock" for path in files.directory.rglob("*") if path.is_file()):
                self.of(engine).clear()

    @contextmanager
    def writers_turn(self, *, alone: bool = False) -> Iterator[None]:
        """Hold the lock of the writers (flock(2)), together with others or alone."""
        durable_file.make_directory(self._turn.parent)
        with self._turn.open("ab") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            yield

    def _write(self, change: Callable[[SearchIndex], None]) -> None:
        with self.writers_turn():
            engines = self.engines()
            change(self.of(engines.living))
            if engines.building is not None:
                _change_unfinished(self.of(engines.building), change)

    def _ask(self, question: Callable[[SearchIndex], _Answer]) -> _Answer:
        """Ask the index in use. One that was replaced meanwhile, and perhaps destroyed, does not count."""
        while True:
            engine = self.engines().living
            try:
                answer = question(self.of(engine))
            except StrongroomError:
                if self.engines().living is engine:
                    raise
            else:
                if self.engines().living is engine:
                    return answer


def _change_unfinished(index: SearchIndex, change: Callable[[SearchIndex], None]) -> None:
    """Change the index that is being built. What cannot be read of it is thrown away: it is filled again anyhow."""
    try:
        change(index)
    except (TamperedError, IndexOutdatedError):
        index.clear()
