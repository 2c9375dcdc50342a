"""Core: the sealed object and the sealed field, byte for byte as docs/formats/sealed-object.md says.

What is sealed opens only with its key **and** the context that the reader tells from its own row. Damage of
any kind is ``TamperedError``, another key is ``WrongKeyError``, and nothing is given out before all verified.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mailstore.errors import LimitExceededError, TamperedError, WrongKeyError
from mailstore.keyed_digest import KeyedDigest, keyed_digest

Context = tuple[str, str, int]
"""Kind, identity and version of the thing sealed, as the reader's own row tells them."""

Randomness = Callable[[int], bytes]
"""Gives that many unpredictable bytes, as ``os.urandom`` does."""

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
SALT_BYTES = 16
MAGIC = b"SROB"
MAX_PLAIN_BYTES = 1 << 28
"""256 MiB, several times the largest message taken. A longer object is neither made nor opened."""

_VERSION = 1
_PLAIN, _ZSTD = 0, 1
_CHUNK_LOG2 = 16
_CHUNK_LOG2_RANGE = range(12, 25)
QUICK = 1
"""The zstd level on the way in, where the sender waits. Higher levels are for whoever has time."""

_CODECS_KEPT = 4
_LAST_OF_MAIL = (1 << 32) - 1
"""The greatest number of a dictionary that the header can name. Those with a greater one are part of the program."""

_Place = TypeVar("_Place")
_Codec = TypeVar("_Codec")
_FIXED = struct.Struct(">4sBBBBIQ16s32s")
_CHECK_BYTES = 4
_LENGTH = struct.Struct(">I")
_VERSION_PART = struct.Struct(">IQ")
HEADER_BYTES = _FIXED.size + _CHECK_BYTES

_COMMITMENT_INFO = b"strongroom/sealed-object/v1/commitment"
_CHUNKS_INFO = b"strongroom/sealed-object/v1/chunks"
_FIELD_INFO = b"strongroom/sealed-field/v1"
_FIELD_VERSION = b"\x01"
_UNSALTED = KeyedDigest(bytes(32))
_FIRST_BLOCK = b"\x01"


@dataclass(frozen=True, eq=False)
class Dictionary:
    """Text that many contents share, known to writer and reader: a raw-content dictionary of zstd (RFC 8878).

    ``number`` names it in the header of every object that needs it, 1 to 2^32 - 1. Larger ones belong to texts that
    are part of a format.
    """

    number: int
    content: bytes = field(repr=False)


Dictionaries = Callable[[int], Dictionary]
"""Gives the dictionary by its number. Raises a ``StrongroomError`` when there is none."""


def no_dictionaries(number: int) -> Dictionary:
    """Where only objects without a dictionary belong."""
    raise TamperedError(f"the sealed object needs dictionary {number}, and none belongs here")


@dataclass(frozen=True)
class _Header:
    compression: int
    chunk_log2: int
    dictionary: int
    plain_size: int
    salt: bytes = field(repr=False)
    commitment: bytes = field(repr=False)

    def packed(self) -> bytes:
        fixed = _FIXED.pack(
            MAGIC,
            _VERSION,
            self.compression,
            self.chunk_log2,
            0,
            self.dictionary,
            self.plain_size,
            self.salt,
            self.commitment,
        )
        return fixed + hashlib.sha256(fixed).digest()[:_CHECK_BYTES]


class _Codecs(threading.local):
    """Compressors and decompressors of one thread: none may be shared, and making them is dear."""

    def __init__(self) -> None:
        self._compressors: dict[tuple[int, int], tuple[Dictionary | None, zstandard.ZstdCompressor]] = {}
        self._decompressors: dict[int, tuple[Dictionary | None, zstandard.ZstdDecompressor]] = {}

    def compressor(self, level: int, dictionary: Dictionary | None) -> zstandard.ZstdCompressor:
        """For one level and dictionary."""
        place = (level, _number(dictionary))
        known = self._compressors.get(place)
        if known is None or known[0] is not dictionary:
            self._forget_older(dictionary)
            known = (dictionary, zstandard.ZstdCompressor(level=level, dict_data=_window(dictionary)))
            _keep(self._compressors, place, known)
        return known[1]

    def _forget_older(self, dictionary: Dictionary | None) -> None:
        """Nothing is packed any more with a dictionary of mail that a newer one followed."""
        if dictionary is not None and dictionary.number <= _LAST_OF_MAIL:
            for place in [place for place in self._compressors if 0 < place[1] < dictionary.number]:
                del self._compressors[place]

    def decompressor(self, dictionary: Dictionary | None) -> zstandard.ZstdDecompressor:
        """For one dictionary."""
        place = _number(dictionary)
        known = self._decompressors.get(place)
        if known is None or known[0] is not dictionary:
            known = (dictionary, zstandard.ZstdDecompressor(dict_data=_window(dictionary)))
            _keep(self._decompressors, place, known)
        return known[1]


def _number(dictionary: Dictionary | None) -> int:
    return 0 if dictionary is None else dictionary.number


def _window(dictionary: Dictionary | None) -> zstandard.ZstdCompressionDict | None:
    if dictionary is None:
        return None
    return zstandard.ZstdCompressionDict(dictionary.content, dict_type=zstandard.DICT_TYPE_RAWCONTENT)


def _keep(codecs: dict[_Place, _Codec], place: _Place, codec: _Codec) -> None:
    """Few at a time: each with a dictionary holds 1 to 3.5 MB, by its level, and every thread has its own."""
    codecs[place] = codec
    while len(codecs) > _CODECS_KEPT:
        del codecs[next(iter(codecs))]


_codecs = _Codecs()


def derive(key: bytes, *, info: bytes, salt: bytes | None = None) -> bytes:
    """32 bytes of HKDF-SHA256 (RFC 5869) of a 32-byte key.

    One block of output is two HMACs; as such it costs a fraction of the library's HKDF.
    """
    return _expanded(_extracted(key, salt), info)


def _extracted(key: bytes, salt: bytes | None) -> bytes:
    return _UNSALTED.over(_whole_key(key)) if salt is None else keyed_digest(salt, _whole_key(key))


def _expanded(extracted: bytes, info: bytes) -> bytes:
    return keyed_digest(extracted, info + _FIRST_BLOCK)


def seal(
    content: bytes,
    *,
    key: bytes,
    context: Context,
    randomness: Randomness,
    level: int = QUICK,
    dictionary: Dictionary | None = None,
) -> bytes:
    """The sealed object of ``content`` under a 32-byte ``key``, bound to ``context``. At most 256 MiB.

    ``level`` is zstd's, 1 to 19: how long to look for what repeats. With a ``dictionary`` only its owner can open.
    """
    if len(content) > MAX_PLAIN_BYTES:
        raise LimitExceededError("an object holds at most 256 MiB")
    packed = _codecs.compressor(level, dictionary).compress(content)
    compression = _ZSTD if len(packed) < len(content) else _PLAIN
    salt = randomness(SALT_BYTES)
    extracted = _extracted(key, salt)
    header = _Header(
        compression=compression,
        chunk_log2=_CHUNK_LOG2,
        dictionary=_number(dictionary) if compression == _ZSTD else 0,
        plain_size=len(content),
        salt=salt,
        commitment=_expanded(extracted, _COMMITMENT_INFO),
    ).packed()
    chunk_key = _expanded(extracted, _CHUNKS_INFO + _context_bytes(context))
    return header + _seal_chunks(packed if compression == _ZSTD else content, AESGCM(chunk_key), header)


def open_sealed(sealed: bytes, *, key: bytes, context: Context, dictionaries: Dictionaries = no_dictionaries) -> bytes:
    """The content of a sealed object, whole and verified.

    Raises ``TamperedError`` when anything but the key is not as it was written (the context included),
    ``WrongKeyError`` when the object was sealed under another key, and what ``dictionaries`` raises.
    """
    header = _read_header(sealed)
    if not hmac.compare_digest(derive(key, info=_COMMITMENT_INFO, salt=header.salt), header.commitment):
        raise WrongKeyError(f"the key does not open this {context[0]}")
    chunk_key = derive(key, info=_CHUNKS_INFO + _context_bytes(context), salt=header.salt)
    packed = _open_chunks(sealed, AESGCM(chunk_key), 1 << header.chunk_log2)
    return _unpack(packed, header, dictionaries)


def dictionary_of(sealed: bytes) -> int:
    """The number of the dictionary that a sealed object needs; 0 for none. ``TamperedError`` as ``open_sealed``."""
    return _read_header(sealed).dictionary


def seal_field(data: bytes, *, key: bytes, context: Context, nonce: bytes) -> bytes:
    """The sealed field of a column's value. ``nonce``: 12 fresh random bytes; at most 2^32 values a key."""
    return FieldSealer(key).seal(data, context=context, nonce=nonce)


class FieldSealer:
    """Seals several fields under one key, whose cipher is made once."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(derive(key, info=_FIELD_INFO))

    def seal(self, data: bytes, *, context: Context, nonce: bytes) -> bytes:
        """As ``seal_field``."""
        if len(nonce) != NONCE_BYTES:
            raise ValueError("a nonce is 12 bytes")
        return _FIELD_VERSION + nonce + self._cipher.encrypt(nonce, data, _FIELD_VERSION + _context_bytes(context))


def open_field(sealed: bytes, *, key: bytes, context: Context) -> bytes:
    """The value of a sealed field. ``TamperedError`` when it, its key or its place is not what it was."""
    if sealed[:1] != _FIELD_VERSION or len(sealed) < 1 + NONCE_BYTES + TAG_BYTES:
        raise TamperedError(f"the sealed {context[0]} is not of a known form")
    cipher = AESGCM(derive(key, info=_FIELD_INFO))
    try:
        return cipher.decrypt(
            sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :], _FIELD_VERSION + _context_bytes(context)
        )
    except InvalidTag:
        raise TamperedError(f"the sealed {context[0]} does not verify in its place") from None


def _whole_key(key: bytes) -> bytes:
    if len(key) != KEY_BYTES:
        raise ValueError("a key is 32 bytes")
    return key


def _context_bytes(context: Context) -> bytes:
    kind, identity = context[0].encode(), context[1].encode()
    return b"%b%b%b%b%b" % (
        _LENGTH.pack(len(kind)),
        kind,
        _LENGTH.pack(len(identity)),
        identity,
        _VERSION_PART.pack(8, context[2]),
    )


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(NONCE_BYTES - 1, "big") + (b"\x01" if last else b"\x00")


def _seal_chunks(packed: bytes, cipher: AESGCM, header: bytes) -> bytes:
    size = 1 << _CHUNK_LOG2
    starts = range(0, len(packed), size) or range(1)
    view = memoryview(packed)
    return b"".join(
        cipher.encrypt(_nonce(number, last=number == len(starts) - 1), view[start : start + size], header)
        for number, start in enumerate(starts)
    )


def _open_chunks(sealed: bytes, cipher: AESGCM, chunk_size: int) -> bytes:
    header, view, step = sealed[:HEADER_BYTES], memoryview(sealed), chunk_size + TAG_BYTES
    starts = range(HEADER_BYTES, len(sealed), step)
    try:
        chunks = [
            cipher.decrypt(_nonce(number, last=number == len(starts) - 1), view[start : start + step], header)
            for number, start in enumerate(starts)
        ]
    except InvalidTag:
        raise TamperedError("a chunk of the sealed object does not verify in its place") from None
    if len(chunks) > 1 and not chunks[-1]:
        raise TamperedError("the sealed object ends in an empty chunk that nobody writes")
    return b"".join(chunks)


def _read_header(sealed: bytes) -> _Header:
    if len(sealed) < HEADER_BYTES + TAG_BYTES or sealed[: len(MAGIC)] != MAGIC:
        raise TamperedError("this is not a whole sealed object")
    fixed, check = sealed[: _FIXED.size], sealed[_FIXED.size : HEADER_BYTES]
    if hashlib.sha256(fixed).digest()[:_CHECK_BYTES] != check:
        raise TamperedError("the header of the sealed object was changed")
    _, version, compression, chunk_log2, reserved, dictionary, plain_size, salt, commitment = _FIXED.unpack(fixed)
    known = (version, reserved) == (_VERSION, 0) and (dictionary == 0 or compression == _ZSTD)
    if not known or compression not in (_PLAIN, _ZSTD) or chunk_log2 not in _CHUNK_LOG2_RANGE:
        raise TamperedError("the sealed object is of a form that this release does not know")
    if plain_size > MAX_PLAIN_BYTES:
        raise TamperedError("the sealed object claims to hold more than any may")
    return _Header(compression, chunk_log2, dictionary, plain_size, salt, commitment)


def _unpack(packed: bytes, header: _Header, dictionaries: Dictionaries) -> bytes:
    dictionary = dictionaries(header.dictionary) if header.dictionary else None
    content = packed if header.compression == _PLAIN else _decompressed(packed, header.plain_size, dictionary)
    if len(content) != header.plain_size:
        raise TamperedError("the sealed object is not as long as its header says")
    return content


def packed(data: bytes, *, level: int, dictionary: Dictionary) -> bytes:
    """One zstd frame (RFC 8878) that announces its size."""
    return _codecs.compressor(level, dictionary).compress(data)


def unpacked(frame: bytes, *, at_most: int, dictionary: Dictionary) -> bytes:
    """What ``packed`` was given. ``TamperedError`` for anything else, and for more than ``at_most`` bytes."""
    try:
        size = zstandard.get_frame_parameters(frame).content_size
    except zstandard.ZstdError:
        raise TamperedError("what was packed cannot be unpacked") from None
    if size > at_most:
        raise TamperedError("what was packed claims to be larger than any may be")
    return _decompressed(frame, size, dictionary)


def _decompressed(packed: bytes, plain_size: int, dictionary: Dictionary | None) -> bytes:
    try:
        if zstandard.get_frame_parameters(packed).content_size != plain_size:
            raise TamperedError("the packed content announces another size than the header")
        codec = _codecs.decompressor(dictionary)
        return codec.decompress(packed, max_output_size=plain_size, allow_extra_data=False)
    except zstandard.ZstdError:
        raise TamperedError("the packed content of the sealed object cannot be unpacked") from None
