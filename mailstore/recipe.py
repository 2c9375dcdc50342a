"""Core: how a message lies in the object store: what is its own, and where what it shares is put back.

``docs/formats/recipe.md``. Base64 lines (RFC 2045 section 6.8) are kept decoded where encoding them again gives
the very bytes that came; a long stretch of them is a part that messages may share. Whatever is odd stays as it came.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NewType, assert_never

from mailstore.errors import TamperedError
from mailstore.sealed_format import MAX_PLAIN_BYTES

PartId = NewType("PartId", str)
"""A part that messages may share: 26 characters of base32, random, as a message's id."""

SHARED_FROM_BYTES = 24 * 1024
"""A decoded stretch of this size is a part of its own: 32 KiB as it lies in the message."""

DIGEST_BYTES = 16
MAX_PIECES = 4096
MAX_LINE = 996
"""Characters of a base64 line that we decode, a multiple of 4; lines of mail have 998 (RFC 5322 section 2.1.1)."""

_MAGIC = b"SRRP\x01"
_HEAD = struct.Struct(">H16s")
_KINDS = {b"v": struct.Struct(">I"), b"b": struct.Struct(">HI"), b"s": struct.Struct(">HI26s")}
_FEWEST_LINES = 16
_PART = re.compile(rb"[a-z2-7]{26}\Z")
_LINES = re.compile(
    rb"^((?:[A-Za-z0-9+/]{40,%d}+\r\n){%d,}+)([A-Za-z0-9+/]{0,%d}+={0,2}\r\n)?" % (MAX_LINE, _FEWEST_LINES, MAX_LINE),
    re.MULTILINE,
)
"""Full lines, and one more that may be shorter or may be something else."""


@dataclass(frozen=True)
class Verbatim:
    """Bytes of the message as they came."""

    data: bytes = field(repr=False)

    @property
    def length(self) -> int:
        """Bytes in the message."""
        return len(self.data)


@dataclass(frozen=True)
class Encoded:
    """Bytes that stand in the message as base64, in lines of ``line`` characters."""

    data: bytes = field(repr=False)
    line: int

    @property
    def length(self) -> int:
        """Bytes in the message."""
        return _encoded_length(len(self.data), self.line)


@dataclass(frozen=True)
class Shared:
    """A shared part of ``size`` bytes that stands in the message as base64, in lines of ``line`` characters."""

    part: PartId
    size: int
    line: int

    @property
    def length(self) -> int:
        """Bytes in the message."""
        return _encoded_length(self.size, self.line)


Piece = Verbatim | Encoded | Shared


@dataclass(frozen=True)
class Recipe:
    """A whole message in pieces. ``digest``: the first 16 bytes of its SHA-256."""

    pieces: tuple[Piece, ...]
    digest: bytes

    @property
    def parts(self) -> tuple[PartId, ...]:
        """The shared parts it needs, each once."""
        return tuple(dict.fromkeys(piece.part for piece in self.pieces if isinstance(piece, Shared)))

    def to_bytes(self) -> bytes:
        """As it is sealed."""
        heads = b"".join(_head_of(piece) for piece in self.pieces)
        bodies = b"".join(piece.data for piece in self.pieces if not isinstance(piece, Shared))
        return _MAGIC + _HEAD.pack(len(self.pieces), self.digest) + heads + bodies

    @classmethod
    def from_bytes(cls, data: bytes) -> Recipe:
        """What ``to_bytes`` gave. ``TamperedError`` for anything else, and for more than a message may hold."""
        try:
            return _parsed(data)
        except struct.error:
            raise _odd() from None


def pieces_of(content: bytes) -> Iterator[Verbatim | Encoded]:
    """The message in pieces that together are its very bytes, ``MAX_PIECES`` at most. One linear pass."""
    done = 0
    for number, found in enumerate(_LINES.finditer(content)):
        encoded = _decoded(found.group()) or _decoded(found.group(1))
        if encoded is None:
            continue
        if number >= MAX_PIECES // 2 - 1:
            break
        if found.start() > done:
            yield Verbatim(content[done : found.start()])
        yield encoded
        done = found.start() + encoded.length
    if done < len(content) or not content:
        yield Verbatim(content[done:])


def recipe_of(content: bytes, pieces: Sequence[Piece]) -> Recipe:
    """The recipe of a message that is made of these pieces."""
    return Recipe(tuple(pieces), _digest(content))


def content_of(recipe: Recipe, part: Callable[[PartId], bytes]) -> bytes:
    """The very bytes of the message. ``part`` gives a shared part's content.

    Raises ``TamperedError`` when they are not those that the recipe was made of, and what ``part`` raises.
    """
    content = b"".join(_bytes_of(piece, part) for piece in recipe.pieces)
    if not hmac.compare_digest(_digest(content), recipe.digest):
        raise TamperedError("the message is not put together as it was taken apart")
    return content


def _decoded(lines: bytes) -> Encoded | None:
    """The content of base64 lines, when encoding it gives these very lines."""
    line = lines.index(b"\r\n")
    if line % 4:
        return None
    try:
        data = binascii.a2b_base64(lines)
    except binascii.Error:
        return None
    return Encoded(data, line) if _in_lines(data, line) == lines else None


def _in_lines(data: bytes, line: int) -> bytes:
    step = line // 4 * 3
    return b"".join(
        binascii.b2a_base64(data[start : start + step], newline=False) + b"\r\n" for start in range(0, len(data), step)
    )


def _encoded_length(size: int, line: int) -> int:
    step = line // 4 * 3
    return -(-size // 3) * 4 + -(-size // step) * 2


def _bytes_of(piece: Piece, part: Callable[[PartId], bytes]) -> bytes:
    match piece:
        case Verbatim():
            return piece.data
        case Encoded():
            return _in_lines(piece.data, piece.line)
        case Shared():
            data = part(piece.part)
            if len(data) != piece.size:
                raise TamperedError(f"shared part {piece.part} is not as long as the message says")
            return _in_lines(data, piece.line)
        case _:
            assert_never(piece)


def _head_of(piece: Piece) -> bytes:
    match piece:
        case Verbatim():
            return b"v" + _KINDS[b"v"].pack(len(piece.data))
        case Encoded():
            return b"b" + _KINDS[b"b"].pack(piece.line, len(piece.data))
        case Shared():
            return b"s" + _KINDS[b"s"].pack(piece.line, piece.size, piece.part.encode("ascii"))
        case _:
            assert_never(piece)


def _parsed(data: bytes) -> Recipe:
    if not data.startswith(_MAGIC):
        raise _odd()
    count, digest = _HEAD.unpack_from(data, len(_MAGIC))
    if count > MAX_PIECES:
        raise _odd()
    place, heads = len(_MAGIC) + _HEAD.size, []
    for _ in range(count):
        kind = data[place : place + 1]
        if kind not in _KINDS:
            raise _odd()
        heads.append((kind, _KINDS[kind].unpack_from(data, place + 1)))
        place += 1 + _KINDS[kind].size
    pieces = tuple(_filled(heads, memoryview(data)[place:]))
    if sum(piece.length for piece in pieces) > MAX_PLAIN_BYTES:
        raise _odd()
    return Recipe(pieces, digest)


def _filled(heads: Sequence[tuple[bytes, tuple[Any, ...]]], bodies: memoryview) -> Iterator[Piece]:
    """The pieces, each with its bytes: all of the bytes, and no more than there are."""
    place = 0
    for kind, told in heads:
        if kind == b"s":
            yield Shared(_checked_part(told[2]), told[1], _checked_line(told[0]))
            continue
        size = told[-1]
        data = bytes(bodies[place : place + size])
        if len(data) != size:
            raise _odd()
        place += size
        yield Verbatim(data) if kind == b"v" else Encoded(data, _checked_line(told[0]))
    if place != len(bodies):
        raise _odd()


def _checked_line(line: int) -> int:
    if line % 4 or not 0 < line <= MAX_LINE:
        raise _odd()
    return line


def _checked_part(name: bytes) -> PartId:
    if not _PART.match(name):
        raise _odd()
    return PartId(name.decode("ascii"))


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()[:DIGEST_BYTES]


def _odd() -> TamperedError:
    return TamperedError("the recipe of the message is of no known form")
