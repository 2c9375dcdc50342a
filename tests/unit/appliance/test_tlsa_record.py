"""Only what a usable record names is proof, by the rules of each usage."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from appliance import tlsa_record
from appliance.tlsa_record import TlsaRecord

NOW = datetime(2026, 3, 2, tzinfo=UTC)
MX = "mx.partner.example"
ROOT = trustme.CA()
MIDDLE = ROOT.create_child_ca()


def loaded(*pems: trustme.Blob) -> list[x509.Certificate]:
    return [x509.load_pem_x509_certificate(pem.bytes()) for pem in pems]


OWN, ABOVE = loaded(*MIDDLE.issue_cert(MX).cert_chain_pems[:1]), loaded(MIDDLE.cert_pem, ROOT.cert_pem)
CHAIN = [each.public_bytes(Encoding.DER) for each in OWN + ABOVE]


def told(certificate: x509.Certificate, selector: int) -> bytes:
    if selector == 0:
        return certificate.public_bytes(Encoding.DER)
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def record(usage: int, selector: int, matching: int, certificate: x509.Certificate) -> TlsaRecord:
    data = told(certificate, selector)
    digest = {0: data, 1: hashlib.sha256(data).digest(), 2: hashlib.sha512(data).digest()}[matching]
    return TlsaRecord(usage, selector, matching, digest)


def shortfall(
    *records: TlsaRecord, chain: list[bytes] = CHAIN, names: tuple[str, ...] = (MX,), now: datetime = NOW
) -> str:
    return tlsa_record.shortfall(records, chain, names=names, now=now)


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
def test_own_certificate_is_proof_by_every_selector_and_digest(selector: int, matching: int) -> None:
    assert shortfall(record(3, selector, matching, OWN[0])) == ""
    assert shortfall(record(3, selector, matching, ABOVE[0])) != ""


def test_own_key_is_proof_whatever_name_and_date_the_certificate_says() -> None:
    assert shortfall(record(3, 1, 1, OWN[0]), names=("other.example",), now=NOW + timedelta(days=400_000)) == ""


@pytest.mark.parametrize("authority", [0, 1])
@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
def test_authority_is_proof_for_its_names_and_while_all_is_valid(authority: int, selector: int, matching: int) -> None:
    named = record(2, selector, matching, ABOVE[authority])
    assert shortfall(named) == ""
    assert shortfall(named, names=("partner.example", MX)) == ""
    assert "no matching subjectAltName" in shortfall(named, names=("other.example",))
    assert shortfall(named, now=NOW + timedelta(days=400_000)) != ""


def test_authority_that_is_whole_in_its_record_need_not_be_shown() -> None:
    assert shortfall(record(2, 0, 0, ABOVE[1]), chain=CHAIN[:2]) == ""
    assert shortfall(record(2, 0, 1, ABOVE[1]), chain=CHAIN[:2]) != ""


def test_own_certificate_is_no_authority() -> None:
    assert shortfall(record(2, 1, 1, OWN[0])) != ""


def test_certificate_that_the_named_authority_did_not_sign_is_no_proof_though_the_authority_is_shown() -> None:
    forged = loaded(trustme.CA().issue_cert(MX).cert_chain_pems[0])[0].public_bytes(Encoding.DER)
    assert "does not lead to the authority" in shortfall(record(2, 0, 1, ABOVE[1]), chain=[forged, *CHAIN[1:]])


def test_one_record_of_several_is_enough() -> None:
    other = record(3, 1, 1, ABOVE[1])
    assert shortfall(other, record(3, 1, 1, OWN[0])) == ""
    assert shortfall(other, record(2, 1, 1, ABOVE[1])) == ""


@pytest.mark.parametrize(
    "unusable",
    [
        TlsaRecord(0, 0, 1, bytes(32)),
        TlsaRecord(1, 1, 1, bytes(32)),
        TlsaRecord(3, 2, 1, bytes(32)),
        TlsaRecord(3, 1, 3, bytes(32)),
        TlsaRecord(3, 1, 1, bytes(31)),
        TlsaRecord(3, 1, 2, bytes(32)),
        TlsaRecord(3, 1, 0, b""),
        TlsaRecord(255, 255, 255, b"x"),
    ],
)
def test_record_that_cannot_prove_a_mail_server_does_not_count(unusable: TlsaRecord) -> None:
    good = record(3, 1, 1, OWN[0])
    assert tlsa_record.usable([unusable, good]) == (good,)
    assert tlsa_record.usable([unusable]) == ()


def test_of_several_digests_of_one_kind_the_strongest_counts() -> None:
    weak, strong, whole = (record(3, 1, matching, OWN[0]) for matching in (1, 2, 0))
    other_kind = record(3, 0, 1, OWN[0])
    assert tlsa_record.usable([weak, strong, whole, other_kind]) == (strong, whole, other_kind)


def test_very_many_records_do_not_keep_us_busy() -> None:
    assert len(tlsa_record.usable([TlsaRecord(3, 1, 1, bytes(32))] * 1000)) == tlsa_record.MOST_RECORDS


@pytest.mark.parametrize("chain", [[], [b""], [b"\x30\x03\x02\x01\x01"], [CHAIN[0][:-1]], [CHAIN[0], b"no"]])
def test_what_is_no_certificate_is_no_proof(chain: list[bytes]) -> None:
    assert shortfall(record(2, 0, 1, ABOVE[1]), chain=chain) == "it shows no certificate that can be read"


@given(st.binary(max_size=200), st.integers(2, 3), st.integers(0, 1))
def test_no_bytes_of_a_record_are_proof_but_the_right_ones(data: bytes, usage: int, selector: int) -> None:
    assert shortfall(*tlsa_record.usable([TlsaRecord(usage, selector, 0, data)])) != ""
