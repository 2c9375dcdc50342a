"""A group of the sealed spool, read by a reader made from docs/formats/sealed-spool.md alone, and by the program.

The vector is kept for ever: what was once taken in stays readable.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from pathlib import Path
from typing import Any

import zstandard
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mailstore import arrival_group
from mailstore.key_hierarchy import CaptureKeyPair
from mailstore.key_opener import CaptureOpener
from mailstore.keystore import WrappedKey
from tests.repository_room import ROOT

VECTOR: Any = json.loads((Path(__file__).parent / "sealed_spool_v1.json").read_text())
GROUP = bytes.fromhex(VECTOR["group"])


def derived(key: bytes, info: bytes, salt: bytes | None = None) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(key)


def context(kind: bytes, name: bytes) -> bytes:
    return struct.pack(">I", len(kind)) + kind + struct.pack(">I", len(name)) + name + struct.pack(">IQ", 8, 1)


def test_page_and_bytes_agree() -> None:
    assert GROUP[:4] == b"SRSG"
    index_length, content_length = struct.unpack(">IQ", GROUP[4:16])
    name, batch, sealed_for, wrapped_batch, wrapped = (
        GROUP[16:42],
        GROUP[42:58],
        GROUP[58:74],
        GROUP[74:154],
        GROUP[154:214],
    )
    assert hashlib.sha256(GROUP[:214]).digest()[:10] == GROUP[214:224]
    assert len(GROUP) == 224 + index_length + content_length
    private = X25519PrivateKey.from_private_bytes(bytes.fromhex(VECTOR["capture_private"]))
    assert hashlib.sha256(private.public_key().public_bytes_raw()).digest()[:16] == sealed_for
    suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
    batch_key = suite.decrypt(wrapped_batch, private, info=b"strongroom/batch-key/v1" + batch)
    key = AESGCM(batch_key).decrypt(wrapped[:12], wrapped[12:], b"strongroom/message-key/v1" + batch + name)
    index = GROUP[224 : 224 + index_length]
    opened = AESGCM(derived(key, b"strongroom/sealed-field/v1")).decrypt(
        index[1:13], index[13:], b"\x01" + context(b"sealed arrivals", name)
    )
    assert len(opened) == 1024
    told = json.loads(opened)
    assert (told["series"], told["before"]) == (VECTOR["series"], VECTOR["before"])
    content = content_of(GROUP[224 + index_length :][: told["content"]], key, name)
    start = 0
    for each, expected in zip(told["messages"], VECTOR["messages"], strict=True):
        assert {word: each[word] for word in ("at", "from", "to", "peer")} == {
            word: expected[word] for word in ("at", "from", "to", "peer")
        }
        assert content[start : start + each["bytes"]].decode() == expected["content"]
        start += each["bytes"]
    assert start == len(content)


def content_of(sealed: bytes, key: bytes, name: bytes) -> bytes:
    """A sealed object of one chunk."""
    header, salt, compression = sealed[:72], sealed[20:36], sealed[5]
    chunk_key = derived(
        key, b"strongroom/sealed-object/v1/chunks" + context(b"sealed arrivals content", name), salt=salt
    )
    packed = AESGCM(chunk_key).decrypt(bytes(11) + b"\x01", sealed[72:], header)
    return zstandard.ZstdDecompressor().decompress(packed) if compression else packed


def test_program_reads_the_vector() -> None:
    head = arrival_group.read_head(GROUP)
    opener = CaptureOpener(CaptureKeyPair.of(bytes.fromhex(VECTOR["capture_private"])))
    wrapped = WrappedKey(head.name, head.batch, head.sealed_for, head.wrapped_batch_key, head.wrapped_key)
    (key,) = opener.opened([wrapped])
    assert not isinstance(key, Exception)
    end = arrival_group.HEAD_BYTES + head.index_bytes
    index = arrival_group.open_index(GROUP[arrival_group.HEAD_BYTES : end], head=head, key=key)
    content = arrival_group.open_content(GROUP[end:], head=head, index=index, key=key)
    assert [each.received(content).content.decode() for each in index.messages] == [
        each["content"] for each in VECTOR["messages"]
    ]


def test_offsets_on_the_page_are_those_of_the_code() -> None:
    text = (ROOT / "docs" / "formats" / "sealed-spool.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \| (\d+) \|", text.split("## A group")[1], re.MULTILINE)
    sizes = [4, 4, 8, 26, 16, 16, 80, 60, 10]
    assert [(int(at), int(size)) for at, size in rows] == [(sum(sizes[:n]), size) for n, size in enumerate(sizes)]
    assert sum(sizes) == arrival_group.HEAD_BYTES
    for told in (arrival_group.LEAST_INDEX_BYTES, arrival_group.LEAST_CONTENT_BYTES, "SRSS", "SRSG"):
        assert str(told) in text
