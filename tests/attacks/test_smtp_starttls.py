"""STARTTLS: what was said in plain text before it must have no effect behind it (RFC 3207 section 4.2)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.smtp_room import ALICE, PASSWORD, FrontDoorRoom


@pytest.fixture
def room(tmp_path: Path) -> Iterator[FrontDoorRoom]:
    with FrontDoorRoom(tmp_path / "vault") as room:
        yield room


@pytest.mark.parametrize("port", ["smtp", "submission"])
def test_commands_injected_behind_starttls_are_never_obeyed(room: FrontDoorRoom, port: str) -> None:
    injected = b"EHLO evil.example\r\nMAIL FROM:<evil@evil.example>\r\nRCPT TO:<alice@clinic.example>\r\n"
    with room.raw(port) as peer:
        assert peer.say(b"STARTTLS\r\n" + injected).startswith(b"220")
        peer.encrypt(room.client_context())
        assert peer.say(b"RCPT TO:<alice@clinic.example>\r\n").startswith(b"503")
        assert peer.say(b"DATA\r\n").startswith(b"503")


def test_greeting_and_transaction_before_tls_are_forgotten(room: FrontDoorRoom) -> None:
    with room.raw() as peer:
        peer.say(b"MAIL FROM:<a@b.example>\r\n")
        peer.say(b"RCPT TO:<alice@clinic.example>\r\n")
        peer.say(b"STARTTLS\r\n")
        peer.encrypt(room.client_context())
        assert peer.say(b"DATA\r\n").startswith(b"503")
        assert peer.say(b"MAIL FROM:<a@b.example>\r\n").startswith(b"503")


def test_tls_is_not_started_twice(room: FrontDoorRoom) -> None:
    with room.client() as client:
        client.starttls(context=room.client_context())
        client.ehlo()
        assert client.docmd("STARTTLS")[0] == 503


def test_credentials_in_plain_text_are_not_even_looked_at(room: FrontDoorRoom) -> None:
    with room.raw("submission") as peer:
        assert peer.say(b"AUTH PLAIN AGFsaWNlQGNsaW5pYy5leGFtcGxlAHg=\r\n").startswith(b"530")
        assert peer.say(b"AUTH LOGIN\r\n").startswith(b"530")
    assert room.passwords.asked == []


def test_broken_handshake_ends_the_connection_and_nothing_else(room: FrontDoorRoom) -> None:
    with room.raw() as peer:
        peer.say(b"STARTTLS\r\n")
        peer.send(b"this is no TLS record\r\n" * 10)
        assert b"250" not in peer.reply()
    with room.signed_in() as client:
        assert client.noop()[0] == 250


def test_sign_in_does_not_survive_a_new_connection(room: FrontDoorRoom) -> None:
    with room.signed_in() as client:
        assert client.mail(ALICE)[0] == 250
    with room.client("submissions") as client:
        client.ehlo()
        assert client.mail(ALICE)[0] == 530
        client.login(ALICE, PASSWORD)
        assert client.docmd("AUTH", "PLAIN AA==")[0] == 503
