"""Submission in another's name: the envelope sender and every author field must be the sender's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.smtp_room import ALICE, BOB, FrontDoorRoom

FALSE_HEADERS = [
    b"From: bob@clinic.example\r\n",
    b"From: Alice <bob@clinic.example>\r\n",
    b"From: alice@clinic.example, bob@clinic.example\r\n",
    b"From: alice@clinic.example\r\nFrom: bob@clinic.example\r\n",
    b"from: alice@clinic.example\r\nFROM: bob@clinic.example\r\n",
    b"From: bob@clinic.example\r\nSender: alice@clinic.example\r\n",
    b"From: alice@clinic.example\r\nSender: bob@clinic.example\r\n",
    b"From: alice@clinic.example\r\nResent-From: bob@clinic.example\r\n",
    b"From: bob@clinic.example <alice@clinic.example>\r\n",
    b"From: <alice@clinic.example> bob@clinic.example\r\n",
    b"From: <alice@clinic.example> <bob@clinic.example>\r\n",
    b"From: <bob@clinic.example> (<alice@clinic.example>)\r\n",
    b"From: (alice@clinic.example) bob@clinic.example\r\n",
    b"From: alice@clinic.example (comment)\r\n",
    b'From: "alice@clinic.example" <bob@clinic.example>\r\n',
    b'From: "x" <alice@clinic.example>, "y\r\n',
    b'From: "<alice@clinic.example>" bob@clinic.example\r\n',
    b"From: staff: alice@clinic.example, bob@clinic.example;\r\n",
    b"From: alice@clinic.example;bob@clinic.example\r\n",
    b"From: =?utf-8?q?bob=40clinic=2Eexample?=\r\n",
    b"From: =?utf-8?q?=3Cbob=40clinic=2Eexample=3E?= x <alice@clinic.example> y\r\n",
    b"From: @relay.example:alice@clinic.example\r\n",
    b"From: <@relay.example:alice@clinic.example>\r\n",
    b'From: "alice@clinic.example"@elsewhere.example\r\n',
    b"From: alice@clinic.example@elsewhere.example\r\n",
    b"From: alice@clinic.example.elsewhere.example\r\n",
    b"From: alice@clinic.example\x00bob@clinic.example\r\n",
    b"From: alice\x01@clinic.example\r\n",
    b"From:\r\n",
    b"From: <>\r\n",
    b"",
    b"From : alice@clinic.example\r\nFrom: bob@clinic.example\r\n",
    b"not a field\r\nFrom: alice@clinic.example\r\n",
    b" From: bob@clinic.example\r\nFrom: alice@clinic.example\r\n",
    "From: alic\u0435@clinic.example\r\n".encode(),
    "From: \u202eecila <alice@clinic.example>, <b\u00f6b@clinic.example>\r\n".encode(),
    b"X: " + b"y" * 60_000 + b"\r\n" + (b"X: y\r\n" * 3_000) + b"From: alice@clinic.example\r\n",
]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontDoorRoom]:
    with FrontDoorRoom(tmp_path_factory.mktemp("author") / "vault") as room:
        yield room


@pytest.mark.parametrize("fields", FALSE_HEADERS)
def test_false_author_is_refused(room: FrontDoorRoom, fields: bytes) -> None:
    with room.signed_in() as client:
        client.ehlo()
        client.mail(ALICE)
        client.rcpt(BOB)
        code, text = client.data(fields + b"Subject: hello\r\n\r\ntext\r\n")
    assert (code, text[:5]) == (550, b"5.7.1")


@pytest.mark.parametrize(
    "fields",
    [
        b"From: alice@clinic.example\r\n",
        b"From: Alice Adams <ALICE@clinic.example>\r\n",
        b'From: "Adams, Alice" <alice@clinic.example>\r\nSender: alice@clinic.example\r\n',
        b"From: =?utf-8?q?Al=C3=AFce?=\r\n <alice@clinic.example>\r\n",
    ],
)
def test_honest_author_is_taken(room: FrontDoorRoom, fields: bytes) -> None:
    with room.signed_in() as client:
        assert client.sendmail(ALICE, [BOB], fields + b"Subject: hello\r\n\r\ntext\r\n") == {}


@pytest.mark.parametrize("sender", ["bob@clinic.example", "x@elsewhere.example", "nobody@clinic.example", ""])
def test_false_envelope_sender_is_refused(room: FrontDoorRoom, sender: str) -> None:
    with room.signed_in() as client:
        client.ehlo()
        code, text = client.docmd("MAIL", f"FROM:<{sender}>")
    assert (code, text[:5]) == (550, b"5.7.1")
