"""Core: rows of the keystore as backups carry them, whatever engine keeps them: docs/formats/backup.md."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from mailstore.errors import TamperedError
from mailstore.instants import instant_of, microseconds
from mailstore.key_hierarchy import BATCH_ID_BYTES, FINGERPRINT_BYTES
from mailstore.keystore import BatchOfKeys, Destroyed, KeptKey
from mailstore.message import MessageId

PIECE_BYTES: Final = 1 << 22
"""Records in one piece: a base of a million keys is some fifty of them."""

KeyRecord = BatchOfKeys | KeptKey | Destroyed

_BATCH: Final = struct.Struct(f">{BATCH_ID_BYTES}sq{FINGERPRINT_BYTES}sH")
_KEY: Final = struct.Struct(f">{BATCH_ID_BYTES}sH")
_MARK: Final = struct.Struct(">qB")
_KIND_BYTES: Final = 1


def encoded(record: KeyRecord) -> bytes:
    """One record. A batch stands without its message keys, which are records of their own."""
    if isinstance(record, BatchOfKeys):
        made_at, wrapped = microseconds(record.made_at), record.wrapped
        return b"B" + _BATCH.pack(record.batch, made_at, record.sealed_for, len(wrapped)) + wrapped
    name = record.message.encode("ascii")
    begin = bytes([len(name)]) + name
    if isinstance(record, KeptKey):
        return b"K" + begin + _KEY.pack(record.batch, len(record.wrapped)) + record.wrapped
    return b"M" + begin + _MARK.pack(microseconds(record.at), record.is_proved)


def cut(records: Iterable[KeyRecord]) -> Iterator[bytes]:
    """Records in bounded pieces."""
    parts: list[bytes] = []
    size = 0
    for record in records:
        parts.append(encoded(record))
        size += len(parts[-1])
        if size >= PIECE_BYTES:
            yield b"".join(parts)
            parts, size = [], 0
    if parts:
        yield b"".join(parts)


def decoded(piece: bytes) -> Iterator[KeyRecord]:
    """The records of one piece. ``TamperedError`` for anything that ``encoded`` would not write."""
    start = 0
    while start < len(piece):
        read = _READERS.get(piece[start : start + _KIND_BYTES])
        if read is None:
            raise _no_record()
        try:
            record, start = read(piece, start + _KIND_BYTES)
        except (struct.error, IndexError, UnicodeDecodeError, OverflowError):
            raise _no_record() from None
        if start > len(piece):
            raise _no_record()
        yield record


def _batch(piece: bytes, start: int) -> tuple[KeyRecord, int]:
    batch, made_at, sealed_for, length = _BATCH.unpack_from(piece, start)
    start += _BATCH.size
    return BatchOfKeys(batch, instant_of(made_at), sealed_for, piece[start : start + length], ()), start + length


def _key(piece: bytes, start: int) -> tuple[KeyRecord, int]:
    message, start = _message(piece, start)
    batch, length = _KEY.unpack_from(piece, start)
    start += _KEY.size
    return KeptKey(message, batch, piece[start : start + length]), start + length


def _mark(piece: bytes, start: int) -> tuple[KeyRecord, int]:
    message, start = _message(piece, start)
    at, is_proved = _MARK.unpack_from(piece, start)
    return Destroyed(message, instant_of(at), bool(is_proved)), start + _MARK.size


def _message(piece: bytes, start: int) -> tuple[MessageId, int]:
    length = piece[start]
    end = start + 1 + length
    return MessageId(piece[start + 1 : end].decode("ascii")), end


_READERS: Final[dict[bytes, Callable[[bytes, int], tuple[KeyRecord, int]]]] = {b"B": _batch, b"K": _key, b"M": _mark}


def _no_record() -> TamperedError:
    return TamperedError("the records of keys in the backup are not what was written")
