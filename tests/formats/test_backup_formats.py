"""A backup written once stays readable for ever. The vector is added to, never regenerated.

The piece, the pack and the index are read here a second time by a reader made from docs/formats/backup.md alone.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mailstore import backup_key_records, backup_listing, sealed_format
from mailstore.backup_contents import DataContents, KeysContents
from mailstore.backup_piece import PieceKind, opened_piece
from mailstore.document_signing import SeedSigner
from mailstore.errors import TamperedError
from mailstore.key_hierarchy import CaptureKeyPair

VECTOR: dict[str, Any] = json.loads((Path(__file__).parent / "backup_v1.json").read_text("ascii"))
PRIVATE = bytes.fromhex(VECTOR["data_recovery_private"])


def opened_by_the_page(piece: bytes, kind: int) -> bytes:
    """As the page says, table by table. The sealed object inside has vectors and a second reader of its own."""
    private = X25519PrivateKey.from_private_bytes(PRIVATE)
    assert (piece[:4], piece[4], piece[5], piece[6:8]) == (b"SRBP", 1, kind, bytes(2))
    assert piece[8:24] == hashlib.sha256(private.public_key().public_bytes_raw()).digest()[:16]
    info = b"strongroom/backup-piece/v1/" + bytes([kind]) + piece[24:40]
    key = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM).decrypt(piece[40:120], private, info=info)
    return sealed_format.open_sealed(piece[120:], key=key, context=("backup-piece", piece[24:40].hex(), kind))


def mark_of(content: bytes) -> bytes:
    hkdf = HKDF(SHA256(), 32, None, b"strongroom/backup/v1/marks")
    mark_key = hkdf.derive(bytes.fromhex(VECTOR["row_key"]))
    return hmac.digest(mark_key, hashlib.sha256(content).digest(), "sha256")[:16]


def test_pack_and_index_are_what_the_page_says() -> None:
    pack_piece = bytes.fromhex(VECTOR["pack"])
    pack = opened_by_the_page(pack_piece, 1)
    index = opened_by_the_page(bytes.fromhex(VECTOR["index"]), 2)
    chunks = [bytes.fromhex(each) for each in VECTOR["chunks"]]
    assert pack == b"".join(mark_of(each) + len(each).to_bytes(4, "big") + each for each in chunks)
    assert index[:36] == hashlib.sha256(pack_piece).digest() + len(chunks).to_bytes(4, "big")
    for number, content in enumerate(chunks):
        entry = index[36 + 24 * number :][:24]
        offset, length = int.from_bytes(entry[16:20], "big"), int.from_bytes(entry[20:], "big")
        assert (entry[:16], pack[offset : offset + length]) == (mark_of(content), content)


@pytest.mark.parametrize("kind", [PieceKind.PACK, PieceKind.INDEX, PieceKind.CONTENTS])
def test_every_piece_opens(kind: PieceKind) -> None:
    piece = bytes.fromhex(VECTOR[kind.name.lower()])
    assert opened_piece(piece, kind=kind, pairs=[CaptureKeyPair.of(PRIVATE)]) == opened_by_the_page(piece, kind)


def test_contents_are_read_and_written_the_same() -> None:
    told = opened_by_the_page(bytes.fromhex(VECTOR["contents"]), 3)
    assert told == VECTOR["contents_plain"].encode()
    assert DataContents.from_bytes(told).to_bytes() == told
    keys = VECTOR["keys_contents"].encode()
    assert KeysContents.from_bytes(keys).to_bytes() == keys


def test_listing_is_proved_by_its_signature() -> None:
    seed = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(VECTOR["audit_seed"]))
    data = VECTOR["listing"].encode()
    public = seed.public_key().public_bytes_raw()
    listing = backup_listing.proved(VECTOR["listing_name"], data, audit_public=public)
    assert listing.signed(SeedSigner(bytes.fromhex(VECTOR["audit_seed"]), bytes(32))) == data
    told = json.loads(data)
    signature = bytes.fromhex(told.pop("signature"))
    body = json.dumps(told, sort_keys=True, separators=(",", ":")).encode()
    seed.public_key().verify(signature, b"strongroom backup listing v1\n" + body)


def test_key_records_are_read_and_written_the_same() -> None:
    records = bytes.fromhex(VECTOR["key_records"])
    assert b"".join(map(backup_key_records.encoded, backup_key_records.decoded(records))) == records
    assert records[:1] == b"B"
    assert records[1:17] == bytes(range(16))


def test_cut_records_are_refused() -> None:
    records = bytes.fromhex(VECTOR["key_records"])
    whole = {0, 123, 123 + 106, len(records)}
    for length in set(range(len(records))) - whole:
        with pytest.raises(TamperedError):
            list(backup_key_records.decoded(records[:length]))
