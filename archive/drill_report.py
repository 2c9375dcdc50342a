"""Core: the report of a restore drill: what was tried, from which backups, and what came of it, signed by the practice.

The format is ``docs/formats/drill-report.md``. What is hashed, spelled and signed is defined once, in
``archive.verify_drill_report``, which a stranger runs alone. A report holds no health information: messages stand in it
as salted hashes only.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from archive import verify_certificate, verify_drill_report
from archive.disposal_certificate import instant_text
from mailstore.document_signing import DocumentKind, DocumentSigner
from mailstore.message import MessageId

SALT_BYTES = 16


@dataclass(frozen=True)
class DrilledGeneration:
    """One generation that the drill used. ``listing``: the SHA-256 of what says that it is there."""

    sequence: int
    as_of: datetime
    listing: str
    pieces: int
    size_bytes: int

    def told(self) -> dict[str, Any]:
        """As it stands in the report."""
        return {
            "sequence": self.sequence,
            "as_of": instant_text(self.as_of),
            "listing": self.listing,
            "pieces": self.pieces,
            "bytes": self.size_bytes,
        }


@dataclass(frozen=True)
class DrilledMessage:
    """One message of the sample: whether its bytes were those of its row, and whether it opened."""

    message: MessageId
    sealed_digest: bytes = field(repr=False)
    size_bytes: int
    is_compared: bool
    is_opened: bool

    def leaf(self, salt: bytes) -> bytes:
        """The hash that stands for this message in the report."""
        told = {
            "message": hashlib.sha256(salt + self.message.encode("ascii")).hexdigest(),
            "sealed_digest": hashlib.sha256(salt + self.sealed_digest).hexdigest(),
            "opened": int(self.is_opened),
        }
        return verify_certificate.leaf_hash(verify_certificate.canonical(told))


@dataclass(frozen=True)
class DrillReport:
    """All that a report says. ``with_key``: disposed records whose key is in the backup of the keys."""

    id: str
    practice: str
    target: str
    opened_with: str
    begun_at: datetime
    ended_at: datetime
    data: DrilledGeneration
    keys: DrilledGeneration
    missing_pieces: int
    in_backup: int
    without_key: int
    sample: tuple[DrilledMessage, ...]
    salts: tuple[bytes, ...] = field(repr=False)
    pages: int
    destroyed: int
    with_key: int
    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """True when nothing is missing, and all of the sample was compared and opened."""
        return not (
            self.problems
            or self.missing_pieces
            or self.with_key
            or self.without_key
            or (self.in_backup and not self.sample)
            or not all(each.is_compared and each.is_opened for each in self.sample)
        )

    def signed(self, signer: DocumentSigner) -> bytes:
        """The report as a file. Raises as ``signer`` does."""
        fingerprint = verify_certificate.fingerprint_of(signer.certificate_public)
        document = self.told() | {"public_key_fingerprint": fingerprint}
        signature = signer.signature(DocumentKind.DRILL_REPORT, verify_drill_report.signed_bytes(document))
        return verify_certificate.canonical(document | {"signature": signature.hex()})

    def told(self) -> dict[str, Any]:
        """What is signed, but for the name of the key, in JSON's types."""
        leaves = [each.leaf(salt) for each, salt in zip(self.sample, self.salts, strict=True)]
        return {
            "format": verify_drill_report.FORMAT,
            "id": self.id,
            "practice": self.practice,
            "target": self.target,
            "opened_with": self.opened_with,
            "begun_at": instant_text(self.begun_at),
            "ended_at": instant_text(self.ended_at),
            "data": self.data.told(),
            "keys": self.keys.told(),
            "missing_pieces": self.missing_pieces,
            "messages": {
                "in_backup": self.in_backup,
                "without_key": self.without_key,
                "sampled": len(self.sample),
                "compared": sum(each.is_compared for each in self.sample),
                "opened": sum(each.is_opened for each in self.sample),
                "bytes": sum(each.size_bytes for each in self.sample),
                "leaves": [leaf.hex() for leaf in leaves],
                "merkle_root": verify_certificate.merkle_root(leaves).hex(),
            },
            "ledger": {"pages": self.pages, "destroyed": self.destroyed, "with_key": self.with_key},
            "problems": list(self.problems),
            "passed": int(self.passed),
        }
