"""A backup of the data: rows of one moment, and every byte that they name. It holds no key.

1. Hold the segments of the spool and of the sealed spool open. 2. Copy the rows as they are at this moment. 3. Hold
what segments were begun since. A message was in the spool before its row was there, so every message of the copy has
its bytes in a segment that is held, or in the object store; and mail of the sealed spool that is not in the rows yet is
in a segment that is held. 4. Send what the target does not have: rows, segments, other files, objects. 5. Say that the
generation is there.

A message that is destroyed meanwhile has no key any more; its bytes may be missing here, and that is told.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy import MetaData

from mailstore import rows_snapshot
from mailstore.backup_chunks import ChunkSender
from mailstore.backup_contents import DESTROYED, LOST, BackedFile, DataContents
from mailstore.backup_making import GenerationMaker, Made, Tell
from mailstore.backup_piece import PieceKind
from mailstore.database import Database
from mailstore.errors import NotFoundError, StorageUnavailableError, TamperedError
from mailstore.message import StoredObject
from mailstore.object_store import ObjectStore
from mailstore.rows_snapshot import RowsSnapshot
from mailstore.spool_pins import SpoolPins
from mailstore.wall_clock import Clock

ROWS: Final = "rows.sqlite3"
ROW_CHUNK_BYTES: Final = 1 << 16
FILE_CHUNK_BYTES: Final = 1 << 20
OBJECTS_AT_ONCE: Final = 500
_SPOOL: Final = "spool/"
_ROUNDS: Final = 3

Read = Callable[[int, int], bytes]
Files = Callable[[], Iterable[tuple[str, Path]]]
"""Paths below the data directory and the files: asked for when they are wanted."""


@dataclass(frozen=True)
class DataSources:
    """Where the data lies. ``schema``: the last step of the row database."""

    database: Database
    metadatas: Sequence[MetaData]
    schema: str
    spool: Path
    objects: ObjectStore
    files: Files
    sealed_spool: Files
    """Mail that waits to be taken in: held open from before the rows are copied."""

    work: Path
    clock: Clock
    is_destroyed: Callable[[str], bool]
    """True when some message or part that needed an object of this name is being destroyed, or is."""


class DataBackup:
    """Makes one data generation."""

    def __init__(self, sources: DataSources, maker: GenerationMaker, tell: Tell) -> None:
        self._sources = sources
        self._maker = maker
        self._tell = tell
        self._chunks = ChunkSender(maker)
        self._absent: list[tuple[str, str]] = []
        self._object_bytes = 0

    def run(self) -> Made:
        """Make it. Raises ``StorageUnavailableError`` when the target or a source fails: run it again, it goes on."""
        sources = self._sources
        as_of = sources.clock.now()
        self._chunks.drop_lost()
        with SpoolPins(sources.spool) as pins:
            for _ in range(_ROUNDS):
                pins.pin()
                with _held(sources.sealed_spool()) as waiting, self._rows() as rows:
                    pins.pin()
                    if all(pins.holds(name) for name in rows.segments):
                        return self._sent(rows, pins, waiting, as_of)
        raise StorageUnavailableError("spool segments went again and again while they were looked for")

    def _rows(self) -> rows_snapshot.Taking:
        sources = self._sources

        def told(done: int, of: int) -> None:
            self._tell("rows copied", done, of)

        return rows_snapshot.taken(sources.database, sources.metadatas, sources.work, told)

    def _sent(self, rows: RowsSnapshot, pins: SpoolPins, waiting: Mapping[str, int], as_of: datetime) -> Made:
        files = [self._file(ROWS, rows.read, rows.size, ROW_CHUNK_BYTES)]
        files += [self._segment(name, pins) for name in pins.names()]
        files += [self._open_file(path, descriptor) for path, descriptor in waiting.items()]
        files += [self._small_file(path, file) for path, file in self._sources.files()]
        self._objects(rows)
        pieces = self._chunks.finished()
        contents = DataContents(
            sequence=self._maker.sequence,
            as_of=as_of,
            mark_key=self._maker.seals.mark_key,
            files=tuple(files),
            indexes=tuple(pieces.indexes),
            objects=rows.objects,
            object_bytes=self._object_bytes,
            absent=tuple(self._absent),
            engine=self._sources.database.engine_name,
            schema=self._sources.schema,
            audit_entries=rows.audit_entries,
        )
        digest, length = self._maker.send(contents.to_bytes(), PieceKind.CONTENTS)
        generation = self._maker.publish(
            contents=digest, pieces={**pieces.all, digest: length}, as_of=as_of, now=self._sources.clock.now()
        )
        self._chunks.drop_wasted()
        problems = tuple(f"object {name} was not there as it was put" for name, why in self._absent if why == LOST)
        return Made(generation, self._maker.sent_pieces, self._maker.sent_bytes, problems)

    def _segment(self, name: str, pins: SpoolPins) -> BackedFile:
        return self._file(f"{_SPOOL}{name}", partial(pins.read, name), pins.size(name), FILE_CHUNK_BYTES)

    def _open_file(self, path: str, descriptor: int) -> BackedFile:
        size = os.fstat(descriptor).st_size
        return self._file(path, lambda offset, length: os.pread(descriptor, length, offset), size, FILE_CHUNK_BYTES)

    def _small_file(self, path: str, file: Path) -> BackedFile:
        try:
            data = file.read_bytes()
        except OSError as error:
            raise StorageUnavailableError(f"{path} cannot be read: {error.strerror}") from error
        return self._file(path, lambda offset, length: data[offset : offset + length], len(data), FILE_CHUNK_BYTES)

    def _file(self, path: str, read: Read, size: int, chunk: int) -> BackedFile:
        whole = hashlib.sha256()
        marks: list[bytes] = []
        for pieces in _some(_cut(read, size, chunk)):
            for piece in pieces:
                whole.update(piece)
            marks += self._chunks.add_contents(pieces)
            self._tell(path.partition("/")[0], min(len(marks) * chunk, size), size)
        return BackedFile(path, size, whole.hexdigest(), chunk, tuple(marks))

    def _objects(self, rows: RowsSnapshot) -> None:
        done = 0
        for some in rows.needed_objects(OBJECTS_AT_ONCE):
            self._object_bytes += sum(each.length for each in some)
            self._chunks.add_wanted([each.digest for each in some], partial(self._object, some))
            done += len(some)
            self._tell("objects", done, rows.objects)

    def _object(self, some: Sequence[StoredObject], place: int) -> bytes | None:
        """The sealed bytes as they were put; None, and told, when they are not there."""
        wanted = some[place]
        try:
            data = self._sources.objects.get(wanted.name)
        except (NotFoundError, TamperedError):
            data = b""
        if hashlib.sha256(data).digest() == wanted.digest:
            return data
        why = DESTROYED if self._sources.is_destroyed(wanted.name) else LOST
        self._absent.append((wanted.name, why))
        return None


@contextmanager
def _held(files: Iterable[tuple[str, Path]]) -> Iterator[dict[str, int]]:
    """Files held open; what is gone by now was taken in, and is in the rows."""
    with ExitStack() as stack:
        held: dict[str, int] = {}
        for path, file in files:
            with suppress(FileNotFoundError):
                held[path] = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
                stack.callback(os.close, held[path])
        yield held


def _cut(read: Read, size: int, chunk: int) -> Iterator[bytes]:
    for start in range(0, size, chunk):
        piece = read(start, min(chunk, size - start))
        if len(piece) != min(chunk, size - start):
            raise StorageUnavailableError("a file became shorter while it was read")
        yield piece


def _some(pieces: Iterator[bytes]) -> Iterator[list[bytes]]:
    """As many as make one question to the memory and little in ours."""
    found: list[bytes] = []
    size = 0
    for piece in pieces:
        found.append(piece)
        size += len(piece)
        if size >= FILE_CHUNK_BYTES * 8:
            yield found
            found, size = [], 0
    if found:
        yield found
