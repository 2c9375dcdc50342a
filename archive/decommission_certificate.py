"""Core: the certificate of a decommission - by whose order, what was destroyed, and what nobody here could reach.

The format is ``docs/formats/decommission.md``. What is hashed, spelled and signed is defined once, in
``archive.verify_decommission``, which a stranger runs alone. The key that signs certificates is among what dies: it
signs the order beforehand, and the order names the public half of a key that is made for the completion alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archive import verify_certificate, verify_decommission
from archive.disposal_certificate import AuditProof, Person, day_text, instant_text
from mailstore.document_signing import DocumentKind, DocumentSigner
from mailstore.key_copy import KeyCopy

RISKS = (
    """Copies that had left the appliance before (delivered to other mail servers, downloaded, printed or exported) \
are not in its reach.""",
    """Recovery shares on paper, passphrases and tokens open nothing any more, unless somebody kept a copy of the \
folder keys/ or of a backup of the keys. Destroy the pages as well.""",
    """Storage media may keep overwritten blocks until they are used again. On a solid-state disk or a file system \
that copies, only the encryption of the disk or its destruction is sure.""",
    """Whoever administers the machine could have kept copies of all of it beforehand, unseen by the appliance.""",
)


@dataclass(frozen=True)
class Order:
    """Who ordered what. ``holds``: ids of holds in force that both persons named; ``ways_in``: id and kind of each."""

    id: str
    practice: str
    proposed: Person
    approved: Person
    cooled_off_at: datetime
    begun: Person
    messages: int
    holds: tuple[str, ...]
    terms: str
    ways_in: tuple[tuple[str, str], ...]
    key_copies: tuple[KeyCopy, ...]
    proof: AuditProof = field(repr=False)

    def signed(self, signer: DocumentSigner, *, completion_key: bytes) -> dict[str, Any]:
        """``completion_key``: the public half of the key that signs what was done. Raises as ``signer`` does."""
        order = {
            "format": verify_decommission.FORMAT,
            "id": self.id,
            "practice": self.practice,
            "proposed": self.proposed.told(),
            "approved": self.approved.told(),
            "begun": self.begun.told(),
            "cooled_off_at": instant_text(self.cooled_off_at),
            "messages": self.messages,
            "holds": sorted(self.holds),
            "terms": self.terms,
            "ways_in": [{"id": slot, "kind": kind} for slot, kind in self.ways_in],
            "key_copies": [{"name": copy.name, "until": _until(copy)} for copy in self.key_copies],
            "completion_key": completion_key.hex(),
            "audit": self.proof.told(),
            "public_key_fingerprint": verify_certificate.fingerprint_of(signer.certificate_public),
        }
        signature = signer.signature(DocumentKind.DECOMMISSION_ORDER, verify_decommission.order_bytes(order))
        return {**order, "signature": signature.hex()}


@dataclass(frozen=True)
class Completion:
    """What was done, place by place, and which copies are out of reach, by name and with why."""

    completed_at: datetime
    done: Sequence[tuple[str, str]]
    out_of_reach: Sequence[tuple[str, str]]


def completed(order: Mapping[str, Any], completion: Completion, *, seed: bytes) -> bytes:
    """The certificate as a file. ``seed``: the private half of the key that the order names."""
    told = {
        "order": verify_decommission.digest_of(dict(order)),
        "completed_at": instant_text(completion.completed_at),
        "done": [{"place": place, "done": done} for place, done in completion.done],
        "out_of_reach": [{"name": name, "why": why} for name, why in completion.out_of_reach],
        "residual_risks": list(RISKS),
    }
    signature = Ed25519PrivateKey.from_private_bytes(seed).sign(verify_decommission.completion_bytes(told))
    return verify_certificate.canonical({"order": order, "completion": {**told, "signature": signature.hex()}})


def _until(copy: KeyCopy) -> str:
    return "" if copy.is_kept_for_ever else day_text(copy.kept_until)
