from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from archive import verify_certificate
from archive.verify_certificate import (
    NotACertificateError,
    canonical,
    is_signed,
    leaf_hash,
    merkle_root,
    public_key_of,
    read,
    root_by_path,
)
from mailstore.audit_tree import inclusion_proof, root_of
from tests.unit.archive.certificate_samples import PEM, certificate

PROGRAM = Path(verify_certificate.__file__)

RFC_8032 = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
    (
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        (
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
            "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
        ),
        (
            "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589"
            "09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704"
        ),
    ),
]
"""RFC 8032 section 7.1, tests 1, 2, 3 and SHA(abc)."""


@pytest.mark.parametrize(("key", "message", "signature"), RFC_8032)
def test_vectors_of_rfc_8032_verify(key: str, message: str, signature: str) -> None:
    public, text, signed = bytes.fromhex(key), bytes.fromhex(message), bytes.fromhex(signature)
    assert is_signed(public, text, signed)
    assert not is_signed(public, text + b"x", signed)
    for position in (0, 31, 32, 63):
        wrong = bytearray(signed)
        wrong[position] ^= 1
        assert not is_signed(public, text, bytes(wrong))


@settings(max_examples=15, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200))
def test_signatures_of_another_library_verify(seed: bytes, message: bytes) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = key.public_key().public_bytes_raw(), key.sign(message)
    assert is_signed(public, message, signature)
    assert not is_signed(public, message + b"\x00", signature)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 13, 31])
def test_inclusion_proofs_of_the_audit_tree_lead_to_its_root(count: int) -> None:
    leaves = [leaf_hash(bytes([number])) for number in range(count)]
    assert merkle_root(leaves) == root_of(leaves)
    for index, leaf in enumerate(leaves):
        path = inclusion_proof(leaves, index)
        assert root_by_path(leaf, index=index, size=count, path=path) == root_of(leaves)
        assert root_by_path(leaf, index=index, size=count, path=(*path, bytes(32))) != root_of(leaves)
        assert root_by_path(leaf_hash(b"other"), index=index, size=count, path=path) != root_of(leaves)
    assert root_by_path(leaves[0], index=count, size=count, path=()) is None


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":1}}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":1.0}',
        b'{"a":1e3}',
        b'{"a":-1}',
        b'{"a":99999999999999999999}',
        b"[]",
        b"1",
        b"",
        b"{",
        b"\xff{}",
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a":"' + b"\\u0000" * 10,
    ],
)
def test_json_that_readers_could_take_differently_is_refused(text: bytes) -> None:
    with pytest.raises(NotACertificateError):
        read(text)


def test_huge_file_is_refused_unread() -> None:
    with pytest.raises(NotACertificateError):
        read(b" " * (verify_certificate.CERTIFICATE_BYTES_MAX + 1))


@given(
    st.dictionaries(
        st.text("abc_", max_size=5),
        st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 2**53 - 1)),
    )
)
def test_canonical_form_reads_back_to_itself(document: dict[str, object]) -> None:
    assert canonical(read(canonical(document))) == canonical(document)


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----",
        b"-----BEGIN PUBLIC KEY-----\n!!!!\n-----END PUBLIC KEY-----",
        b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----",
        PEM + PEM,
        PEM + b" " * 5_000,
    ],
)
def test_what_is_no_ed25519_public_key_is_refused(pem: bytes) -> None:
    with pytest.raises(NotACertificateError):
        public_key_of(pem)


def test_program_uses_no_grammar_younger_than_python_3_8() -> None:
    tree = ast.parse(PROGRAM.read_text(), feature_version=(3, 8))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Match)]
    imported = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    imported |= {str(node.module).split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= sys.stdlib_module_names


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(PROGRAM), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=dict(os.environ))


def test_program_says_valid_and_ends_with_0(tmp_path: Path) -> None:
    file, key = tmp_path / "c.json", tmp_path / "key.pem"
    file.write_bytes(certificate())
    key.write_bytes(PEM)
    done = run(str(file), "--public-key", str(key))
    assert (done.returncode, done.stdout, done.stderr) == (0, "valid\n", "")


def test_program_names_problems_and_ends_with_1(tmp_path: Path) -> None:
    file, key = tmp_path / "c.json", tmp_path / "key.pem"
    file.write_bytes(certificate().replace(b'"practice":"', b'"practice":"X'))
    key.write_bytes(PEM)
    done = run(str(file), "--public-key", str(key))
    assert (done.returncode, done.stderr) == (1, "")
    assert "signature" in done.stdout


@pytest.mark.parametrize("arguments", [[], ["nowhere.json"], ["nowhere.json", "--public-key", "nowhere.pem"]])
def test_wrong_call_ends_with_2(arguments: list[str]) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_sample_of_this_format_is_read_for_ever() -> None:
    folder = Path(__file__).parents[2] / "formats" / "disposal_certificate"
    document = (folder / "certificate-1.json").read_bytes()
    assert verify_certificate.problems_of(document, (folder / "disposal.pem").read_bytes()) == []
    assert json.loads(document)["format"] == "strongroom-disposal-certificate-1"
