"""Core: the Merkle tree over the audit log (RFC 9162 section 2.1) and the signed statements about its root."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from mailstore.document_signing import DocumentKind, DocumentSigner
from mailstore.instants import instant_of, microseconds

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
"""The root of a tree without leaves (RFC 9162 section 2.1.1)."""

NOTE_HEADER: Final = "strongroom audit checkpoint v1"


def node(left: bytes, right: bytes) -> bytes:
    """The hash over two subtrees (RFC 9162 section 2.1.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The roots of the perfect subtrees that make up a tree, largest first: all that appending needs.

    A tree of ``size`` leaves has one such subtree for every 1 in the binary form of ``size``.
    """

    def __init__(self, size: int = 0, roots: Iterable[bytes] = ()) -> None:
        self.size = size
        self._roots = list(roots)
        if size < 0 or len(self._roots) != size.bit_count():
            raise ValueError("a frontier has one root for every 1 in its size")
        if any(len(root) != HASH_BYTES for root in self._roots):
            raise ValueError("a root has 32 bytes")

    @classmethod
    def from_bytes(cls, size: int, data: bytes) -> Frontier:
        """The frontier from what ``to_bytes`` gave. Raises ValueError when it cannot be one of that size."""
        return cls(size, (data[start : start + HASH_BYTES] for start in range(0, len(data), HASH_BYTES)))

    def to_bytes(self) -> bytes:
        """The roots, largest subtree first, one after the other."""
        return b"".join(self._roots)

    def append(self, leaf: bytes) -> None:
        """Add the next leaf hash."""
        carried, size = leaf, self.size
        while size & 1:
            carried = node(self._roots.pop(), carried)
            size >>= 1
        self._roots.append(carried)
        self.size += 1

    def root(self) -> bytes:
        """The root of the whole tree."""
        if not self._roots:
            return EMPTY_ROOT
        folded = self._roots[-1]
        for left in reversed(self._roots[:-1]):
            folded = node(left, folded)
        return folded


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root over leaf hashes."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


def inclusion_proof(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The sibling hashes from leaf ``index`` up to the root (RFC 9162 section 2.1.3.1)."""
    if not 0 <= index < len(leaves):
        raise ValueError("no such leaf in a tree of this size")
    if len(leaves) == 1:
        return ()
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    if index < split:
        return (*inclusion_proof(leaves[:split], index), root_of(leaves[split:]))
    return (*inclusion_proof(leaves[split:], index - split), root_of(leaves[:split]))


def verify_inclusion(*, leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """True when the proof shows that ``leaf`` is at ``index`` of the tree (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    position, last, folded = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if position & 1 or position == last:
            folded = node(sibling, folded)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            folded = node(folded, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and folded == root


@dataclass(frozen=True)
class Checkpoint:
    """A signed statement: at this time the log had this many entries and this root."""

    size: int
    root: bytes
    at: datetime
    signature: bytes

    def line(self) -> str:
        """The checkpoint as one line of JSON."""
        return json.dumps(
            {
                "at": microseconds(self.at),
                "root": self.root.hex(),
                "signature": self.signature.hex(),
                "size": self.size,
            },
            separators=(",", ":"),
        )

    def is_signed_by(self, public_key: bytes) -> bool:
        """True when the signature is good under a raw Ed25519 public key (RFC 8032)."""
        try:
            Ed25519PublicKey.from_public_bytes(public_key).verify(self.signature, note(self.size, self.root, self.at))
        except InvalidSignature:
            return False
        return True


def signed_checkpoint(frontier: Frontier, *, at: datetime, signer: DocumentSigner) -> Checkpoint:
    """State the size and root of the tree, signed by the practice. Raises as ``DocumentSigner``."""
    root = frontier.root()
    signature = signer.signature(DocumentKind.CHECKPOINT, note(frontier.size, root, at))
    return Checkpoint(frontier.size, root, at, signature)


def checkpoint_from(line: str) -> Checkpoint:
    """A checkpoint from its line. Raises ValueError for anything that ``Checkpoint.line`` would not write."""
    try:
        fields = json.loads(line)
        checkpoint = Checkpoint(
            size=int(fields["size"]),
            root=bytes.fromhex(fields["root"]),
            at=instant_of(int(fields["at"])),
            signature=bytes.fromhex(fields["signature"]),
        )
    except (KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError("not a checkpoint") from error
    if checkpoint.line() != line:
        raise ValueError("not the canonical form of a checkpoint")
    return checkpoint


def note(size: int, root: bytes, at: datetime) -> bytes:
    """What a checkpoint signs."""
    return f"{NOTE_HEADER}\n{size}\n{root.hex()}\n{microseconds(at)}\n".encode("ascii")
