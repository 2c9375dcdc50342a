"""Core: what says that a generation of a backup is there: its signed listing, and the names of all files of a target.

The format is docs/formats/backup.md. A listing is plain: whoever has no key can hold every file against it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from mailstore.document_signing import DocumentKind, DocumentSigner
from mailstore.errors import RefusedError, TamperedError
from mailstore.instants import instant_of, microseconds

FORMAT: Final = "strongroom/backup-listing/v1"
HEADING: Final = b"strongroom backup listing v1\n"
TARGET: Final = "target.json"
WAYS_IN: Final = "ways-in/"

_DIGITS: Final = 12
_NAME: Final = re.compile(
    r"target\.json|ways-in/[0-9a-f]{64}\.json"
    r"|(data|keys)/(pieces/([0-9a-f]{2})/\3[0-9a-f]{62}|generations/[0-9]{12}\.json)"
)


class GenerationKind(StrEnum):
    """What a generation is of: never both."""

    DATA = "data"
    KEYS = "keys"


@dataclass(frozen=True)
class Head:
    """One generation by its number and the SHA-256 of its listing."""

    sequence: int
    digest: str


Seen = Mapping[str, Mapping[str, Head]]
"""For each target, by its id, the newest generation of each kind that the appliance knew of."""


@dataclass(frozen=True)
class Listing:
    """One generation. ``pieces``: digest and length of each; ``base``: where reading it begins."""

    practice: str
    target: str
    kind: GenerationKind
    sequence: int
    previous: str
    as_of: datetime
    made_at: datetime
    base: int
    contents: str
    pieces: tuple[tuple[str, int], ...]
    sealed_for: str
    ways_in: str
    seen: Seen

    @property
    def name(self) -> str:
        """Its name in the target."""
        return listing_name(self.kind, self.sequence)

    @property
    def size_bytes(self) -> int:
        """The bytes of all its pieces."""
        return sum(length for _, length in self.pieces)

    def signed(self, signer: DocumentSigner) -> bytes:
        """As it is written, with its signature. Raises as ``signer`` does."""
        told = self.told()
        signature = signer.signature(DocumentKind.BACKUP_LISTING, HEADING + canonical(told))
        return canonical(told | {"signature": signature.hex()}) + b"\n"

    def told(self) -> dict[str, Any]:
        """What is signed, in JSON's types."""
        return {
            "format": FORMAT,
            "practice": self.practice,
            "target": self.target,
            "kind": self.kind.value,
            "sequence": self.sequence,
            "previous": self.previous,
            "as_of": microseconds(self.as_of),
            "made_at": microseconds(self.made_at),
            "base": self.base,
            "contents": self.contents,
            "pieces": [list(piece) for piece in self.pieces],
            "sealed_for": self.sealed_for,
            "ways_in": self.ways_in,
            "seen": {
                target: {kind: [head.sequence, head.digest] for kind, head in heads.items()}
                for target, heads in self.seen.items()
            },
        }


def unproved(name: str, data: bytes) -> Listing:
    """A listing as it was found, its signature not looked at. ``TamperedError`` when it is none of this name."""
    listing, _ = _parsed(name, data)
    return listing


def proved(name: str, data: bytes, *, audit_public: bytes) -> Listing:
    """A listing that the practice signed. ``TamperedError`` naming the file otherwise."""
    listing, signature = _parsed(name, data)
    told = listing.told()
    try:
        Ed25519PublicKey.from_public_bytes(audit_public).verify(signature, HEADING + canonical(told))
    except InvalidSignature:
        raise TamperedError(f"{name} is not signed by this practice") from None
    return listing


def listing_name(kind: GenerationKind, sequence: int) -> str:
    """Where the listing of a generation lies."""
    return f"{kind.value}/generations/{sequence:0{_DIGITS}}.json"


def sequence_of(name: str) -> int:
    """The number in the name of a listing."""
    return int(name.rpartition("/")[2].removesuffix(".json"))


def generations(kind: GenerationKind) -> str:
    """What the names of a kind's listings begin with."""
    return f"{kind.value}/generations/"


def pieces(kind: GenerationKind) -> str:
    """What the names of a kind's pieces begin with."""
    return f"{kind.value}/pieces/"


def piece_name(kind: GenerationKind, digest: str) -> str:
    """Where a piece lies."""
    return f"{kind.value}/pieces/{digest[:2]}/{digest}"


def ways_in_name(digest: str) -> str:
    """Where a file of unlock slots lies."""
    return f"{WAYS_IN}{digest}.json"


def is_name(name: str) -> bool:
    """True for a name that this format gives."""
    return _NAME.fullmatch(name) is not None


def checked_name(name: str) -> str:
    """``name``, when this format gives it. Anything else (a path, say) is refused."""
    if not is_name(name):
        raise RefusedError("that is not the name of a file of a backup")
    return name


def canonical(told: Mapping[str, Any]) -> bytes:
    """JSON as it is signed and hashed: ASCII, keys sorted, no spaces."""
    return json.dumps(told, sort_keys=True, separators=(",", ":")).encode("ascii")


def digests(found: Iterable[tuple[str, int]]) -> frozenset[str]:
    """The digests alone of a listing's pieces."""
    return frozenset(digest for digest, _ in found)


def _parsed(name: str, data: bytes) -> tuple[Listing, bytes]:
    try:
        told = json.loads(data)
        signature = bytes.fromhex(told.pop("signature"))
        listing = _listing(told)
        is_exact = canonical(listing.told() | {"signature": signature.hex()}) + b"\n" == data
    except (LookupError, TypeError, ValueError, OverflowError, AttributeError, RecursionError):
        raise TamperedError(f"{name} is no listing of a backup") from None
    if not is_exact or told.get("format") != FORMAT or listing.name != name:
        raise TamperedError(f"{name} is no listing of a backup, or not the one that was written there")
    return listing, signature


def _listing(told: Mapping[str, Any]) -> Listing:
    return Listing(
        practice=str(told["practice"]),
        target=str(told["target"]),
        kind=GenerationKind(told["kind"]),
        sequence=int(told["sequence"]),
        previous=str(told["previous"]),
        as_of=instant_of(int(told["as_of"])),
        made_at=instant_of(int(told["made_at"])),
        base=int(told["base"]),
        contents=str(told["contents"]),
        pieces=tuple((str(digest), int(length)) for digest, length in told["pieces"]),
        sealed_for=str(told["sealed_for"]),
        ways_in=str(told["ways_in"]),
        seen={
            str(target): {str(kind): Head(int(head[0]), str(head[1])) for kind, head in heads.items()}
            for target, heads in told["seen"].items()
        },
    )
