"""Signatures as the RFCs have them, and as another implementation verifies them."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance import dkim_signature
from appliance.dkim_signature import Algorithm, SigningKey
from mailstore.errors import TamperedError
from tests import dkim_verifier

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
BY_RSA = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
BY_ED25519 = Ed25519PrivateKey.generate()
KEYS = (
    SigningKey("clinic.example", "one-rsa", Algorithm.RSA, BY_RSA),
    SigningKey("clinic.example", "one-ed25519", Algorithm.ED25519, BY_ED25519),
)
RECORDS = {
    f"{key.selector}._domainkey.{key.domain}": dkim_signature.record_value(
        key.algorithm, dkim_signature.public_bytes(key.private)
    )
    for key in KEYS
}
LETTER = (
    b"Received: from a by b; Mon, 2 Mar 2026 09:00:00 +0000\r\n"
    b"From: Doctor <doctor@clinic.example>\r\nTo: patient@partner.example\r\nSubject: Your\r\n  appointment\r\n"
    b"Date: Mon, 2 Mar 2026 09:00:00 +0000\r\nMessage-ID: <1@clinic.example>\r\n\r\nSee you then.\r\n"
)

RFC_8463_LETTER = (
    b"From: Joe SixPack <joe@football.example.com>\r\nTo: Suzie Q <suzie@shopping.example.net>\r\n"
    b"Subject: Is dinner ready?\r\nDate: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
    b"Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n\r\n"
    b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n"
)
"""RFC 8463 appendix A.3, and below the key of appendix A.1 with the signature that it makes."""
RFC_8463_KEY = base64.b64decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
RFC_8463_UNSIGNED = (
    b"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n d=football.example.com; "
    b"i=@football.example.com;\r\n q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
    b" subject : date : message-id : from : subject : date;\r\n"
    b" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b="
)
RFC_8463_SIGNATURE = "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw=="
RFC_8463_RSA_SIGNATURE = (
    "F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz"
    "dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8="
)
RFC_8463_RSA_PUBLIC = (
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3Fu"
    "tACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB"
)
RFC_8463_NAMES = ("from", "to", "subject", "date", "message-id", "from", "subject", "date")


def signed(content: bytes) -> bytes:
    return dkim_signature.signature_fields(content, KEYS, now=NOW) + content


def test_rfc_8463_body_digest() -> None:
    body = RFC_8463_LETTER.partition(b"\r\n\r\n")[2]
    assert base64.b64encode(dkim_signature.body_digest(body)).decode() == "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="


def test_rfc_8463_signature() -> None:
    key = SigningKey(
        "football.example.com", "brisbane", Algorithm.ED25519, Ed25519PrivateKey.from_private_bytes(RFC_8463_KEY)
    )
    present = dkim_signature.header_fields(RFC_8463_LETTER.partition(b"\r\n\r\n")[0])
    data = dkim_signature.signed_data(present, RFC_8463_NAMES, RFC_8463_UNSIGNED)
    assert base64.b64encode(dkim_signature.signature(key, data)).decode() == RFC_8463_SIGNATURE


def test_rfc_8463_rsa_signature_is_over_what_we_would_sign() -> None:
    present = dkim_signature.header_fields(RFC_8463_LETTER.partition(b"\r\n\r\n")[0])
    unsigned = RFC_8463_UNSIGNED.replace(b"ed25519", b"rsa").replace(b"s=brisbane", b"s=test")
    data = dkim_signature.signed_data(present, RFC_8463_NAMES, unsigned)
    public = serialization.load_der_public_key(base64.b64decode(RFC_8463_RSA_PUBLIC))
    assert isinstance(public, rsa.RSAPublicKey)
    public.verify(base64.b64decode(RFC_8463_RSA_SIGNATURE), data, padding.PKCS1v15(), hashes.SHA256())


def test_rfc_8463_record() -> None:
    private = Ed25519PrivateKey.from_private_bytes(RFC_8463_KEY)
    told = dkim_signature.record_value(Algorithm.ED25519, dkim_signature.public_bytes(private))
    assert told == "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="


def test_rfc_6376_relaxed_header_and_body() -> None:
    """RFC 6376 section 3.4.5."""
    assert dkim_signature.header_fields(b"A: X\r\nB : Y\t\r\n\tZ  ") == [("a", b"a:X"), ("b", b"b:Y Z")]
    assert dkim_signature.body_digest(b" C \r\nD \t E\r\n\r\n\r\n") == hashlib.sha256(b" C\r\nD E\r\n").digest()


def test_empty_body_is_empty() -> None:
    """RFC 6376 section 3.4.4."""
    assert dkim_signature.body_digest(b"\r\n\r\n") == dkim_signature.body_digest(b"") == hashlib.sha256(b"").digest()


@pytest.mark.parametrize(
    "content",
    [
        LETTER,
        LETTER + b"\r\n" * 50,
        LETTER + "Grüße, süß\r\n".encode(),
        LETTER + b"\xff\xfe\x80 \t \r\n" * 3,
        LETTER + b"x" * 5000 + b"\r\n",
        LETTER + b" " * 2_000 + b".\r\n",
        LETTER.replace(b"Subject:", "Subject: Größe ".encode()),
        LETTER.replace(b"To:", b"Cc: a@b.example\r\nCC: c@d.example\r\nTo:"),
        LETTER.replace(b"To: ", b"To: " + b"".join(b"p%d@partner.example,\r\n " % n for n in range(300))),
        LETTER.partition(b"\r\n\r\n")[0] + b"\r\n\r\n",
        LETTER.replace(b"Subject: Your", b"Subject:\t \t Your \t"),
    ],
    ids=[
        "plain",
        "empty lines",
        "utf-8",
        "8-bit",
        "long line",
        "spaces",
        "utf-8 field",
        "two cc",
        "long to",
        "no body",
        "tabs",
    ],
)
def test_both_signatures_verify(content: bytes) -> None:
    assert dkim_verifier.verdicts(signed(content), RECORDS) == [True, True]


def test_long_white_space_costs_no_more_than_its_length() -> None:
    """Ten million spaces before one full stop: anything that looks again from every one of them would never end."""
    assert dkim_signature.body_digest(b" " * 10_000_000 + b".") == hashlib.sha256(b" .\r\n").digest()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"See you then", b"See you there"),
        (b"From: Doctor", b"From: Director"),
        (b"Subject: Your", b"Subject: My"),
        (b"To: patient", b"From: mallory@evil.example\r\nTo: patient"),
        (b"To: patient", b"Subject: other\r\nTo: patient"),
        (b"To: patient", b"Reply-To: mallory@evil.example\r\nTo: patient"),
        (b"To: patient", b"Content-Type: text/html\r\nTo: patient"),
    ],
)
def test_changed_mail_verifies_no_more(before: bytes, after: bytes) -> None:
    """A field that was added counts as a change: each is named once more than it was there."""
    changed = signed(LETTER).replace(before, after, 1)
    assert changed != signed(LETTER)
    assert dkim_verifier.verdicts(changed, RECORDS) == [False, False]


def test_white_space_and_trace_fields_may_change_on_the_way() -> None:
    on_the_way = b"Received: from c by d\r\n" + signed(LETTER).replace(b"Subject: Your\r\n  ", b"subject:  Your ")
    assert dkim_verifier.verdicts(on_the_way + b"\r\n\r\n", RECORDS) == [True, True]


def test_lines_of_the_fields_are_short() -> None:
    fields = dkim_signature.signature_fields(LETTER, KEYS, now=NOW)
    assert max(len(line) for line in fields.split(b"\r\n")) <= 78  # RFC 5322 section 2.1.1
    assert fields.isascii()


def test_private_half_is_read_back() -> None:
    for key in KEYS:
        written = dkim_signature.private_bytes(key.private)
        again = dkim_signature.loaded(key.algorithm, written)
        assert dkim_signature.public_bytes(again) == dkim_signature.public_bytes(key.private)


@pytest.mark.parametrize("written", [b"", b"no key", dkim_signature.private_bytes(BY_RSA)[:-1]])
def test_damaged_private_half_is_refused(written: bytes) -> None:
    with pytest.raises(TamperedError):
        dkim_signature.loaded(Algorithm.RSA, written)


def test_key_of_another_kind_is_refused() -> None:
    with pytest.raises(TamperedError):
        dkim_signature.loaded(Algorithm.RSA, dkim_signature.private_bytes(BY_ED25519))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("v=DKIM1; k=ed25519; p=AAAA", ("ed25519", b"\0\0\0")),
        ("p=AA AA", ("rsa", b"\0\0\0")),
        ("v=DKIM1; p=", None),
        ("v=DKIM2; p=AAAA", None),
        ("v=DKIM1; p=%%%", None),
        ("v=DKIM1; k=rsa; p=MIIB\u200b", None),
        ("v=DKIM1; k=rsa; p=MIIB\ufffd", None),
        ("", None),
    ],
)
def test_what_others_published_is_understood(text: str, found: tuple[str, bytes] | None) -> None:
    assert dkim_signature.published_key(text) == found
