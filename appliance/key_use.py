"""Core: how message keys were used: one line a minute in a chain that only the key agent can sign.

The agent's signing key is derived from the private capture key, which no other process has. Each line names the hash
of the one before it, so that the newest good signature vouches for everything before it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from mailstore.instants import microseconds
from mailstore.sealed_format import derive

NO_LINE: Final = "0" * 64
"""What stands before the first line."""

KEPT_BYTES: Final = 8 << 20
"""Lines are let go, oldest first, when newer ones of this size are there: at a line a minute, some two weeks'. So an
account that begins later than with its first line and is shorter was cut by somebody else."""

_SEED_INFO: Final = b"strongroom/key-use/v1"
_HEADING: Final = b"strongroom/key-use/v1\n"


@dataclass(frozen=True)
class Use:
    """What happened in a minute, by asker: keys, refusals, milliseconds of waiting, signatures; and events."""

    opened: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)
    slowed: Mapping[str, int] = field(default_factory=dict)
    events: Sequence[str] = ()
    signed: Mapping[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.opened or self.refused or self.slowed or self.events or self.signed)


@dataclass(frozen=True)
class TreeHead:
    """The longest audit log that a checkpoint was signed for, and its root."""

    size: int
    root: bytes


@dataclass(frozen=True)
class Head:
    """The newest line: how many there are, and its hash."""

    lines: int = 0
    hash: str = NO_LINE


_NOTHING: Final = Head()


@dataclass(frozen=True)
class Verdict:
    """What a record is worth: its end, the first bad line (counted from 1), the last one that is signed."""

    head: Head
    first_bad: int | None
    signed: int


def seed_of(capture_private: bytes) -> bytes:
    """The Ed25519 seed (RFC 8032) that belongs to a private capture key."""
    return derive(capture_private, info=_SEED_INFO)


def public_of(seed: bytes) -> bytes:
    """The 32 bytes that verify what the seed signed."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def line(use: Use, *, before: Head, at: datetime, seed: bytes | None, tree: TreeHead | None = None) -> bytes:
    """One line, without its end. ``seed`` is None while sealed: the next signed line vouches for it.

    ``tree``: as far as it is known. Every line says it, so that the newest signed one does.
    """
    told = {
        "line": before.lines + 1,
        "at": microseconds(at),
        "opened": dict(use.opened),
        "refused": dict(use.refused),
        "slowed": dict(use.slowed),
        "signed": dict(use.signed),
        "tree": None if tree is None else [tree.size, tree.root.hex()],
        "events": list(use.events),
        "before": before.hash,
    }
    if seed is None:
        return _canonical({**told, "signature": ""})
    signature = Ed25519PrivateKey.from_private_bytes(seed).sign(_HEADING + _canonical(told))
    return _canonical({**told, "signature": signature.hex()})


def head_after(before: Head, written: bytes) -> Head:
    """The head once a line was written."""
    return Head(before.lines + 1, hashlib.sha256(written).hexdigest())


def head_of(written: bytes) -> Head | None:
    """The head that this last line makes; None when it is no line of ours."""
    told = _opened(written)
    if told is None or not isinstance(told.get("line"), int):
        return None
    return Head(int(told["line"]), hashlib.sha256(written).hexdigest())


def tree_in(written: bytes, publics: Sequence[bytes]) -> TreeHead | None:
    """The tree that a line says, if one of these keys signed it; None for any other line."""
    told = _opened(written)
    if told is None or not told.get("tree") or not _is_good(told, told.pop("signature", None), publics):
        return None
    size, root = told["tree"]
    return TreeHead(int(size), bytes.fromhex(root))


def before_first(lines: Sequence[bytes]) -> Head:
    """Where an account stood before the first line that is left of it. Nothing where that is no line of ours."""
    told = _opened(lines[0]) if lines else None
    if told is None or not isinstance(told.get("line"), int) or sum(map(len, lines)) < KEPT_BYTES:
        return Head()
    return Head(int(told["line"]) - 1, str(told.get("before")))


def verified(lines: Iterable[bytes], publics: Sequence[bytes], *, since: Head = _NOTHING) -> Verdict:
    """Check the chain, and every signature, by the public keys that the agent names: the present one and its former.

    ``since``: where it stood before the first of these lines, as ``before_first`` says.
    """
    head, signed = since, since.lines
    for written in lines:
        told = _opened(written)
        if told is None or told.get("line") != head.lines + 1 or told.get("before") != head.hash:
            return Verdict(head, head.lines + 1, signed)
        signature = told.pop("signature", None)
        if signature != "" and not _is_good(told, signature, publics):
            return Verdict(head, head.lines + 1, signed)
        head = head_after(head, written)
        signed = head.lines if signature else signed
    return Verdict(head, None, signed)


def _opened(written: bytes) -> dict[str, Any] | None:
    try:
        told = json.loads(written)
    except ValueError:
        return None
    return told if isinstance(told, dict) and _canonical(told) == written else None


def _is_good(told: Mapping[str, Any], signature: object, publics: Sequence[bytes]) -> bool:
    for public in publics:
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(
                bytes.fromhex(str(signature)), _HEADING + _canonical(told)
            )
        except (InvalidSignature, ValueError):
            continue
        return True
    return False


def _canonical(told: Mapping[str, Any]) -> bytes:
    return json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")
