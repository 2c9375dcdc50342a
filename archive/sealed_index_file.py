"""One sealed file of the search index: written whole, read by position, every chunk verified before it is used.

The format is written down in ``docs/formats/sealed-index.md``.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mailstore.errors import TamperedError

CHUNK_BYTES = 65_536
KEPT_CHUNKS = 512
"""Opened chunks kept in memory by one storage: 32 MiB at most."""

_TAG_BYTES = 16
_ID_BYTES = 16
_MAGIC = b"SRINDEX2"


@dataclass(frozen=True)
class SealedFile:
    """One file of the index: ``id`` is its random name on disk, ``length`` its plain length, ``key`` 32 random bytes.

    The key is this file's alone and stands nowhere but in the sealed manifest: it dies with the manifests that list it.
    """

    id: str
    length: int
    key: bytes = field(repr=False)

    @property
    def disk_name(self) -> str:
        """What it is called in the directory; says nothing about what is in it."""
        return f"{self.id}.sealed"

    @property
    def chunks(self) -> int:
        """An empty file has one empty chunk, so that it is authenticated too."""
        return max(1, -(-self.length // CHUNK_BYTES))

    @property
    def sealed_length(self) -> int:
        """What the file measures on disk, to the byte."""
        return len(_MAGIC) + _ID_BYTES + self.length + self.chunks * _TAG_BYTES


def nonce(number: int) -> bytes:
    """Chunks are counted; the key is fresh for every file, so a counter never repeats (SP 800-38D section 8.2.1)."""
    return number.to_bytes(12, "big")


def _bound_to(file: SealedFile, number: int) -> bytes:
    """A chunk belongs to one place of one file of one length: it can be neither moved nor cut off."""
    return _MAGIC + bytes.fromhex(file.id) + number.to_bytes(8, "big") + file.length.to_bytes(8, "big")


def tampered(disk_name: str) -> TamperedError:
    """The file of that name is not what was written."""
    return TamperedError(
        f"the index file {disk_name} is not what was written",
        fix="Rebuild the index: it is made anew from the messages.",
    )


def seal(file: SealedFile, plain: bytes) -> bytes:
    """The bytes on disk for the plain bytes of a file."""
    cipher = AESGCM(file.key)
    chunks = (
        cipher.encrypt(nonce(each), plain[each * CHUNK_BYTES : (each + 1) * CHUNK_BYTES], _bound_to(file, each))
        for each in range(file.chunks)
    )
    return _MAGIC + bytes.fromhex(file.id) + b"".join(chunks)


class ChunkMemory:
    """The chunks that were opened last, so many at most."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._chunks: OrderedDict[tuple[str, int], bytes] = OrderedDict()

    def find(self, file: SealedFile, number: int) -> bytes | None:
        """The chunk, if it is still here."""
        found = self._chunks.get((file.id, number))
        if found is not None:
            self._chunks.move_to_end((file.id, number))
        return found

    def keep(self, file: SealedFile, number: int, chunk: bytes) -> None:
        """Remember a chunk and forget the one not used for longest."""
        self._chunks[file.id, number] = chunk
        if len(self._chunks) > self._most:
            self._chunks.popitem(last=False)

    def keep_only(self, ids: set[str]) -> None:
        """Forget every chunk of files that are no longer part of the index."""
        for place in [place for place in self._chunks if place[0] not in ids]:
            del self._chunks[place]


class OpenedFile:
    """A sealed file as Whoosh reads it: by position, each chunk verified before any of it is returned.

    Has no ``fileno``: nobody may map or copy the bytes behind the seal.
    """

    def __init__(self, directory: Path, file: SealedFile, *, memory: ChunkMemory) -> None:
        self._descriptor = -1
        self._file = file
        self._descriptor = os.open(directory / file.disk_name, os.O_RDONLY | os.O_CLOEXEC)
        head = os.pread(self._descriptor, len(_MAGIC) + _ID_BYTES, 0)
        if os.fstat(self._descriptor).st_size != file.sealed_length or head != _MAGIC + bytes.fromhex(file.id):
            raise tampered(file.disk_name)
        self._cipher = AESGCM(file.key)
        self._memory = memory
        self._position = 0
        self._last = (-1, b"")

    def read(self, size: int | None = None) -> bytes:
        """The next bytes, fewer at the end of the file."""
        wanted = self._file.length - self._position if size is None or size < 0 else size
        data = self.at(self._position, wanted)
        self._position += len(data)
        return data

    def readline(self) -> bytes:
        """The next bytes up to and with a line feed; what unpickling asks for."""
        rest = self.at(self._position, self._file.length - self._position)
        line = rest[: rest.find(b"\n") + 1] or rest
        self._position += len(line)
        return line

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, counted from the beginning, from here or from the end."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._file.length}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        """Where the next read begins."""
        return self._position

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        self.close()

    def at(self, position: int, size: int) -> bytes:
        """The bytes at a place, without moving."""
        number, offset = divmod(position, CHUNK_BYTES)
        if offset + size <= CHUNK_BYTES:
            return self._chunk(number)[offset : offset + size]
        end = min(position + size, self._file.length)
        last = max(number, (end - 1) // CHUNK_BYTES)
        whole = b"".join(self._chunk(each) for each in range(number, last + 1))
        return whole[offset : offset + end - position]

    def verify(self) -> None:
        """Authenticate every chunk. Raises ``TamperedError`` naming the file."""
        for number in range(self._file.chunks):
            self._opened(number)

    def _chunk(self, number: int) -> bytes:
        if self._last[0] == number:
            return self._last[1]
        if number >= self._file.chunks:
            return b""
        chunk = self._memory.find(self._file, number)
        if chunk is None:
            chunk = self._opened(number)
            self._memory.keep(self._file, number, chunk)
        self._last = (number, chunk)
        return chunk

    def _opened(self, number: int) -> bytes:
        start = len(_MAGIC) + _ID_BYTES + number * (CHUNK_BYTES + _TAG_BYTES)
        sealed = os.pread(self._descriptor, CHUNK_BYTES + _TAG_BYTES, start)
        try:
            return self._cipher.decrypt(nonce(number), sealed, _bound_to(self._file, number))
        except InvalidTag:
            raise tampered(self._file.disk_name) from None
