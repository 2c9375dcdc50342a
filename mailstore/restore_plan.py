"""What a restore has still to do, in a small file beside what it makes, so that one that was cut off goes on.

It holds which generations are restored, where the chunks of the data lie, which of them are wanted where, and what is
done. Names and digests alone: nothing of what is restored. It is removed at the end.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
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
"""

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
    """The plan of one restore, open. For one process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with _answering():
            self._connection = sqlite3.connect(path, isolation_level=None)
            for setting in ("journal_mode=WAL", "synchronous=FULL", "temp_store=MEMORY"):
                self._connection.execute(f"PRAGMA {setting}").fetchone()
            self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()

    def fact(self, name: str) -> str | None:
        """What was noted under a name; None when nothing was."""
        with _answering():
            found = self._connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if found is None else str(found[0])

    def note(self, name: str, value: str = "done") -> None:
        """Note something, durably."""
        with _answering():
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

    def packs(self) -> list[bytes]:
        """The packs that something wanted lies in, in their order."""
        with _answering():
            return [row[0] for row in self._connection.execute("SELECT DISTINCT pack FROM wanted ORDER BY pack")]

    def wanted_of(self, pack: bytes) -> list[Found]:
        """What is wanted of a pack."""
        question = "SELECT mark, name, place, offset, length FROM wanted WHERE pack = ? ORDER BY offset"
        with _answering():
            rows = self._connection.execute(question, (pack,)).fetchall()
        return [Found(Wanted(row[0], row[1], row[2]), ChunkPlace(pack, row[3], row[4])) for row in rows]

    def bytes_wanted(self) -> int:
        """How much is still to be laid down."""
        with _answering():
            return int(self._connection.execute("SELECT coalesce(sum(length), 0) FROM wanted").fetchone()[0])

    def finish(self, packs: Iterable[bytes]) -> None:
        """What was wanted of these packs is laid down, durably."""
        with self._writing():
            self._connection.executemany("DELETE FROM wanted WHERE pack = ?", [(pack,) for pack in packs])

    def _lies_somewhere(self, mark: bytes) -> bool:
        return self._connection.execute("SELECT 1 FROM places WHERE mark = ?", (mark,)).fetchone() is not None

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with _answering():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise


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
