"""Bytes that must stay what they are for ever: rows, log entries and checkpoints written today are read in years."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mailstore.audit_entry import AuditFact, placed
from mailstore.audit_tree import Frontier, checkpoint_from, signed_checkpoint
from mailstore.document_signing import SeedSigner, signing_public
from mailstore.row_form import RowForm, RowSeal
from mailstore.tables import outbox

NOW = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
ROW_KEY, SEED = b"r" * 32, b"s" * 32

ROW_TEXT = (
    b"s16:strongroom row 1s6:outboxi10;"
    b"s8:attemptss12:claimable_ats2:ids4:kinds9:leased_bys12:leased_untils7:messages10:not_befores8:positions8:why_code"
    b"i0;i1767323045000678;i7;s5:indexnnni1767323045000678;i-1;n"
)
ENTRY_TEXT = (
    b'{"actor":"system","at":1767323045000678,"detail":{"a":"y","b":1},"event":"message.opened",'
    b'"object":"x","sequence":5}'
)
CHECKPOINT_LINE = (
    '{"at":1767323045000678,"root":"725d5230db68f557470dc35f1d8865813acd7ebb07ad152774141decbae71327","signature":'
    '"74d80be426e7bca6b046a13ee02ee491d14ff6570eef01c610c973170591d1a1e3da98b2d9d5a7947cf067f6082be1bcd5b1eae75d13'
    '454e83127e992b43b70d","size":3}'
)
CHECKPOINT_NOTE = (
    b"strongroom audit checkpoint v1\n3\n725d5230db68f557470dc35f1d8865813acd7ebb07ad152774141decbae71327\n"
    b"1767323045000678\n"
)


def test_row_seal_is_hmac_sha256_over_the_documented_text() -> None:
    form = RowForm(outbox)
    row = {"id": 7, "kind": "index", "position": -1, "not_before": NOW, "claimable_at": NOW}
    seal = form.sealed(form.stored(row), RowSeal(ROW_KEY))[-1]
    assert seal == hmac.digest(ROW_KEY, ROW_TEXT, "sha256")[:16]
    assert seal.hex() == "aca47dbab92e3157128528edc61e732b"


def test_audit_entry_keeps_its_canonical_bytes_and_leaf() -> None:
    entry = placed(AuditFact("message.opened", "system", "x", {"b": 1, "a": "y"}), sequence=5, at=NOW)
    assert entry.canonical() == ENTRY_TEXT
    assert entry.leaf() == hashlib.sha256(b"\x00" + ENTRY_TEXT).digest()
    assert entry.leaf().hex() == "91d0972ae4b26b3bbb65e6e9e65dc1f5d7d5e6e6fada80ce4aab30a68a632e41"


def test_checkpoint_keeps_its_line_and_signed_text() -> None:
    frontier = Frontier()
    for number in range(3):
        frontier.append(hashlib.sha256(b"\x00%d" % number).digest())
    checkpoint = signed_checkpoint(frontier, at=NOW, signer=SeedSigner(SEED, bytes(32)))
    assert checkpoint.line() == CHECKPOINT_LINE
    assert checkpoint.signature == Ed25519PrivateKey.from_private_bytes(SEED).sign(CHECKPOINT_NOTE)
    assert checkpoint_from(CHECKPOINT_LINE).is_signed_by(signing_public(SEED))
