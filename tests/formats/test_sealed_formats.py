"""Bytes written once stay readable for ever. These vectors are added to, never regenerated.

The sealed object and field are read here a second time by a reader made from docs/formats/sealed-object.md alone,
so that the document, and not only the program, says what the bytes mean.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest
import zstandard
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mailstore import recipe, sealed_format
from mailstore.key_custody import unlock
from mailstore.key_hierarchy import (
    VERSIONED,
    BatchKey,
    DepositKeys,
    KeyRing,
    blind_index,
    fingerprint,
    unwrap_batch_key,
    unwrap_message_key,
)
from mailstore.sealed_columns import SUMMARY_TEXT
from mailstore.slot_key_file import KeyFile
from mailstore.slot_kinds import secret_in
from mailstore.slot_passphrase import PassphraseFile

HERE = Path(__file__).parent


def vectors(name: str) -> Any:
    return json.loads((HERE / name).read_text())


def context_of(vector: dict[str, Any]) -> sealed_format.Context:
    kind, identity, version = vector["context"]
    return (kind, identity, version)


def content_of(vector: dict[str, Any]) -> bytes:
    if "content" in vector:
        return bytes.fromhex(vector["content"])
    noise = vector["content_shake256"]
    return hashlib.shake_256(noise["seed"].encode()).digest(noise["bytes"])


def sealed_of(vector: dict[str, Any]) -> bytes:
    """Long vectors are kept as a digest; their content does not compress, so sealing again gives the same bytes."""
    if "sealed" in vector:
        return bytes.fromhex(vector["sealed"])
    given = [bytes.fromhex(piece) for piece in vector["randomness"]]
    sealed = sealed_format.seal(
        content_of(vector),
        key=bytes.fromhex(vector["key"]),
        context=context_of(vector),
        randomness=lambda _count: given.pop(0),
    )
    assert hashlib.sha256(sealed).hexdigest() == vector["sealed_sha256"]
    return sealed


def hkdf(key: bytes, salt: bytes | None, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(key)


def told(context: sealed_format.Context) -> bytes:
    kind, identity = context[0].encode(), context[1].encode()
    return (
        struct.pack(">I", len(kind))
        + kind
        + struct.pack(">I", len(identity))
        + identity
        + struct.pack(">IQ", 8, context[2])
    )


def read_object_by_the_document(
    sealed: bytes,
    key: bytes,
    context: sealed_format.Context,
    dictionary: sealed_format.Dictionary | None = None,
) -> bytes:
    header = sealed[:72]
    assert header[:8] == b"SROB\x01" + header[5:6] + b"\x10\x00"
    assert header[8:12] == (0 if dictionary is None else dictionary.number).to_bytes(4, "big")
    assert hashlib.sha256(header[:68]).digest()[:4] == header[68:72]
    salt = header[20:36]
    assert hkdf(key, salt, b"strongroom/sealed-object/v1/commitment") == header[36:68]
    cipher = AESGCM(hkdf(key, salt, b"strongroom/sealed-object/v1/chunks" + told(context)))
    body, packed, number = sealed[72:], b"", 0
    while True:
        chunk, body = body[: 65536 + 16], body[65536 + 16 :]
        nonce = number.to_bytes(11, "big") + (b"\0" if body else b"\1")
        packed += cipher.decrypt(nonce, chunk, header)
        number += 1
        if not body:
            break
    shared = zstandard.ZstdCompressionDict(dictionary.content if dictionary else b"")
    content = zstandard.ZstdDecompressor(dict_data=shared).decompress(packed) if header[5] == 1 else packed
    assert len(content) == int.from_bytes(header[12:20], "big")
    return content


@pytest.mark.parametrize("vector", vectors("sealed_object_v1.json"), ids=lambda vector: str(vector["name"]))
def test_sealed_object_version_1_opens(vector: dict[str, Any]) -> None:
    sealed, key, context = sealed_of(vector), bytes.fromhex(vector["key"]), context_of(vector)
    assert sealed_format.open_sealed(sealed, key=key, context=context) == content_of(vector)
    assert read_object_by_the_document(sealed, key, context) == content_of(vector)


@pytest.mark.parametrize("vector", vectors("sealed_object_dictionary_v1.json"), ids=lambda vector: str(vector["name"]))
def test_sealed_object_with_a_dictionary_opens(vector: dict[str, Any]) -> None:
    sealed, key, context = bytes.fromhex(vector["sealed"]), bytes.fromhex(vector["key"]), context_of(vector)
    told = vector["dictionary"]
    dictionary = sealed_format.Dictionary(told["number"], bytes.fromhex(told["content"]))
    opened = sealed_format.open_sealed(
        sealed, key=key, context=context, dictionaries={dictionary.number: dictionary}.__getitem__
    )
    assert opened == read_object_by_the_document(sealed, key, context, dictionary) == content_of(vector)
    assert sealed_format.dictionary_of(sealed) == dictionary.number


@pytest.mark.parametrize("vector", vectors("packed_summary_v1.json"), ids=lambda vector: str(vector["name"]))
def test_packed_summary_version_1_opens(vector: dict[str, Any]) -> None:
    opened = sealed_format.unpacked(bytes.fromhex(vector["packed"]), at_most=1 << 20, dictionary=SUMMARY_TEXT)
    assert opened.decode() == vector["json"]


@pytest.mark.parametrize("vector", vectors("recipe_v1.json"), ids=lambda vector: str(vector["name"]))
def test_recipe_version_1_opens(vector: dict[str, Any]) -> None:
    parts = {name: bytes.fromhex(data) for name, data in vector["parts"].items()}
    read = recipe.Recipe.from_bytes(bytes.fromhex(vector["recipe"]))
    assert recipe.content_of(read, parts.__getitem__) == bytes.fromhex(vector["content"])
    assert read.to_bytes().hex() == vector["recipe"]


@pytest.mark.parametrize("vector", vectors("sealed_field_v1.json"), ids=lambda vector: str(vector["name"]))
def test_sealed_field_version_1_opens(vector: dict[str, Any]) -> None:
    sealed, key, context = bytes.fromhex(vector["sealed"]), bytes.fromhex(vector["key"]), context_of(vector)
    assert sealed_format.open_field(sealed, key=key, context=context) == content_of(vector)
    cipher = AESGCM(hkdf(key, None, b"strongroom/sealed-field/v1"))
    assert sealed[:1] == b"\1"
    assert cipher.decrypt(sealed[1:13], sealed[13:], b"\1" + told(context)) == content_of(vector)


def test_key_hierarchy_version_1_opens() -> None:
    vector = vectors("key_hierarchy_v1.json")
    told = bytes.fromhex(vector["ring"])[5:]
    members = [told[start : start + 32] for start in range(0, len(told), 32)]
    ring = KeyRing(*[*members, bytes(32), bytes(32)])
    batch, message = bytes.fromhex(vector["batch"]), vector["message"]
    assert ring.capture.public.hex() == vector["capture_public"]
    assert fingerprint(ring.capture.public).hex() == vector["fingerprint"]
    assert DepositKeys.from_bytes(bytes.fromhex(vector["deposit_keys"])) == ring.deposit_keys()
    batch_key = unwrap_batch_key(
        bytes.fromhex(vector["wrapped_batch_key"]),
        capture=ring.capture,
        batch=batch,
        sealed_for=bytes.fromhex(vector["fingerprint"]),
    )
    assert batch_key == BatchKey(bytes.fromhex(vector["batch_key"]))
    wrapped = bytes.fromhex(vector["wrapped_message_key"])
    key = unwrap_message_key(wrapped, batch_key=batch_key, batch=batch, message=message)
    assert key.hex() == vector["message_key"]
    index = vector["blind_index"]
    assert blind_index(ring.lookup_key, index["purpose"], index["text"]).hex() == index["value"]


def test_key_files_version_1_unlock(tmp_path: Path) -> None:
    vector = vectors("key_custody_v1.json")
    for name, text in {**vector["files"], "pass": vector["passphrase"], "unlock.key": vector["key_file"]}.items():
        (tmp_path / name).write_text(text)
    for secret in (PassphraseFile(tmp_path / "pass"), KeyFile(tmp_path / "unlock.key")):
        ring = unlock(tmp_path, secret)
        assert b"".join(list(ring.members().values())[:8]).hex() == vector["ring"][10:]
        assert ring.retired == ()


@pytest.mark.parametrize("kind", ["passphrase", "key_file", "credential", "shares"])
def test_key_files_version_2_unlock(tmp_path: Path, kind: str) -> None:
    vector = vectors("key_custody_v2.json")
    for name, text in {**vector["files"], **vector["texts"]}.items():
        (tmp_path / name).write_text(text, "utf-8")
    ring = unlock(tmp_path, secret_in(kind, tmp_path / vector["secrets"][kind]))
    assert ring.to_bytes().hex() == vector["ring"]
    assert KeyRing.from_bytes(bytes.fromhex(vector["ring"])) == ring
    assert [key.name for key in ring.retired] == list(VERSIONED)


def test_key_files_version_2_are_read_by_the_document() -> None:
    """From the key file to every member, by docs/formats/key-hierarchy.md alone."""
    vector = vectors("key_custody_v2.json")
    slots, ring = (json.loads(vector["files"][name]) for name in ("slots.json", "keyring.json"))
    slot = next(each for each in slots["slots"] if each["kind"] == "key_file")
    digits = bytes.fromhex(vector["texts"]["unlock.key"])
    slot_key = hkdf(digits, b64decode(slot["noted"]["salt"]), b"strongroom/slot/v1/key-file")
    private = X25519PrivateKey.from_private_bytes(slot_key)
    assert b64encode(private.public_key().public_bytes_raw()).decode() == slot["public"]
    fixed = {name: slot[name] for name in ("id", "kind", "label", "created_at", "noted", "public")}
    told = hashlib.sha256(as_a_file(fixed)).digest()
    suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
    root = suite.decrypt(b64decode(slot["sealed_root"]), private, info=b"strongroom/slot/v2/" + told)
    for name, file in (("slots.json", slots), ("keyring.json", ring)):
        seal = b64decode(file.pop("seal"))
        seal_key = hkdf(root, None, f"strongroom/keys/v2/seal/{name}".encode())
        assert hmac.digest(seal_key, as_a_file(file), "sha256") == seal
    opened = [member_by_the_document(root, name, sealed) for name, sealed in ring["members"].items()]
    retired = [
        member_by_the_document(root, f"retired/{each['name']}/{each['retired_at']}", each["sealed"])
        for each in ring["retired"]
    ]
    expected = KeyRing.from_bytes(bytes.fromhex(vector["ring"]))
    assert opened == list(expected.members().values())
    assert retired == [key.private for key in expected.retired]


def as_a_file(value: object) -> bytes:
    return json.dumps(value, indent=1).encode() + b"\n"


def member_by_the_document(root: bytes, name: str, sealed: str) -> bytes:
    raw, label = b64decode(sealed), f"strongroom/keyring/v2/{name}".encode()
    return AESGCM(hkdf(root, None, label)).decrypt(raw[:12], raw[12:], label)


def test_derived_keys_are_those_of_rfc_5869() -> None:
    """Appendix A.1 of RFC 5869 has a shorter key than we allow, so the library's HKDF stands in for other inputs."""
    for salt in (None, b"", b"salt", bytes(100)):
        for info in (b"", b"info" * 50):
            expected = hkdf(bytes(range(32)), salt, info)
            assert sealed_format.derive(bytes(range(32)), info=info, salt=salt) == expected
