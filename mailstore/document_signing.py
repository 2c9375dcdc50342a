"""Core: what the practice signs, and who signs it: whoever has the seeds, or the key agent, which alone has them.

Each kind of document begins with words of its own, so that no signature of one kind is ever one of another.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mailstore.key_hierarchy import KeyRing


class DocumentKind(StrEnum):
    """What is signed with one of the two seeds of the ring."""

    CHECKPOINT = "checkpoint"
    """How long the audit log is, and its root (``audit_tree``)."""

    LEDGER_PAGE = "ledger-page"
    """A page of the ledger of disposals and holds."""

    BACKUP_LISTING = "backup-listing"
    """What says that a generation of a backup is there."""

    CERTIFICATE = "certificate"
    """A certificate of disposal."""

    DRILL_REPORT = "drill-report"
    """The report of a restore drill."""

    DECOMMISSION_ORDER = "decommission-order"
    """The order to end the practice."""


OF_THE_AUDIT_KEY: Final = frozenset(
    {DocumentKind.CHECKPOINT, DocumentKind.LEDGER_PAGE, DocumentKind.BACKUP_LISTING},
)
"""These the audit seed signs, all others the seed of certificates."""


class DocumentSigner(Protocol):
    """Signs documents of the practice with Ed25519 (RFC 8032). May be asked from many threads."""

    @property
    def audit_public(self) -> bytes:
        """The 32 bytes by which checkpoints, pages of the ledger and listings of backups are verified."""

    @property
    def certificate_public(self) -> bytes:
        """The 32 bytes by which certificates, drill reports and orders are verified."""

    def signature(self, kind: DocumentKind, document: bytes) -> bytes:
        """The signature over all that is signed of a document, the words it begins with included.

        ``RefusedError`` for what this process may not have signed, ``StorageUnavailableError`` while nobody can sign.
        """


@dataclass(frozen=True)
class SeedSigner:
    """Signs in this very process: for whoever unlocked the keys themselves."""

    audit_seed: bytes = field(repr=False)
    certificate_seed: bytes = field(repr=False)

    @classmethod
    def of(cls, ring: KeyRing) -> SeedSigner:
        """The signer with what a ring has."""
        return cls(ring.audit_seed, ring.certificate_seed)

    @property
    def audit_public(self) -> bytes:
        """As ``DocumentSigner``."""
        return signing_public(self.audit_seed)

    @property
    def certificate_public(self) -> bytes:
        """As ``DocumentSigner``."""
        return signing_public(self.certificate_seed)

    def signature(self, kind: DocumentKind, document: bytes) -> bytes:
        """As ``DocumentSigner``; nothing is refused."""
        seed = self.audit_seed if kind in OF_THE_AUDIT_KEY else self.certificate_seed
        return Ed25519PrivateKey.from_private_bytes(seed).sign(document)


def signing_public(seed: bytes) -> bytes:
    """The 32 bytes that verify what a seed signed."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
