"""Core: the chunks that a backup is cut into, the packs they travel in, and the indexes that say where they lie.

A chunk is known by its mark, a keyed digest of its content: what has not changed since an earlier generation is found
there and not sent again, and nobody without the key learns from a mark what the content is.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from mailstore.errors import TamperedError
from mailstore.keyed_digest import KeyedDigest
from mailstore.sealed_format import derive

MARK_BYTES: Final = 16
DIGEST_BYTES: Final = 32
PACK_BYTES: Final = 1 << 24
"""When a pack is full: few enough requests for 500 GB, little enough to read for one message."""

_MARKS_INFO: Final = b"strongroom/backup/v1/marks"
_ENTRY: Final = struct.Struct(f">{MARK_BYTES}sI")
ENTRY_BYTES: Final = _ENTRY.size
"""What stands before each chunk of a pack."""

_PACK: Final = struct.Struct(f">{DIGEST_BYTES}sI")
_PLACE: Final = struct.Struct(f">{MARK_BYTES}sII")


PackEntries = Sequence[tuple[bytes, int, int]]
"""Mark, offset and length of each chunk of a pack."""


@dataclass(frozen=True)
class ChunkPlace:
    """Where the content of a chunk lies: in which pack, from which byte of the opened pack, how long."""

    pack: bytes
    offset: int
    length: int


def mark_key(row_key: bytes) -> bytes:
    """The key of all marks of a practice."""
    return derive(row_key, info=_MARKS_INFO)


class Marks:
    """Makes the marks of chunks."""

    def __init__(self, key: bytes) -> None:
        self._keyed = KeyedDigest(key)

    def of(self, content: bytes) -> bytes:
        """The mark of a content."""
        return self.of_digest(hashlib.sha256(content).digest())

    def of_digest(self, digest: bytes) -> bytes:
        """The mark of a content whose SHA-256 is known."""
        return self._keyed.over(digest)[:MARK_BYTES]


@dataclass
class PackFiller:
    """A pack while it is filled."""

    _parts: list[bytes] = field(default_factory=list)
    _places: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    size: int = 0

    def add(self, mark: bytes, content: bytes) -> None:
        """Put a chunk behind the others. One that is in it already is not put in again."""
        if mark in self._places:
            return
        self._parts += [_ENTRY.pack(mark, len(content)), content]
        self._places[mark] = (self.size + _ENTRY.size, len(content))
        self.size += _ENTRY.size + len(content)

    def holds(self, mark: bytes) -> bool:
        """True when the chunk is in it."""
        return mark in self._places

    def has_room_for(self, length: int) -> bool:
        """True when a chunk of this length still fits, or nothing is in it yet."""
        return not self._parts or self.size + _ENTRY.size + length <= PACK_BYTES

    def content(self) -> bytes:
        """The bytes of the pack, to be sealed."""
        return b"".join(self._parts)

    def places(self, pack: bytes) -> dict[bytes, ChunkPlace]:
        """Where each chunk lies once the pack has its name."""
        return {mark: ChunkPlace(pack, *place) for mark, place in self._places.items()}


def chunks_of(pack: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Mark and content of every chunk of an opened pack. ``TamperedError`` when it is not whole."""
    start = 0
    while start < len(pack):
        if start + _ENTRY.size > len(pack):
            raise TamperedError("a pack of the backup is cut off")
        mark, length = _ENTRY.unpack_from(pack, start)
        start += _ENTRY.size
        if start + length > len(pack):
            raise TamperedError("a pack of the backup is cut off")
        yield mark, pack[start : start + length]
        start += length


def chunk_at(pack: bytes, place: ChunkPlace, mark: bytes, marks: Marks) -> bytes:
    """One chunk of an opened pack. ``TamperedError`` when what lies there is another content."""
    content = pack[place.offset : place.offset + place.length]
    if len(content) != place.length or marks.of(content) != mark:
        raise TamperedError("a chunk of the backup is not the one that its index says")
    return content


def index_of(packs: Mapping[bytes, PackEntries]) -> bytes:
    """An index: for each pack the mark, offset and length of its chunks."""
    parts = []
    for pack, entries in packs.items():
        parts.append(_PACK.pack(pack, len(entries)))
        parts += [_PLACE.pack(*entry) for entry in entries]
    return b"".join(parts)


def places_in(index: bytes) -> Iterator[tuple[bytes, ChunkPlace]]:
    """Every mark of an index with its place. ``TamperedError`` when it is not whole."""
    start = 0
    try:
        while start < len(index):
            pack, count = _PACK.unpack_from(index, start)
            start += _PACK.size
            for _ in range(count):
                mark, offset, length = _PLACE.unpack_from(index, start)
                yield mark, ChunkPlace(pack, offset, length)
                start += _PLACE.size
    except struct.error:
        raise TamperedError("an index of the backup is cut off") from None


def marks_in(joined: bytes) -> list[bytes]:
    """Marks that stand one behind the other. ``TamperedError`` for half a mark."""
    if len(joined) % MARK_BYTES:
        raise TamperedError("a list of marks of the backup is cut off")
    return [joined[start : start + MARK_BYTES] for start in range(0, len(joined), MARK_BYTES)]


def joined_marks(marks: Iterable[bytes]) -> bytes:
    """What ``marks_in`` takes apart."""
    return b"".join(marks)
