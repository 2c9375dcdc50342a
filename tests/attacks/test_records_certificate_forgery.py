"""Somebody makes a certificate say what did not happen, or makes one up."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archive.disposal_certificate import issue, public_key_pem
from archive.verify_certificate import canonical, is_signed, problems_of, signed_bytes
from mailstore.audit_entry import AuditFact
from mailstore.document_signing import SeedSigner, signing_public
from tests.unit.archive.certificate_samples import (
    AUDIT_SEED,
    PEM,
    SEED,
    SIGNER,
    at,
    certificate,
    changed,
    completion,
    disposal,
    proof,
    signed_anew,
)

Change = Callable[[dict[str, Any]], object]
ORDER_OF_THE_BASE = 2**252 + 27742317777372353535851937790883648493


def test_any_changed_byte_is_noticed() -> None:
    document = certificate()
    for position in range(0, len(document), 61):
        wrong = bytearray(document)
        wrong[position] ^= 1
        assert problems_of(bytes(wrong), PEM), position


def test_cut_or_lengthened_file_is_noticed() -> None:
    document = certificate()
    for wrong in (document[:-1], document + b"\n", document + document, b" " + document, b""):
        assert problems_of(wrong, PEM)


def test_same_content_spelled_differently_is_noticed() -> None:
    document = json.loads(certificate())
    for wrong in (json.dumps(document), json.dumps(document, indent=1, sort_keys=True)):
        assert problems_of(wrong.encode(), PEM) == ["the file is not in canonical form"]


def test_another_key_does_not_pass_for_the_practices() -> None:
    other = issue(
        disposal(), proof=proof(completion(disposal())), issued_at=at(1002), signer=SeedSigner(AUDIT_SEED, b"x" * 32)
    )
    assert problems_of(other, PEM)
    assert problems_of(other, public_key_pem(signing_public(b"x" * 32))) == []


LIES: list[tuple[str, Change]] = [
    ("count", lambda told: told.update(count=2)),
    ("leaves", lambda told: told["leaves"].pop()),
    ("leaves", lambda told: told["leaves"].append(told["leaves"][0])),
    ("root", lambda told: told.update(merkle_root="0" * 64)),
    ("self-approval", lambda told: told["approved"].update(account=told["proposed"]["account"])),
    ("self-approved schedule", lambda told: told["authority"].update(approved_by=told["authority"]["proposed_by"])),
    ("approved after the run", lambda told: told["approved"].update(at=told["issued_at"])),
    ("no cooling-off", lambda told: told.update(cooled_off_at="2026-01-01T00:00:00.000000Z")),
    ("set", lambda told: told.update(set_hash="0" * 64)),
    ("kept", lambda told: told.update(kept=[])),
    ("categories", lambda told: told["authority"]["categories"][0].update(count=1)),
    ("more keys", lambda told: told.update(note="all is well")),
    ("fewer keys", lambda told: told.pop("residual_risks")),
    ("null", lambda told: told.update(practice=None)),
    ("truth", lambda told: told.update(count=True)),
    ("list", lambda told: told.update(residual_risks="none")),
    ("format", lambda told: told.update(format="strongroom-disposal-certificate-2")),
    ("other disposal", lambda told: told.update(disposal="e" * 26)),
    ("other id", lambda told: told.update(id="e" * 26)),
    ("index", lambda told: told["audit"].update(index=4)),
    ("path", lambda told: told["audit"]["path"].pop()),
    ("size", lambda told: told["audit"]["checkpoint"].update(size=10)),
    ("log root", lambda told: told["audit"]["checkpoint"].update(root="0" * 64)),
    ("log signature", lambda told: told["audit"]["checkpoint"].update(signature="0" * 128)),
    ("log key", lambda told: told["audit"]["checkpoint"].update(public_key="0" * 64)),
    ("entry", lambda told: told["audit"].update(entry='{"event":"disposal.completed"}')),
    ("entry", lambda told: told["audit"].update(entry="{" * 5_000)),
    ("entry", lambda told: told["audit"].update(entry="\ud800")),
    ("fingerprint", lambda told: told.update(public_key_fingerprint="0" * 64)),
]


@pytest.mark.parametrize(("lie", "change"), LIES, ids=[f"{number}-{lie}" for number, (lie, _) in enumerate(LIES)])
def test_lie_is_noticed_even_with_a_good_signature(lie: str, change: Change) -> None:
    assert lie
    assert problems_of(signed_anew(changed(change)), PEM)


def test_entry_of_another_event_proves_nothing() -> None:
    for fact in (
        AuditFact("disposal.proposed", "system", "d" * 26),
        AuditFact("disposal.completed", "system", "e" * 26),
        replace(completion(disposal()), detail={**completion(disposal()).detail, "count": 4}),
    ):
        forged = issue(disposal(), proof=proof(fact), issued_at=at(1002), signer=SIGNER)
        assert any("audit entry" in problem for problem in problems_of(forged, PEM))


def test_second_signature_made_from_the_first_is_refused() -> None:
    """Malleability: the scalar plus the order of the base point (RFC 8032 section 8.4)."""
    told = json.loads(certificate())
    signature = bytes.fromhex(told["signature"])
    scalar = int.from_bytes(signature[32:], "little") + ORDER_OF_THE_BASE
    told["signature"] = (signature[:32] + scalar.to_bytes(32, "little")).hex()
    assert "the signature does not verify under the public key given" in problems_of(canonical(told), PEM)


SMALL_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


@pytest.mark.parametrize("point", SMALL_ORDER)
def test_key_or_commitment_of_small_order_is_refused(point: str) -> None:
    """Such a key would let one signature fit many messages."""
    weak = bytes.fromhex(point)
    assert not is_signed(weak, b"any message", weak + bytes(32))
    key = Ed25519PrivateKey.from_private_bytes(SEED)
    good = key.sign(b"message")
    assert not is_signed(key.public_key().public_bytes_raw(), b"message", weak + good[32:])


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_keys_and_signatures_of_a_wrong_size_are_refused(size: int) -> None:
    key = Ed25519PrivateKey.from_private_bytes(SEED)
    public, signature = key.public_key().public_bytes_raw(), key.sign(b"m")
    assert not is_signed(bytes(size), b"m", signature)
    assert not is_signed(public, b"m", signature[:size] if size != 64 else signature + b"\x00")


def test_signature_for_another_purpose_is_refused() -> None:
    told = json.loads(certificate())
    unsigned = {key: value for key, value in told.items() if key != "signature"}
    for message in (canonical(unsigned), b"strongroom/other/v1\n" + canonical(unsigned)):
        assert message != signed_bytes(told)
        told["signature"] = Ed25519PrivateKey.from_private_bytes(SEED).sign(message).hex()
        assert problems_of(canonical(told), PEM)


def test_text_that_would_steer_a_terminal_is_not_printed_raw() -> None:
    told = changed(lambda each: each.update({"\x1b[2J": 1}))
    assert "\x1b" not in "".join(problems_of(canonical(told), PEM))
