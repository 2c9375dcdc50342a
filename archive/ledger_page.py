"""One page of the ledger of disposals and holds, and what all pages together say (docs/formats/ledger.md).

A page is signed with the audit key and names the page before it. It holds ids, times and columns that are sealed
already: nothing in it names a person, a matter or a word of a message.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from archive.disposal_records import CertificateRecord, DisposalItem, DisposalRecord, DisposalState, ItemState
from archive.hold_records import HeldMessage, HoldRecord
from archive.legal_hold import HoldState
from mailstore.document_signing import DocumentKind, DocumentSigner
from mailstore.errors import TamperedError
from mailstore.instants import instant_of, microseconds
from mailstore.message import MessageId

FORMAT: Final = "strongroom/ledger/v1"
NO_PAGE: Final = "0" * 64
"""What the first page names as the one before it."""

_FIELDS: Final = frozenset(
    {"format", "page", "previous", "at", "audit_entries", "destroyed", "disposals", "holds", "held", "signature"}
)
_BYTES: Final = frozenset({"details_sealed", "release_reason_sealed", "set_hash", "sealed_digest", "salt", "document"})
_STATES: Final = {"DisposalRecord": DisposalState, "DisposalItem": ItemState, "HoldRecord": HoldState}
_HOLD_ORDER: Final = tuple(HoldState)
_DISPOSAL_ORDER: Final = (
    DisposalState.PROPOSED,
    DisposalState.APPROVED,
    DisposalState.WITHDRAWN,
    DisposalState.RUNNING,
    DisposalState.COMPLETED,
)

_Record = TypeVar("_Record", DisposalRecord, DisposalItem, CertificateRecord, HoldRecord, HeldMessage)


@dataclass(frozen=True)
class DeadKey:
    """A key that was destroyed: of a message, a shared part or a dictionary."""

    message: MessageId
    at: datetime


@dataclass(frozen=True)
class DisposalOnRecord:
    """A disposal that was begun, what became of each record, and its certificate when there is one."""

    record: DisposalRecord
    items: tuple[DisposalItem, ...]
    certificate: CertificateRecord | None = None

    @property
    def stage(self) -> tuple[int, bool, int]:
        """How far it is: the further of two is the newer one."""
        done = sum(item.state in {ItemState.DESTROYED, ItemState.KEPT} for item in self.items)
        return (_DISPOSAL_ORDER.index(self.record.state), self.certificate is not None, done)


@dataclass(frozen=True)
class Ledger:
    """What pages together say: what is dead, which disposals were begun, and every hold as far as it is known."""

    destroyed: Mapping[MessageId, datetime] = field(default_factory=dict)
    disposals: Mapping[str, DisposalOnRecord] = field(default_factory=dict)
    holds: Mapping[str, HoldRecord] = field(default_factory=dict)
    held: Mapping[tuple[str, MessageId], HeldMessage] = field(default_factory=dict)

    def and_also(self, other: Ledger) -> Ledger:
        """Both together, the further of each: the dead stay dead, an ended hold is not revived."""
        return Ledger(
            {**other.destroyed, **self.destroyed},
            _further(self.disposals, other.disposals, lambda each: each.stage),
            _further(self.holds, other.holds, hold_stage),
            {**other.held, **self.held},
        )

    def beyond(self, known: Ledger) -> Ledger:
        """What this says and ``known`` does not: the next page. Nothing where a part of it is as known or older."""
        return Ledger(
            {message: at for message, at in self.destroyed.items() if message not in known.destroyed},
            {
                id_: each
                for id_, each in self.disposals.items()
                if id_ not in known.disposals or each.stage > known.disposals[id_].stage
            },
            {
                id_: each
                for id_, each in self.holds.items()
                if id_ not in known.holds or hold_stage(each) > hold_stage(known.holds[id_])
            },
            {place: each for place, each in self.held.items() if place not in known.held},
        )

    def __bool__(self) -> bool:
        """False when nothing is said."""
        return bool(self.destroyed or self.disposals or self.holds or self.held)


@dataclass(frozen=True)
class LedgerPage:
    """One page. ``previous`` is the SHA-256 of the page before, ``audit_entries`` how long the audit log was then."""

    page: int
    previous: str
    at: datetime
    audit_entries: int
    says: Ledger


def hold_stage(hold: HoldRecord) -> tuple[int, bool]:
    """How far a hold is: the further of two is the newer one."""
    return (_HOLD_ORDER.index(hold.state), hold.evaluated_at is not None)


def digest_of(file: bytes) -> str:
    """How the next page names this one."""
    return hashlib.sha256(file).hexdigest()


def signed(page: LedgerPage, signer: DocumentSigner) -> bytes:
    """The page as a file. Raises as ``signer`` does."""
    told = _told(page)
    signature = signer.signature(DocumentKind.LEDGER_PAGE, _signed_part(told))
    return _canonical({**told, "signature": signature.hex()})


def page_of(file: bytes, *, public_key: bytes, name: str) -> LedgerPage:
    """The page in a file. ``TamperedError`` naming it when it is not one that the key signed."""
    try:
        told = json.loads(file)
        if told.keys() == _FIELDS and told["format"] == FORMAT and _canonical(told) == file:
            signature = bytes.fromhex(told.pop("signature"))
            Ed25519PublicKey.from_public_bytes(public_key).verify(signature, _signed_part(told))
            return _page(told)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError, InvalidSignature):
        pass
    raise TamperedError(f"ledger page {name} is not one that this practice signed")


def all_together(pages: Iterable[LedgerPage]) -> Ledger:
    """What the pages say together, in whatever order they come."""
    whole = Ledger()
    for page in pages:
        whole = page.says.and_also(whole)
    return whole


def _further(ours: Mapping[str, Any], theirs: Mapping[str, Any], stage: Any) -> dict[str, Any]:
    found = dict(theirs)
    for id_, each in ours.items():
        if id_ not in found or stage(each) >= stage(found[id_]):
            found[id_] = each
    return found


def _told(page: LedgerPage) -> dict[str, Any]:
    says = page.says
    return {
        "format": FORMAT,
        "page": page.page,
        "previous": page.previous,
        "at": microseconds(page.at),
        "audit_entries": page.audit_entries,
        "destroyed": [{"message": id_, "at": microseconds(at)} for id_, at in sorted(says.destroyed.items())],
        "disposals": [_told_disposal(says.disposals[id_]) for id_ in sorted(says.disposals)],
        "holds": [_columns(says.holds[id_]) for id_ in sorted(says.holds)],
        "held": [_columns(says.held[place]) for place in sorted(says.held)],
    }


def _told_disposal(disposal: DisposalOnRecord) -> dict[str, Any]:
    return {
        "record": _columns(disposal.record),
        "items": [_columns(item) for item in disposal.items],
        "certificate": None if disposal.certificate is None else _columns(disposal.certificate),
    }


def _columns(record: Any) -> dict[str, Any]:
    return {name: _written(value) for name, value in vars(record).items()}


def _written(value: Any) -> Any:
    match value:
        case datetime():
            return microseconds(value)
        case bytes():
            return value.hex()
        case _:
            return value


def _page(told: Mapping[str, Any]) -> LedgerPage:
    holds = [_record(HoldRecord, each) for each in told["holds"]]
    held = [_record(HeldMessage, each) for each in told["held"]]
    disposals = [_disposal(each) for each in told["disposals"]]
    says = Ledger(
        {MessageId(each["message"]): instant_of(each["at"]) for each in told["destroyed"]},
        {each.record.id: each for each in disposals},
        {each.id: each for each in holds},
        {(each.hold, each.message): each for each in held},
    )
    return LedgerPage(told["page"], told["previous"], instant_of(told["at"]), told["audit_entries"], says)


def _disposal(told: Mapping[str, Any]) -> DisposalOnRecord:
    certificate = told["certificate"]
    return DisposalOnRecord(
        _record(DisposalRecord, told["record"]),
        tuple(_record(DisposalItem, each) for each in told["items"]),
        None if certificate is None else _record(CertificateRecord, certificate),
    )


def _record(kind: type[_Record], told: Mapping[str, Any]) -> _Record:
    return kind(**{name: _read(kind.__name__, name, value) for name, value in told.items()})


def _read(kind: str, name: str, value: Any) -> Any:
    if value is None:
        return None
    if name == "state":
        return _STATES[kind](value)
    if name.endswith("_at"):
        return instant_of(value)
    return bytes.fromhex(value) if name in _BYTES else value


def _signed_part(told: Mapping[str, Any]) -> bytes:
    return FORMAT.encode() + b"\n" + _canonical(told)


def _canonical(told: Mapping[str, Any] | Sequence[Any]) -> bytes:
    return json.dumps(told, ensure_ascii=True, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")
