from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstore.audit_tree import (
    EMPTY_ROOT,
    Frontier,
    checkpoint_from,
    inclusion_proof,
    node,
    root_of,
    signed_checkpoint,
    verify_inclusion,
)
from mailstore.document_signing import SeedSigner, signing_public
from tests.ledger_room import NOW

SEED = b"s" * 32

# The leaves and roots that Certificate Transparency implementations are tested with: the roots of the first 0 to 8.
LEAVES = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    bytes(range(0x50, 0x58)),
    bytes(range(0x60, 0x70)),
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def leaf(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def leaves(count: int) -> list[bytes]:
    return [leaf(str(number).encode()) for number in range(count)]


def recursive_root(some: list[bytes]) -> bytes:
    """The definition of RFC 9162 section 2.1.1, word by word."""
    if not some:
        return EMPTY_ROOT
    if len(some) == 1:
        return some[0]
    split = 1
    while split * 2 < len(some):
        split *= 2
    return node(recursive_root(some[:split]), recursive_root(some[split:]))


def test_roots_are_those_of_certificate_transparency() -> None:
    hashed = [leaf(data) for data in LEAVES]
    assert [root_of(hashed[:size]).hex() for size in range(len(LEAVES) + 1)] == ROOTS


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 8, 9, 31, 64, 100])
def test_appending_one_by_one_gives_the_defined_root(size: int) -> None:
    assert root_of(leaves(size)) == recursive_root(leaves(size))


@given(st.integers(0, 300))
def test_frontier_goes_on_where_its_bytes_were_kept(size: int) -> None:
    kept = Frontier()
    for each in leaves(size):
        kept = Frontier.from_bytes(kept.size, kept.to_bytes())
        kept.append(each)
    assert kept.root() == root_of(leaves(size))
    assert len(kept.to_bytes()) == 32 * size.bit_count()


@pytest.mark.parametrize(("size", "data"), [(1, b""), (0, b"x" * 32), (3, b"x" * 32), (1, b"x" * 31), (-1, b"")])
def test_bytes_that_are_no_frontier_are_refused(size: int, data: bytes) -> None:
    with pytest.raises(ValueError, match="root"):
        Frontier.from_bytes(size, data)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 33])
def test_every_leaf_can_be_proved_and_no_other(size: int) -> None:
    some = leaves(size)
    root = root_of(some)
    for index in range(size):
        proof = inclusion_proof(some, index)
        assert verify_inclusion(leaf=some[index], index=index, size=size, proof=proof, root=root)
        assert not verify_inclusion(leaf=leaf(b"other"), index=index, size=size, proof=proof, root=root)
        assert not verify_inclusion(leaf=some[index], index=index, size=size, proof=(*proof, root), root=root)
        assert not verify_inclusion(leaf=some[index], index=index + size, size=size, proof=proof, root=root)
        assert not verify_inclusion(leaf=some[index], index=-1, size=size, proof=proof, root=root)
        for wrong in set(range(size)) - {index}:
            assert not verify_inclusion(leaf=some[index], index=wrong, size=size, proof=proof, root=root)
        if proof:
            assert not verify_inclusion(leaf=some[index], index=index, size=size, proof=proof[:-1], root=root)


def test_leaf_that_is_not_there_has_no_proof() -> None:
    for index in (-1, 3):
        with pytest.raises(ValueError, match="no such leaf"):
            inclusion_proof(leaves(3), index)


def test_checkpoint_comes_back_from_its_line_and_is_ours() -> None:
    frontier = Frontier()
    for each in leaves(5):
        frontier.append(each)
    checkpoint = signed_checkpoint(frontier, at=NOW, signer=SeedSigner(SEED, bytes(32)))
    assert checkpoint_from(checkpoint.line()) == checkpoint
    assert checkpoint.is_signed_by(signing_public(SEED))
    assert not checkpoint.is_signed_by(signing_public(b"t" * 32))


def test_changed_checkpoint_is_not_signed() -> None:
    checkpoint = signed_checkpoint(Frontier(), at=NOW, signer=SeedSigner(SEED, bytes(32)))
    for changed in (
        replace(checkpoint, size=1),
        replace(checkpoint, root=bytes(32)),
        replace(checkpoint, at=NOW + timedelta(microseconds=1)),
        replace(checkpoint, signature=bytes(64)),
        replace(checkpoint, signature=b""),
    ):
        assert not changed.is_signed_by(signing_public(SEED))


@pytest.mark.parametrize(
    "line",
    [
        "",
        "null",
        "[]",
        "{}",
        "{" * 100_000,
        "[" * 100_000,
        '{"size":1}',
        '{"at":1,"root":"zz","signature":"","size":1}',
        '{"at":' + "9" * 30 + ',"root":"","signature":"","size":1}',
        '{"at":1,"root":"","signature":"","size":1,"more":2}',
        '{"at":1,"root":"AB","signature":"","size":1}',
        '{"at":1.5,"root":"","signature":"","size":1}',
        '{"at":NaN,"root":"","signature":"","size":1}',
        '{"at":Infinity,"root":"","signature":"","size":1}',
    ],
)
def test_line_that_we_would_not_write_is_no_checkpoint(line: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- several layers word it differently; refusing is the promise
        checkpoint_from(line)
