"""What a restore has still to do, in a small file beside what it makes, so that one that was cut off goes on.

It holds which generations are restored, where the chunks of the data lie, which of them are wanted where, and what is
done. Names and digests alone: nothing of what is restored. It is removed at the end.

While objects follow into a directory that is at work already, several processes have it open: who lays them, who asks
for one (``object_store_awaited``), who destroys one. A name is awaited until the transaction that ends its wait, and
what ceased to be awaited by a destruction is never laid.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

from mailstore.backup_pack import ChunkPlace
from mailstore.errors import RefusedError, StorageUnavailableError

WHOLE: Final = -1
"""The place of a chunk that is all of what it is wanted for."""

_AT_ONCE: Final = 2_000
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS places (
  mark BLOB PRIMARY KEY, pack BLOB NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS wanted (
  pack BLOB NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL, mark BLOB NOT NULL,
  name TEXT NOT NULL, place INTEGER NOT NULL, PRIMARY KEY (pack, offset, name, place)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS wanted_names ON wanted (name);
CREATE TABLE IF NOT EXISTS asked (pack BLOB PRIMARY KEY) WITHOUT ROWID;
"""
_KEPT: Final = b""
_PATIENCE_SECONDS: Final = 120.0
"""Longer than who lays objects ever holds the file: what it takes to sync some hundred megabytes."""

_CACHE_KIB: Final = 131_072
"""Marks come in no order: a plan of millions of objects is made several times as fast with its pages in memory."""

_AWAITED: Final = "SELECT 1 FROM wanted WHERE name = ? AND place = ? LIMIT 1"
_WANT: Final = "INSERT OR IGNORE INTO wanted SELECT pack, offset, length, mark, ?, ? FROM places WHERE mark = ?"

_Thing = TypeVar("_Thing")


@dataclass(frozen=True)
class Wanted:
    """One chunk, and what it is wanted for: all of ``name``, or the part of it that begins at byte ``place``."""

    mark: bytes
    name: str
    place: int = WHOLE


@dataclass(frozen=True)
class Found:
    """A wanted chunk and where it lies in its pack."""

    wanted: Wanted
    at: ChunkPlace


class RestorePlan:
    """The plan of one restore, open. Safe to use from many threads, and beside other processes."""

    def __init__(self, path: Path, *, is_made: bool = True) -> None:
        """``is_made``: make the file where it is not there."""
        self._path = path
        self._lock = threading.RLock()
        with _answering():
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={'rwc' if is_made else 'rw'}",
                uri=True,
                isolation_level=None,
                timeout=_PATIENCE_SECONDS,
                check_same_thread=False,
            )
            for setting in ("journal_mode=WAL", "synchronous=FULL", "temp_store=MEMORY", f"cache_size=-{_CACHE_KIB}"):
                self._connection.execute(f"PRAGMA {setting}").fetchone()
            if is_made:
                self._connection.executescript(_SCHEMA)

    @classmethod
    def existing(cls, path: Path) -> RestorePlan | None:
        """The plan that lies there; None when none does. ``StorageUnavailableError`` for one that cannot be read."""
        if not path.exists():
            return None
        try:
            return cls(path, is_made=False)
        except StorageUnavailableError:
            if path.exists():
                raise
            return None

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()

    def remove(self) -> None:
        """Close it and remove the file. Whoever has it open still reads what it last said."""
        self.close()
        for ending in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + ending).unlink(missing_ok=True)

    def fact(self, name: str) -> str | None:
        """What was noted under a name; None when nothing was."""
        with self._answering():
            found = self._connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if found is None else str(found[0])

    def note(self, name: str, value: str = "done") -> None:
        """Note something, durably."""
        with self._answering():
            self._connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def is_done(self, step: str) -> bool:
        """True when a step was noted as done."""
        return self.fact(step) is not None

    def hold_to(self, name: str, value: str) -> None:
        """Note something at the first time; later it must be the same. ``RefusedError`` when it is not."""
        noted = self.fact(name)
        if noted is None:
            self.note(name, value)
        elif noted != value:
            raise RefusedError(
                f"this restore was begun with another {name}", fix="go on with what it was begun with, or begin anew"
            )

    def add_places(self, places: Iterable[tuple[bytes, ChunkPlace]]) -> None:
        """Where chunks lie."""
        for some in _batches(places):
            rows = [(mark, at.pack, at.offset, at.length) for mark, at in some]
            with self._writing():
                self._connection.executemany("INSERT OR IGNORE INTO places VALUES (?, ?, ?, ?)", rows)

    def want(self, wanted: Iterable[Wanted]) -> list[Wanted]:
        """Put down what is wanted; answers what lies nowhere."""
        missing: list[Wanted] = []
        for some in _batches(wanted):
            with self._writing():
                for each in some:
                    told = self._connection.execute(_WANT, (each.name, each.place, each.mark))
                    if told.rowcount <= 0 and not self._lies_somewhere(each.mark):
                        missing.append(each)
        return missing

    def keep(self, name: str) -> None:
        """All of ``name`` lies in a store that is kept: it counts as to come until ``let_kept``."""
        with self._answering():
            self._connection.execute(
                "INSERT OR IGNORE INTO wanted VALUES (?, 0, 0, ?, ?, ?)", (_KEPT, _KEPT, name, WHOLE)
            )

    def let_kept(self) -> None:
        """What was kept is asked of its store from now on."""
        with self._answering():
            self._connection.execute("DELETE FROM wanted WHERE pack = ?", (_KEPT,))

    def packs(self) -> Iterator[tuple[bytes, bool]]:
        """The packs that something wanted lies in, in their order, and whether somebody waits for one: those first."""
        with self._answering():
            rows = self._connection.execute("SELECT DISTINCT pack FROM wanted ORDER BY pack").fetchall()
        left = dict.fromkeys(row[0] for row in rows)
        while left:
            asked = next((pack for pack in self._asked() if pack in left), None)
            pack = next(iter(left)) if asked is None else asked
            del left[pack]
            yield pack, asked is not None

    def wanted_of(self, pack: bytes) -> list[Found]:
        """What is wanted of a pack."""
        question = "SELECT mark, name, place, offset, length FROM wanted WHERE pack = ? ORDER BY offset"
        with self._answering():
            rows = self._connection.execute(question, (pack,)).fetchall()
        return [Found(Wanted(row[0], row[1], row[2]), ChunkPlace(pack, row[3], row[4])) for row in rows]

    def bytes_wanted(self) -> int:
        """How much is still to be laid down."""
        with self._answering():
            return int(self._connection.execute("SELECT coalesce(sum(length), 0) FROM wanted").fetchone()[0])

    def finish(self, packs: Collection[bytes], put: Callable[[frozenset[str]], None]) -> None:
        """What was wanted of these packs is laid down, durably, once ``put`` has put in place what is wanted still.

        It is told the names of whole chunks. Whoever ends the wait for one (``forget``) comes before or after it.
        """
        with self._writing():
            names: set[str] = set()
            for pack in packs:
                question = "SELECT name FROM wanted WHERE pack = ? AND place = ?"
                names.update(row[0] for row in self._connection.execute(question, (pack, WHOLE)))
            put(frozenset(names))
            done = [(pack,) for pack in packs]
            self._connection.executemany("DELETE FROM wanted WHERE pack = ?", done)
            self._connection.executemany("DELETE FROM asked WHERE pack = ?", done)

    def finish_objects(self, names: Collection[str], put: Callable[[frozenset[str]], None]) -> None:
        """As ``finish``, for some whole chunks of a pack, so that others get a turn where ``put`` takes long."""
        with self._writing():
            wanted = frozenset(name for name in names if self._is_awaited(name))
            put(wanted)
            done = [(name, WHOLE) for name in wanted]
            self._connection.executemany("DELETE FROM wanted WHERE name = ? AND place = ?", done)

    def awaits(self, name: str) -> bool:
        """True when all of ``name`` is still to be laid down."""
        with self._answering():
            return self._is_awaited(name)

    def ask_for(self, name: str) -> None:
        """Somebody waits for it: what lies in its pack is laid down next."""
        with self._answering():
            self._connection.execute(
                "INSERT OR IGNORE INTO asked SELECT pack FROM wanted WHERE name = ? AND place = ?", (name, WHOLE)
            )

    def unask(self, pack: bytes) -> None:
        """Nobody is served by having this pack first: it cannot be laid down."""
        with self._answering():
            self._connection.execute("DELETE FROM asked WHERE pack = ?", (pack,))

    def forget(self, name: str) -> None:
        """It is wanted no more."""
        with self._answering():
            self._connection.execute("DELETE FROM wanted WHERE name = ? AND place = ?", (name, WHOLE))

    def awaited(self, beginning: str = "") -> Iterator[str]:
        """The names of what is still to be laid down whole, in order, some at a time."""
        after, question = beginning, "SELECT name FROM wanted WHERE name > ? AND place = ? ORDER BY name LIMIT ?"
        while True:
            with self._answering():
                rows = self._connection.execute(question, (after, WHOLE, _AT_ONCE)).fetchall()
            for (name,) in rows:
                if not name.startswith(beginning):
                    return
                yield name
            if len(rows) < _AT_ONCE:
                return
            after = rows[-1][0]

    def to_come(self) -> tuple[int, int]:
        """How many chunks are still to be laid down, and how many bytes they hold."""
        with self._answering():
            row = self._connection.execute("SELECT count(*), coalesce(sum(length), 0) FROM wanted").fetchone()
        return int(row[0]), int(row[1])

    def _asked(self) -> list[bytes]:
        with self._answering():
            return [row[0] for row in self._connection.execute("SELECT pack FROM asked ORDER BY pack")]

    def _is_awaited(self, name: str) -> bool:
        return self._connection.execute(_AWAITED, (name, WHOLE)).fetchone() is not None

    def _lies_somewhere(self, mark: bytes) -> bool:
        return self._connection.execute("SELECT 1 FROM places WHERE mark = ?", (mark,)).fetchone() is not None

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._answering():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """One question at a time, and errors in our words."""
        with self._lock, _answering():
            yield


def _batches(things: Iterable[_Thing]) -> Iterator[list[_Thing]]:
    every = iter(things)
    while some := list(islice(every, _AT_ONCE)):
        yield some


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StorageUnavailableError(
            f"the plan of the restore cannot be used: {error}",
            fix="make room; or remove what was begun, and begin anew",
        ) from error
