"""What an appliance remembers of a target of its backups: what lies there already, and how far it was.

A file of its own for each target, below the data directory. Losing it costs a whole backup and no more. It decides what
is not sent again, so each line carries a keyed digest, as rows do: edited, it is refused.
"""

from __future__ import annotations

import hmac
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from mailstore.backup_pack import ChunkPlace
from mailstore.errors import StorageUnavailableError, TamperedError
from mailstore.keyed_digest import KeyedDigest
from mailstore.row_form import encoded
from mailstore.sealed_format import derive

_INFO: Final = b"strongroom/backup/v1/memory"
_SEAL_BYTES: Final = 16
_AT_ONCE: Final = 500
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL, seal BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS chunks (
  mark BLOB PRIMARY KEY, pack BLOB NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL,
  used INTEGER NOT NULL, is_indexed INTEGER NOT NULL, seal BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS chunks_of_pack ON chunks (pack);
CREATE TABLE IF NOT EXISTS pieces (
  digest BLOB PRIMARY KEY, length INTEGER NOT NULL, is_index INTEGER NOT NULL, content INTEGER NOT NULL,
  seal BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches (batch BLOB PRIMARY KEY, made_at INTEGER NOT NULL) WITHOUT ROWID;
"""

Facts = Mapping[str, Any]


class BackupMemory:
    """One target's memory, open. For one process at a time."""

    def __init__(self, path: Path, row_key: bytes) -> None:
        self._path = path
        self._keyed = KeyedDigest(derive(row_key, info=_INFO))
        try:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise StorageUnavailableError(f"{path.name} cannot be opened: {error.strerror}") from error
        with _answering(path):
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            for setting in ("journal_mode=WAL", "synchronous=NORMAL", "temp_store=MEMORY"):
                self._connection.execute(f"PRAGMA {setting}").fetchone()
            self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()

    def fact(self, name: str) -> Facts | None:
        """What was noted under a name; None when nothing was."""
        found = self._ask("SELECT value, seal FROM facts WHERE name = ?", (name,))
        if not found:
            return None
        value, seal = found[0]
        self._require(seal, "facts", name, value)
        told: Facts = json.loads(value)
        return told

    def note(self, **facts: Facts | None) -> None:
        """Note facts in one step; None takes one away."""
        with self._writing():
            for name, told in facts.items():
                self._connection.execute("DELETE FROM facts WHERE name = ?", (name,))
                if told is not None:
                    value = json.dumps(told, sort_keys=True)
                    row = (name, value, self._seal("facts", name, value))
                    self._connection.execute("INSERT INTO facts VALUES (?, ?, ?)", row)

    def forget_pieces(self) -> None:
        """Everything is sent anew: what lies there is of no use any more."""
        with self._writing():
            for table in ("chunks", "pieces"):
                self._connection.execute(f"DELETE FROM {table}")  # noqa: S608 -- two names of ours

    def add_pack(self, digest: str, length: int, content: int, places: Mapping[bytes, ChunkPlace], used: int) -> None:
        """A pack lies in the target. ``content``: the bytes in it, before it was sealed."""
        rows = [
            (mark, at.pack, at.offset, at.length, used, 0, self._seal("chunks", mark, at.pack, at.offset, at.length))
            for mark, at in places.items()
        ]
        with self._writing():
            self._add_piece(digest, length, content, is_index=False)
            self._connection.executemany("INSERT OR REPLACE INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def add_indexes(self, indexes: Sequence[tuple[str, int]]) -> None:
        """Indexes lie in the target, with everything that none had before."""
        with self._writing():
            for digest, length in indexes:
                self._add_piece(digest, length, 0, is_index=True)
            self._connection.execute("UPDATE chunks SET is_indexed = 1 WHERE is_indexed = 0")

    def known(self, marks: Sequence[bytes], *, used: int) -> set[bytes]:
        """Those of these chunks that lie in the target; it is noted that generation ``used`` needs them."""
        known: set[bytes] = set()
        for start in range(0, len(marks), _AT_ONCE):
            some = list(marks[start : start + _AT_ONCE])
            where = f"mark IN ({','.join('?' * len(some))})"
            asked = f"SELECT mark, pack, offset, length, seal FROM chunks WHERE {where}"  # noqa: S608 -- question marks
            for mark, pack, offset, length, seal in self._ask(asked, some):
                self._require(seal, "chunks", mark, pack, offset, length)
                known.add(mark)
            with self._writing():
                self._connection.execute(f"UPDATE chunks SET used = ? WHERE {where}", (used, *some))  # noqa: S608 -- as above
        return known

    def not_indexed(self) -> dict[bytes, list[tuple[bytes, int, int]]]:
        """What no index says yet: for each pack its chunks."""
        packs: dict[bytes, list[tuple[bytes, int, int]]] = {}
        asked = "SELECT mark, pack, offset, length FROM chunks WHERE is_indexed = 0 ORDER BY pack, offset"
        for mark, pack, offset, length in self._ask(asked):
            packs.setdefault(pack, []).append((mark, offset, length))
        return packs

    def pieces(self, *, is_index: bool | None = None) -> list[tuple[str, int]]:
        """Digest and length of what lies in the target, in the order of digests."""
        found = []
        asked = "SELECT digest, length, is_index, content, seal FROM pieces ORDER BY digest"
        for digest, length, kind, content, seal in self._ask(asked):
            self._require(seal, "pieces", digest, length, kind, content)
            if is_index is None or bool(kind) == is_index:
                found.append((digest.hex(), int(length)))
        return found

    def drop(self, digests: Iterable[str]) -> None:
        """These do not lie in the target any more, or shall not be used again: what was in them is sent anew."""
        with self._writing():
            for digest in digests:
                raw = (bytes.fromhex(digest),)
                self._connection.execute("DELETE FROM pieces WHERE digest = ?", raw)
                self._connection.execute("DELETE FROM chunks WHERE pack = ?", raw)

    def reindex(self) -> None:
        """No index says anything any more: the next one says all."""
        with self._writing():
            self._connection.execute("DELETE FROM pieces WHERE is_index = 1")
            self._connection.execute("UPDATE chunks SET is_indexed = 0")

    def wasted(self, *, used: int, share: float) -> list[str]:
        """Packs of which less than ``share`` is what generation ``used`` needs."""
        asked = (
            "SELECT p.digest, p.content, coalesce(sum(CASE WHEN c.used = ? THEN c.length END), 0) FROM pieces p"
            " LEFT JOIN chunks c ON c.pack = p.digest WHERE p.is_index = 0 GROUP BY p.digest, p.content"
        )
        return [digest.hex() for digest, content, needed in self._ask(asked, (used,)) if needed < content * share]

    def shipped_batches(self, batches: Sequence[bytes]) -> set[bytes]:
        """Those of these batches of keys that were shipped lately."""
        found: set[bytes] = set()
        for start in range(0, len(batches), _AT_ONCE):
            some = batches[start : start + _AT_ONCE]
            asked = f"SELECT batch FROM batches WHERE batch IN ({','.join('?' * len(some))})"  # noqa: S608 -- as above
            found.update(row[0] for row in self._ask(asked, some))
        return found

    def note_batches(self, batches: Iterable[tuple[bytes, int]], *, forget_before: int) -> None:
        """These were shipped. ``forget_before``: batches made before need not be known any more (µs)."""
        with self._writing():
            self._connection.execute("DELETE FROM batches WHERE made_at < ?", (forget_before,))
            self._connection.executemany("INSERT OR REPLACE INTO batches VALUES (?, ?)", batches)

    def _add_piece(self, digest: str, length: int, content: int, *, is_index: bool) -> None:
        raw = bytes.fromhex(digest)
        row = (raw, length, int(is_index), content, self._seal("pieces", raw, length, int(is_index), content))
        self._connection.execute("INSERT OR REPLACE INTO pieces VALUES (?, ?, ?, ?, ?)", row)

    def _seal(self, *values: object) -> bytes:
        return self._keyed.over(encoded(values))[:_SEAL_BYTES]

    def _require(self, seal: bytes, *values: object) -> None:
        if not hmac.compare_digest(seal, self._seal(*values)):
            raise TamperedError(
                f"{self._path.name} is not what was written",
                fix=f"remove {self._path}: the next backup sends everything anew",
            )

    def _ask(self, question: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with _answering(self._path):
            return self._connection.execute(question, tuple(values)).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with _answering(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise


@contextmanager
def _answering(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StorageUnavailableError(
            f"{path.name} cannot be used: {error}", fix=f"make room; if it is damaged, remove {path}"
        ) from error
