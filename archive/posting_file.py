"""The words of one index segment in order, each with the documents and places where it stands.

Words and postings lie together in blocks of some 16 KiB, compressed one by one, with a list of the first word of each
block at the end. Written down in ``docs/formats/sealed-index.md``. Nothing is pickled.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from struct import Struct, pack, unpack_from
from typing import Protocol

BLOCK_BYTES = 16_384
"""A block is closed once it is this long; one long list makes one long block."""

KEPT_BLOCKS = 64
_LEVEL = 1  # zlib; higher levels cost more processor time than all the rest of indexing saves
_ENTRY = Struct("<HI")
_PLACE_IN_FILE = Struct("<QI")
_FOOTER = Struct("<QI")
_COUNT = Struct("<I")
_NUMBER_BYTES = 4
_SMALL, _LARGE = b"H", b"I"
_SMALL_PLACES = 65_536


class ReadableFile(Protocol):
    """A file read by position."""

    def get(self, position: int, length: int) -> bytes:
        """So many bytes from there."""
        ...


class WritableFile(Protocol):
    """A file written from beginning to end."""

    def write(self, data: bytes) -> object:
        """Add bytes."""
        ...


def packed_places(places: list[int]) -> bytes:
    """The places of one word in one document, ascending."""
    if places[-1] < _SMALL_PLACES:
        return _SMALL + pack(f"<{len(places)}H", *places)
    return _LARGE + pack(f"<{len(places)}I", *places)


@dataclass(frozen=True)
class Postings:
    """The documents in which a word stands, by ascending number, and where in them."""

    packed: bytes = field(repr=False)

    @property
    def count(self) -> int:
        """How many documents."""
        found: int = unpack_from("<I", self.packed)[0]
        return found

    @property
    def documents(self) -> tuple[int, ...]:
        """Their numbers."""
        return unpack_from(f"<{self.count}I", self.packed, _NUMBER_BYTES)

    def values(self) -> Iterator[bytes]:
        """The packed places in each document, in the order of the documents."""
        count = self.count
        lengths = unpack_from(f"<{count}I", self.packed, _NUMBER_BYTES * (1 + count))
        position = _NUMBER_BYTES * (1 + 2 * count)
        for length in lengths:
            yield self.packed[position : position + length]
            position += length

    def renumbered(self, numbers: Mapping[int, int]) -> bytes:
        """Packed again with the documents that have a new number, under it; nothing when none has."""
        pairs = zip(self.documents, self.values(), strict=True)
        kept = [each for old, value in pairs if old in numbers for each in (numbers[old], value)]
        return packed_postings(kept) if kept else b""

    def places(self, wanted: frozenset[int]) -> dict[int, frozenset[int]]:
        """The places in each of the wanted documents."""
        pairs = zip(self.documents, self.values(), strict=True)
        return {number: frozenset(_unpacked_places(value)) for number, value in pairs if number in wanted}


def _unpacked_places(value: bytes) -> tuple[int, ...]:
    width = 2 if value[:1] == _SMALL else 4
    return unpack_from(f"<{(len(value) - 1) // width}{value[:1].decode()}", value, 1)


def packed_postings(found: list[int | bytes]) -> bytes:
    """A number, its packed places, the next number, its packed places, and so on, as one stretch of bytes."""
    numbers, values = found[::2], found[1::2]
    lengths = [len(value) for value in values]  # type: ignore[arg-type]  # every second one is bytes
    head = pack(f"<{1 + 2 * len(numbers)}I", len(numbers), *numbers, *lengths)
    return head + b"".join(values)  # type: ignore[arg-type]  # as above


Piece = tuple[bytes, int, bytes]
"""A term, the number from which its source counts its documents on, and the term's packed postings there."""


def joined(pieces: Sequence[Piece]) -> bytes:
    """The postings of one term from several sources, which follow each other, as one."""
    numbers: list[int] = []
    lengths: list[int] = []
    values: list[bytes] = []
    for _, first, packed in pieces:
        (count,) = _COUNT.unpack_from(packed)
        found = unpack_from(f"<{2 * count}I", packed, _NUMBER_BYTES)
        numbers += found[:count] if not first else [first + number for number in found[:count]]
        lengths += found[count:]
        values.append(packed[_NUMBER_BYTES * (1 + 2 * count) :])
    return pack(f"<{1 + 2 * len(numbers)}I", len(numbers), *numbers, *lengths) + b"".join(values)


def write_postings(file: WritableFile, terms: Iterable[tuple[bytes, bytes]]) -> None:
    """Write terms, in ascending order, with their packed postings."""
    directory: list[bytes] = []
    position, count = 0, 0
    for first, block in _blocks(terms):
        squeezed = zlib.compress(block, _LEVEL)
        file.write(squeezed)
        directory.append(_ENTRY.pack(len(first), 0) + first + _PLACE_IN_FILE.pack(position, len(squeezed)))
        position += len(squeezed)
        count += 1
    file.write(b"".join(directory))
    file.write(_FOOTER.pack(position, count))


def _blocks(terms: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    pieces: list[bytes] = []
    first, size = b"", 0
    for term, postings in terms:
        if not pieces:
            first = term
        pieces += (_ENTRY.pack(len(term), len(postings)), term, postings)
        size += len(term) + len(postings)
        if size >= BLOCK_BYTES:
            yield first, b"".join(pieces)
            pieces, size = [], 0
    if pieces:
        yield first, b"".join(pieces)


class PostingFile:
    """A file of postings to look things up in."""

    def __init__(self, file: ReadableFile, length: int) -> None:
        self._file = file
        self._firsts: list[bytes] = []
        self._places: list[tuple[int, int]] = []
        self._kept: OrderedDict[int, dict[bytes, bytes]] = OrderedDict()
        start, count = _FOOTER.unpack(file.get(length - _FOOTER.size, _FOOTER.size))
        self._read_directory(file.get(start, length - _FOOTER.size - start), count)

    def find(self, term: bytes) -> Postings | None:
        """The postings of one term."""
        number = bisect_right(self._firsts, term) - 1
        packed = self._block(number).get(term) if number >= 0 else None
        return None if packed is None else Postings(packed)

    def beginning_with(self, start: bytes) -> Iterator[tuple[bytes, Postings]]:
        """Every term that begins so, in order; all terms for an empty beginning."""
        for number in range(max(0, bisect_right(self._firsts, start) - 1), len(self._firsts)):
            for term, packed in self._block(number).items():
                if term.startswith(start):
                    yield term, Postings(packed)
                elif term > start:
                    return

    def all(self) -> Iterator[tuple[bytes, bytes]]:
        """Every term in order with its packed postings, read once and not kept."""
        for place in self._places:
            yield from _entries(zlib.decompress(self._file.get(*place)))

    def _block(self, number: int) -> dict[bytes, bytes]:
        kept = self._kept.get(number)
        if kept is not None:
            self._kept.move_to_end(number)
            return kept
        block = dict(_entries(zlib.decompress(self._file.get(*self._places[number]))))
        self._kept[number] = block
        if len(self._kept) > KEPT_BLOCKS:
            self._kept.popitem(last=False)
        return block

    def _read_directory(self, packed: bytes, count: int) -> None:
        position = 0
        for _ in range(count):
            length, _unused = _ENTRY.unpack_from(packed, position)
            position += _ENTRY.size
            self._firsts.append(packed[position : position + length])
            position += length
            self._places.append(_PLACE_IN_FILE.unpack_from(packed, position))
            position += _PLACE_IN_FILE.size


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    position, end = 0, len(block)
    while position < end:
        term_length, length = _ENTRY.unpack_from(block, position)
        position += _ENTRY.size
        yield block[position : position + term_length], block[position + term_length : position + term_length + length]
        position += term_length + length
