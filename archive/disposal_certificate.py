"""Core: the certificate of disposal - what died, by whose authority, how, and what risk is left.

The format is ``docs/formats/disposal-certificate.md``. What is hashed, spelled and signed here is defined once, in
``archive.verify_certificate``, which a stranger runs alone. A certificate holds no health information: messages stand
in it as salted hashes only.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from archive import verify_certificate
from archive.retention_schedule import Category, period_text
from mailstore.audit_entry import AuditEntry
from mailstore.audit_tree import Checkpoint
from mailstore.document_signing import DocumentKind, DocumentSigner
from mailstore.instants import microseconds
from mailstore.key_copy import KeyCopy, gone_after
from mailstore.message import MessageId

SALT_BYTES = 16

STANDARD = "NIST SP 800-88 Rev. 2: cryptographic erase (section 3.2), followed by deletion of what it left unreadable"

STEPS: tuple[tuple[str, str], ...] = (
    ("message key", "the only key that opens the message was overwritten and deleted from the key database"),
    ("sealed message", "the encrypted object and its copy in the spool were overwritten where possible and deleted"),
    ("rows", "every row about the message was deleted with the freed pages overwritten, and the journal emptied"),
    ("search index", "the index was written again without the message, and the keys of its old files destroyed"),
    ("proof of absence", "all of these places were asked again for each message, and none had it"),
)


@dataclass(frozen=True)
class Person:
    """Who took one step, in which role, and when. Staff of the practice, never a patient."""

    account: str
    name: str
    role: str
    at: datetime

    def told(self) -> dict[str, str]:
        """As the certificate says it."""
        return {"account": self.account, "name": self.name, "role": self.role, "at": instant_text(self.at)}


@dataclass(frozen=True)
class Destroyed:
    """One record that died. Its ``salt`` stays in the practice's rows: with it the leaf can be shown to be this one."""

    message: MessageId
    sealed_digest: bytes = field(repr=False)
    received_at: datetime
    category: str
    destroyed_at: datetime
    salt: bytes = field(repr=False)

    def leaf(self) -> bytes:
        """The hash that stands for this record in the tree."""
        told = {
            "message": hashlib.sha256(self.salt + self.message.encode("ascii")).hexdigest(),
            "sealed_digest": self.sealed_digest.hex(),
            "received_at": instant_text(self.received_at),
            "category": self.category,
            "destroyed_at": instant_text(self.destroyed_at),
        }
        return verify_certificate.leaf_hash(verify_certificate.canonical(told))


@dataclass(frozen=True)
class Authority:
    """The version of the retention schedule by which the records were due."""

    schedule: str
    proposed_by: str
    approved_by: str
    approved_at: datetime
    categories: Mapping[str, Category]


@dataclass(frozen=True)
class AuditProof:
    """Where the audit log says that the disposal was completed, and who signed for the log."""

    entry: AuditEntry
    path: tuple[bytes, ...]
    checkpoint: Checkpoint
    public_key: bytes

    def told(self) -> dict[str, Any]:
        """As the certificate says it."""
        checkpoint = {
            "size": self.checkpoint.size,
            "root": self.checkpoint.root.hex(),
            "at": microseconds(self.checkpoint.at),
            "signature": self.checkpoint.signature.hex(),
            "public_key": self.public_key.hex(),
        }
        return {
            "entry": self.entry.canonical().decode("ascii"),
            "index": self.entry.sequence,
            "path": [step.hex() for step in self.path],
            "checkpoint": checkpoint,
        }


@dataclass(frozen=True)
class Disposal:
    """Everything that a certificate says beside its proofs. ``kept`` counts by reason what was approved and stayed."""

    certificate: str
    disposal: str
    practice: str
    authority: Authority
    proposed: Person
    approved: Person
    cooled_off_at: datetime
    run: Person
    completed_at: datetime
    set_hash: bytes
    approved_count: int
    kept: Mapping[str, int]
    records: tuple[Destroyed, ...]
    key_backup_days: int
    key_copies: tuple[KeyCopy, ...] = ()


def merkle_root(records: Sequence[Destroyed]) -> bytes:
    """The root over the leaves of what died, in the order of the list."""
    return verify_certificate.merkle_root([record.leaf() for record in records])


def issue(disposal: Disposal, *, proof: AuditProof, issued_at: datetime, signer: DocumentSigner) -> bytes:
    """The signed certificate, canonical JSON. Raises as ``signer`` does."""
    document = _statement(disposal) | {
        "audit": proof.told(),
        "issued_at": instant_text(issued_at),
        "public_key_fingerprint": verify_certificate.fingerprint_of(signer.certificate_public),
    }
    signature = signer.signature(DocumentKind.CERTIFICATE, verify_certificate.signed_bytes(document))
    return verify_certificate.canonical(document | {"signature": signature.hex()})


def public_key_pem(certificate_public: bytes) -> bytes:
    """The verifying half of the disposal key, in PEM (RFC 8410)."""
    public = Ed25519PublicKey.from_public_bytes(certificate_public)
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def residual_risks(key_backup_days: int, copies: Sequence[KeyCopy], destroyed_at: datetime) -> tuple[str, ...]:
    """What a reader should know that destruction here cannot reach, in plain words.

    ``copies``: where copies of keys were shipped to. ``destroyed_at``: when the last key died.
    """
    kept = timedelta(days=key_backup_days)
    ending = [copy for copy in copies if not copy.is_kept_for_ever]
    endless = [copy.name for copy in copies if copy.is_kept_for_ever]
    told = [_told_copy(copy, copy.holds_until(destroyed_at, kept=kept)) for copy in ending]
    gone = day_text(gone_after(ending, destroyed_at, kept=kept))
    known = [_KNOWN.format(places="; ".join(told), gone=gone)] if told else []
    known += [_ENDLESS.format(places="; ".join(endless))] if endless else []
    return (*(known or [_NONE_KNOWN]), *(risk.format(days=key_backup_days) for risk in _RISKS))


def day_text(instant: datetime) -> str:
    """The first whole day by which an instant is past, as a date in UTC."""
    return f"{(instant.astimezone(UTC) + timedelta(days=1)).date():%Y-%m-%d}"


def _told_copy(copy: KeyCopy, until: datetime) -> str:
    return f"{copy.name} until {day_text(until)} (last within reach on {copy.reached_at.astimezone(UTC):%Y-%m-%d})"


_KNOWN = """Backups of the key database that the appliance made may hold the keys: {places}. The appliance removes \
them by itself where the place is within reach then. After {gone} no copy of the keys exists there that it knows of."""
_ENDLESS = """Backups of the key database lie in {places}, where the appliance may not remove them and the place is \
not known to: they may hold the keys until the practice removes them."""
_NONE_KNOWN = """The appliance never made a backup of its key database: it knows of no other copy of the keys."""

_RISKS = (
    """Backups of the key database that others made before the destruction may hold the keys for at most {days} days \
after it, as the practice promised. Until the last of them is deleted, such a backup together with a backup of the \
data could open the records.""",
    """Copies that had left the appliance before (delivered to other mail servers, downloaded, printed or exported) \
are not in its reach.""",
    """Storage media may keep overwritten blocks until they are used again. What is left in them is encrypted, and its \
key is gone.""",
)


def instant_text(instant: datetime) -> str:
    """A time as certificates spell it: RFC 3339 in UTC with six decimals, so that spelling order is time order."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _statement(disposal: Disposal) -> dict[str, Any]:
    records = disposal.records
    times = sorted(record.destroyed_at for record in records)
    return {
        "format": verify_certificate.FORMAT,
        "id": disposal.certificate,
        "disposal": disposal.disposal,
        "practice": disposal.practice,
        "authority": _authority(disposal.authority, records),
        "proposed": disposal.proposed.told(),
        "approved": disposal.approved.told(),
        "cooled_off_at": instant_text(disposal.cooled_off_at),
        "run": disposal.run.told(),
        "destroyed": {
            "first_at": instant_text(times[0]),
            "last_at": instant_text(times[-1]),
            "completed_at": instant_text(disposal.completed_at),
        },
        "set_hash": disposal.set_hash.hex(),
        "approved_count": disposal.approved_count,
        "kept": [{"why": why, "count": count} for why, count in sorted(disposal.kept.items())],
        "count": len(records),
        "merkle_root": merkle_root(records).hex(),
        "leaves": [record.leaf().hex() for record in records],
        "method": {"standard": STANDARD, "steps": [{"place": place, "done": done} for place, done in STEPS]},
        "residual_risks": list(residual_risks(disposal.key_backup_days, disposal.key_copies, times[-1])),
    }


def _authority(authority: Authority, records: Sequence[Destroyed]) -> dict[str, Any]:
    counts = Counter(record.category for record in records)
    return {
        "schedule": authority.schedule,
        "proposed_by": authority.proposed_by,
        "approved_by": authority.approved_by,
        "approved_at": instant_text(authority.approved_at),
        "categories": [_told(authority.categories[name], count) for name, count in sorted(counts.items())],
    }


def _told(category: Category, count: int) -> dict[str, Any]:
    return {
        "name": category.name,
        "title": category.title,
        "retain": period_text(category.retain),
        "clock": category.clock,
        "citation": category.citation,
        "count": count,
    }
