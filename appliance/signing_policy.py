"""Core: what the key agent signs: who may ask for which kind of document, and what one of each kind has to be.

The agent cannot know whether a document is true. It knows that it is one of its kind and of this moment, that the log
only grows, and that a stranger's verifier would find it valid: nothing else ever gets a signature.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from appliance.key_agent_policy import Asker
from appliance.key_use import TreeHead
from archive import verify_certificate, verify_drill_report, verify_succession
from mailstore import audit_tree, backup_listing
from mailstore.backup_listing import GenerationKind
from mailstore.document_signing import DocumentKind, DocumentSigner
from mailstore.errors import RefusedError, TamperedError
from mailstore.instants import instant_of

LEDGER_FORMAT: Final = "strongroom/ledger/v1"
LEDGER_FIELDS: Final = frozenset(
    {"format", "page", "previous", "at", "audit_entries", "destroyed", "disposals", "holds", "held"}
)
"""What a page of the ledger says, but for its signature."""

SKEW: Final = timedelta(minutes=15)
"""How far the time of a document may be from now: whoever asks made it a moment ago, on the same machine."""

_HEX_32: Final = re.compile(r"[0-9a-f]{64}")

_MAY_HAVE_SIGNED: Final[Mapping[Asker, frozenset[DocumentKind]]] = {
    Asker.MAIL: frozenset({DocumentKind.CHECKPOINT, DocumentKind.LEDGER_PAGE, DocumentKind.CERTIFICATE}),
    Asker.WORKER: frozenset(
        {
            DocumentKind.CHECKPOINT,
            DocumentKind.LEDGER_PAGE,
            DocumentKind.BACKUP_LISTING,
            DocumentKind.DRILL_REPORT,
        }
    ),
    Asker.COMMAND: frozenset(
        {
            DocumentKind.CHECKPOINT,
            DocumentKind.LEDGER_PAGE,
            DocumentKind.BACKUP_LISTING,
            DocumentKind.CERTIFICATE,
            DocumentKind.DRILL_REPORT,
        }
    ),
}
"""Disposals are carried out on a page or by a command, backups and drills by the worker or a command. The order to end
the practice is signed by whoever opens the keys anew for it, and by nobody who asks."""


def may_have_signed(asker: Asker, kind: DocumentKind) -> bool:
    """True when ``asker`` may ask for a signature under such a document at all."""
    return kind in _MAY_HAVE_SIGNED.get(asker, frozenset())


def tree_of(document: bytes, *, before: TreeHead | None, now: datetime) -> TreeHead:
    """The tree that a checkpoint states. ``RefusedError`` for none, and for one that does not go on from ``before``."""
    try:
        _, size, root, at, _ = document.decode("ascii").split("\n")
        head, stated_at = TreeHead(int(size), bytes.fromhex(root)), instant_of(int(at))
    except (ValueError, OverflowError):
        raise _not_one(DocumentKind.CHECKPOINT) from None
    is_exact = audit_tree.note(head.size, head.root, stated_at) == document
    if not is_exact or head.size < 0 or len(head.root) != audit_tree.HASH_BYTES:
        raise _not_one(DocumentKind.CHECKPOINT)
    _require_of_now(DocumentKind.CHECKPOINT, stated_at, now)
    if before is not None and head.size < before.size:
        raise RefusedError("the audit log is shorter than one that was signed before")
    if before is not None and head.size == before.size and head.root != before.root:
        raise RefusedError("the audit log has another root than the one that was signed at this length")
    return head


def signed(kind: DocumentKind, document: bytes, *, signer: DocumentSigner, now: datetime) -> bytes:
    """The signature under a document of any kind but a checkpoint. ``RefusedError`` for what is not one of its kind.

    It is made first and leaves only when what is signed is whole, and valid to whoever verifies it.
    """
    signature = signer.signature(kind, document)
    try:
        _HOLD[kind](_Finished(document, signature, signer, now))
    except (LookupError, TypeError, ValueError, OverflowError, AttributeError, RecursionError, TamperedError):
        raise _not_one(kind) from None
    return signature


@dataclass(frozen=True)
class _Finished:
    """A document with its signature."""

    document: bytes
    signature: bytes
    signer: DocumentSigner
    now: datetime

    def told(self, context: bytes) -> dict[str, Any]:
        """What it says behind the words that it must begin with."""
        if not self.document.startswith(context):
            raise ValueError("another context")
        told: dict[str, Any] = json.loads(self.document.removeprefix(context))
        return told | {"signature": self.signature.hex()}


def _certificate(finished: _Finished) -> None:
    told = finished.told(verify_certificate.SIGNING_CONTEXT)
    pem = verify_succession.pem_of(finished.signer.certificate_public)
    _require_valid(DocumentKind.CERTIFICATE, verify_certificate.problems_of(verify_certificate.canonical(told), pem))
    if told["audit"]["checkpoint"]["public_key"] != finished.signer.audit_public.hex():
        raise RefusedError("the certificate stands on an audit log that is not this practice's")
    _require_of_now(DocumentKind.CERTIFICATE, datetime.fromisoformat(told["issued_at"]), finished.now)


def _drill_report(finished: _Finished) -> None:
    told = finished.told(verify_drill_report.SIGNING_CONTEXT)
    pem = verify_succession.pem_of(finished.signer.certificate_public)
    _require_valid(DocumentKind.DRILL_REPORT, verify_drill_report.problems_of(verify_certificate.canonical(told), pem))
    _require_of_now(DocumentKind.DRILL_REPORT, datetime.fromisoformat(told["ended_at"]), finished.now)


def _backup_listing(finished: _Finished) -> None:
    told = finished.told(backup_listing.HEADING)
    name = backup_listing.listing_name(GenerationKind(told["kind"]), int(told["sequence"]))
    data = backup_listing.canonical(told) + b"\n"
    listing = backup_listing.proved(name, data, audit_public=finished.signer.audit_public)
    if listing.made_at > finished.now + SKEW:
        raise RefusedError("this backup listing is of a time that is still to come")


def _ledger_page(finished: _Finished) -> None:
    heading = LEDGER_FORMAT.encode() + b"\n"
    told = finished.told(heading)
    told.pop("signature")
    if (
        told.keys() != LEDGER_FIELDS
        or told["format"] != LEDGER_FORMAT
        or heading + backup_listing.canonical(told) != finished.document
        or not (type(told["page"]) is int and told["page"] >= 1)
        or not _HEX_32.fullmatch(told["previous"])
    ):
        raise _not_one(DocumentKind.LEDGER_PAGE)
    _require_of_now(DocumentKind.LEDGER_PAGE, instant_of(told["at"]), finished.now)


_HOLD: Final[Mapping[DocumentKind, Callable[[_Finished], None]]] = {
    DocumentKind.CERTIFICATE: _certificate,
    DocumentKind.DRILL_REPORT: _drill_report,
    DocumentKind.BACKUP_LISTING: _backup_listing,
    DocumentKind.LEDGER_PAGE: _ledger_page,
}


def _require_valid(kind: DocumentKind, problems: list[str]) -> None:
    if problems:
        raise RefusedError(f"nobody would take this {_word(kind)} for a valid one: {problems[0]}")


def _require_of_now(kind: DocumentKind, at: datetime, now: datetime) -> None:
    if abs(at - now) > SKEW:
        raise RefusedError(f"this {_word(kind)} is not of this moment")


def _not_one(kind: DocumentKind) -> RefusedError:
    return RefusedError(f"this is no {_word(kind)}")


def _word(kind: DocumentKind) -> str:
    return kind.replace("-", " ")
