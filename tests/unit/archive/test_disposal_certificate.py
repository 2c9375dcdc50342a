from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from archive.disposal_certificate import instant_text, merkle_root, residual_risks
from archive.verify_certificate import canonical, problems_of, signed_bytes
from mailstore.audit_tree import root_of
from mailstore.key_copy import KeyCopy
from tests.unit.archive.certificate_samples import PEM, SEED, at, certificate, disposal, record, without_kept


def test_certificate_is_valid_for_any_number_of_records() -> None:
    for count in (1, 2, 3, 7, 8, 9, 100):
        assert problems_of(certificate(disposal(count)), PEM) == []


def test_certificate_is_canonical_and_signed_with_the_disposal_key() -> None:
    document = certificate()
    told = json.loads(document)
    assert canonical(told) == document
    key = load_pem_public_key(PEM)
    Ed25519PrivateKey.from_private_bytes(SEED).public_key().verify(bytes.fromhex(told["signature"]), signed_bytes(told))
    assert key is not None


def test_same_disposal_gives_the_same_bytes() -> None:
    assert certificate() == certificate()


def test_messages_stand_in_it_as_salted_hashes_only() -> None:
    one = record(1)
    assert one.message not in certificate().decode()
    assert one.leaf() != replace(one, salt=bytes(16)).leaf()
    assert hashlib.sha256(one.message.encode()).hexdigest() not in certificate().decode()


def test_every_field_of_a_record_is_in_its_leaf() -> None:
    one = record(1)
    others = [
        replace(one, message=record(2).message),
        replace(one, sealed_digest=bytes(32)),
        replace(one, received_at=at(5)),
        replace(one, category="other"),
        replace(one, destroyed_at=at(5)),
    ]
    assert len({each.leaf() for each in (one, *others)}) == 6


def test_root_is_that_of_the_audit_trees_kind() -> None:
    for count in range(1, 20):
        records = [record(number) for number in range(1, count + 1)]
        assert merkle_root(records) == root_of([each.leaf() for each in records])


def test_disposal_in_which_nothing_was_kept_is_valid() -> None:
    assert problems_of(certificate(without_kept(disposal())), PEM) == []


def test_residual_risks_name_the_days_of_key_backups() -> None:
    died = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    known, others, *_ = residual_risks(30, [], died)
    assert "never made a backup" in known
    assert "30 days" in others


def test_the_certificate_names_the_day_after_which_no_copy_of_the_keys_is_left() -> None:
    died = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    shipped = died - timedelta(days=3)
    nas = KeyCopy("a" * 32, "nas", shipped, shipped + timedelta(days=30), died)
    far = KeyCopy("b" * 32, "far away", died, died + timedelta(days=30), shipped)
    known = residual_risks(30, [nas, far], died)[0]
    assert "nas until 2026-04-01 (last within reach on 2026-03-04)" in known
    assert "far away until 2026-04-04 (last within reach on 2026-03-01)" in known
    assert "After 2026-04-04 no copy of the keys exists" in known


def test_times_sort_as_they_are_spelled() -> None:
    assert instant_text(at(0)) == "2026-01-01T00:00:00.000000Z"
