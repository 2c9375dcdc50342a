"""A page of the ledger, byte for byte: what was written once stays readable."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from archive.disposal_records import CertificateRecord, DisposalItem, DisposalRecord, DisposalState, ItemState
from archive.hold_records import HeldMessage, HoldRecord
from archive.ledger_page import NO_PAGE, DisposalOnRecord, Ledger, LedgerPage, page_of, signed
from archive.legal_hold import HoldState
from mailstore.document_signing import SeedSigner, signing_public
from mailstore.message import AccountId, MessageId

VECTOR = Path(__file__).with_name("ledger_page_v1.json")
AUDIT_SEED = bytes(range(32))
THEN = datetime(2026, 3, 4, 5, 6, 7, 8, tzinfo=UTC)
DEAD, LIVING = MessageId("d" * 26), MessageId("e" * 26)

DISPOSAL = DisposalRecord(
    id="f" * 26,
    state=DisposalState.COMPLETED,
    schedule="g" * 26,
    set_hash=b"\x01" * 32,
    messages=1,
    held=0,
    proposed_by=AccountId("a" * 26),
    proposed_at=THEN,
    approved_by=AccountId("b" * 26),
    approved_at=THEN,
    cooled_off_at=THEN,
    run_by=AccountId("a" * 26),
    started_at=THEN,
    completed_at=THEN,
    certificate="h" * 26,
)
ITEM = DisposalItem(
    DEAD, ItemState.DESTROYED, b"\x02" * 32, THEN, "billing", THEN, salt=b"\x03" * 16, destroyed_at=THEN
)
HOLD = HoldRecord("i" * 26, HoldState.ACTIVE, b"\x04" * 40, AccountId("a" * 26), THEN)

PAGE = LedgerPage(
    page=1,
    previous=NO_PAGE,
    at=THEN,
    audit_entries=12,
    says=Ledger(
        destroyed={DEAD: THEN},
        disposals={
            DISPOSAL.id: DisposalOnRecord(DISPOSAL, (ITEM,), CertificateRecord("h" * 26, "f" * 26, THEN, b"{}"))
        },
        holds={HOLD.id: HOLD},
        held={(HOLD.id, LIVING): HeldMessage(HOLD.id, LIVING, THEN, at_placement=True, is_certain=False)},
    ),
)


def test_page_is_written_as_ever() -> None:
    assert signed(PAGE, SeedSigner(AUDIT_SEED, bytes(32))) == VECTOR.read_bytes()


def test_page_that_was_written_once_is_read() -> None:
    assert page_of(VECTOR.read_bytes(), public_key=signing_public(AUDIT_SEED), name="vector") == PAGE
