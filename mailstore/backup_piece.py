"""Core: one sealed file of a backup, as docs/formats/backup.md says. Making one needs public keys alone.

A piece is named by the SHA-256 of its bytes, so that a changed one is known by its name.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from enum import IntEnum
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from mailstore.errors import TamperedError, WrongKeyError
from mailstore.key_hierarchy import FINGERPRINT_BYTES, CaptureKeyPair, fingerprint
from mailstore.sealed_format import KEY_BYTES, QUICK, Context, Randomness, open_sealed, seal

MAGIC: Final = b"SRBP"
VERSION: Final = 1
ID_BYTES: Final = 16
WRAPPED_BYTES: Final = 80
INFO: Final = b"strongroom/backup-piece/v1/"
CONTEXT_KIND: Final = "backup-piece"

_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_HEAD: Final = struct.Struct(f">4sBBH{FINGERPRINT_BYTES}s{ID_BYTES}s{WRAPPED_BYTES}s")
HEAD_BYTES: Final = _HEAD.size


class PieceKind(IntEnum):
    """What a piece holds."""

    PACK = 1
    INDEX = 2
    CONTENTS = 3
    KEY_RECORDS = 4


def sealed_piece(
    content: bytes, *, kind: PieceKind, recovery_public: bytes, randomness: Randomness, level: int = QUICK
) -> bytes:
    """A piece that only the private half of ``recovery_public`` opens. At most 256 MiB of content."""
    piece_id, key = randomness(ID_BYTES), randomness(KEY_BYTES)
    public = X25519PublicKey.from_public_bytes(recovery_public)
    wrapped = _SUITE.encrypt(key, public, info=_info(kind, piece_id))
    head = _HEAD.pack(MAGIC, VERSION, kind, 0, fingerprint(recovery_public), piece_id, wrapped)
    return head + seal(content, key=key, context=_context(kind, piece_id), randomness=randomness, level=level)


def opened_piece(piece: bytes, *, kind: PieceKind, pairs: Iterable[CaptureKeyPair]) -> bytes:
    """What was sealed. ``pairs``: the versions of the recovery key, the present one and its predecessors.

    Raises ``WrongKeyError`` when it was sealed for none of them, ``TamperedError`` for a piece that was changed or is
    of another kind.
    """
    return opened_with_key(piece, kind=kind, key=piece_key(piece[:HEAD_BYTES], pairs=pairs))


def piece_key(head: bytes, *, pairs: Iterable[CaptureKeyPair]) -> bytes:
    """The key of one piece, from its first ``HEAD_BYTES``. Raises as ``opened_piece``."""
    kind, sealed_for_bytes, piece_id, wrapped = _head(head)
    pair = next((each for each in pairs if fingerprint(each.public) == sealed_for_bytes), None)
    if pair is None:
        raise WrongKeyError("a piece of the backup was sealed for another recovery key")
    private = X25519PrivateKey.from_private_bytes(pair.private)
    try:
        return _SUITE.decrypt(wrapped, private, info=_info(kind, piece_id))
    except (InvalidTag, ValueError):
        raise TamperedError("a piece of the backup was changed") from None


def opened_with_key(piece: bytes, *, kind: PieceKind, key: bytes) -> bytes:
    """What was sealed, with the key of this very piece. ``TamperedError`` for a changed one, or one of another kind."""
    told, _, piece_id, _ = _head(piece)
    if told != kind:
        raise TamperedError("a piece of the backup is of another kind than its place says")
    return open_sealed(piece[HEAD_BYTES:], key=key, context=_context(kind, piece_id))


def sealed_for(piece: bytes) -> bytes:
    """The fingerprint of the recovery key that opens it. ``TamperedError`` for what is no piece."""
    return _head(piece)[1]


def digest_of(data: bytes) -> str:
    """The name of a file of a backup: SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _head(piece: bytes) -> tuple[int, bytes, bytes, bytes]:
    if len(piece) < HEAD_BYTES:
        raise TamperedError("a piece of the backup is not whole")
    magic, version, kind, reserved, for_whom, piece_id, wrapped = _HEAD.unpack(piece[:HEAD_BYTES])
    if (magic, version, reserved) != (MAGIC, VERSION, 0):
        raise TamperedError("a piece of the backup is of a form that this release does not know")
    return kind, for_whom, piece_id, wrapped


def _info(kind: int, piece_id: bytes) -> bytes:
    return INFO + bytes([kind]) + piece_id


def _context(kind: int, piece_id: bytes) -> Context:
    return (CONTEXT_KIND, piece_id.hex(), kind)
