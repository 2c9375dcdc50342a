"""A disposal that never was, and its certificate, for the tests of those who write, check and forge one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archive.disposal_certificate import (
    AuditProof,
    Authority,
    Destroyed,
    Disposal,
    Person,
    issue,
    merkle_root,
    public_key_pem,
)
from archive.retention_schedule import Category, Years
from archive.verify_certificate import canonical, signed_bytes
from mailstore.audit_entry import AuditEntry, AuditFact, placed
from mailstore.audit_tree import Frontier, inclusion_proof, signed_checkpoint
from mailstore.document_signing import SeedSigner, signing_public
from mailstore.message import MessageId

SEED, AUDIT_SEED = b"c" * 32, b"a" * 32
SIGNER = SeedSigner(audit_seed=AUDIT_SEED, certificate_seed=SEED)
PEM = public_key_pem(SIGNER.certificate_public)
START = datetime(2026, 1, 1, tzinfo=UTC)


def at(minutes: int) -> datetime:
    return START + timedelta(minutes=minutes)


def record(number: int) -> Destroyed:
    return Destroyed(
        message=MessageId(f"{number:026d}".translate(str.maketrans("0123456789", "abcdefghij"))),
        sealed_digest=bytes([number]) * 32,
        received_at=START - timedelta(days=4000 + number),
        category="billing",
        destroyed_at=at(10 + number),
        salt=bytes([number]) * 16,
    )


def disposal(count: int = 3) -> Disposal:
    return Disposal(
        certificate="c" * 26,
        disposal="d" * 26,
        practice="Clinic \u00c9xample",
        authority=Authority("s" * 26, "a" * 26, "b" * 26, at(0), {"billing": Category("billing", Years(10), "42 CFR")}),
        proposed=Person("a" * 26, "Rita", "records", at(1)),
        approved=Person("b" * 26, "Paula", "approver", at(2)),
        cooled_off_at=at(3),
        run=Person("a" * 26, "Rita", "records", at(4)),
        completed_at=at(1000),
        set_hash=b"h" * 32,
        approved_count=count + 2,
        kept={"held": 2},
        records=tuple(record(number) for number in range(1, count + 1)),
        key_backup_days=30,
    )


def completion(of: Disposal) -> AuditFact:
    detail: dict[str, str | int] = {
        "certificate": of.certificate,
        "count": len(of.records),
        "merkle_root": merkle_root(of.records).hex(),
        "set_hash": of.set_hash.hex(),
    }
    return AuditFact("disposal.completed", of.run.account, of.disposal, detail)


def proof(fact: AuditFact, *, before: int = 5, after: int = 3) -> AuditProof:
    facts = [AuditFact("other", "system")] * before + [fact] + [AuditFact("other", "system")] * after
    entries: list[AuditEntry] = [placed(each, sequence=number, at=at(1000)) for number, each in enumerate(facts)]
    leaves = [entry.leaf() for entry in entries]
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    checkpoint = signed_checkpoint(frontier, at=at(1001), signer=SIGNER)
    return AuditProof(entries[before], inclusion_proof(leaves, before), checkpoint, signing_public(AUDIT_SEED))


def certificate(of: Disposal | None = None) -> bytes:
    of = of or disposal()
    return issue(of, proof=proof(completion(of)), issued_at=at(1002), signer=SIGNER)


def signed_anew(document: dict[str, Any], seed: bytes = SEED) -> bytes:
    """What somebody with the key could make of a changed certificate."""
    unsigned = {key: value for key, value in document.items() if key != "signature"}
    signature = Ed25519PrivateKey.from_private_bytes(seed).sign(signed_bytes(unsigned))
    return canonical(unsigned | {"signature": signature.hex()})


def changed(change: Callable[[dict[str, Any]], object], *, of: Disposal | None = None) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(certificate(of))
    change(document)
    return document


def without_kept(of: Disposal) -> Disposal:
    return replace(of, kept={}, approved_count=len(of.records))
