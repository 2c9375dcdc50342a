"""Open relay: every spelling that once made a server carry mail for strangers is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.smtp_room import FrontDoorRoom

RELAY_FORMS = [
    b"<victim@elsewhere.example>",
    b"<victim%elsewhere.example@clinic.example>",
    b"<victim%elsewhere.example>",
    b'<"victim@elsewhere.example"@clinic.example>',
    b'<"victim%elsewhere.example"@clinic.example>',
    b"<@clinic.example:victim@elsewhere.example>",
    b"<@clinic.example,@elsewhere.example:victim@third.example>",
    b"<elsewhere.example!victim>",
    b"<elsewhere.example!victim@clinic.example>",
    b"<victim@elsewhere.example@clinic.example>",
    b"<alice@clinic.example@elsewhere.example>",
    b"<alice@clinic.example,victim@elsewhere.example>",
    b"<alice@clinic.example> <victim@elsewhere.example>",
    b"<alice@[127.0.0.1]>",
    b"<alice@clinic.example.elsewhere.example>",
    b"<alice@clinic.example.>",
    b"<alice@.clinic.example>",
    b"<alice@clinic.example\x00.elsewhere.example>",
    b"<alice@clinic.example\x0b>",
    b"victim@elsewhere.example",
    b"<victim>",
    b"<>",
    b"< alice@clinic.example>",
    b"<alice @clinic.example>",
    b"<alice(comment)@clinic.example>",
    b'<"alice"victim@clinic.example>',
    b'<"alice\\">@clinic.example>',
    b"<alice@clinic_.example>",
    b"<alice@-clinic.example>",
    b"<" + b"a" * 65 + b"@clinic.example>",
    b"<alice@" + b"a" * 64 + b".example>",
    b"<alice@" + b"a." * 130 + b"example>",
    "<alice@clinic\u3002example>".encode(),
    "<alice@\uff43linic.example>".encode(),
    b"<alice@\xff\xfe>",
]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontDoorRoom]:
    with FrontDoorRoom(tmp_path_factory.mktemp("relay") / "vault") as room:
        yield room


@pytest.mark.parametrize("path", RELAY_FORMS)
def test_no_address_form_makes_us_relay(room: FrontDoorRoom, path: bytes) -> None:
    with room.raw() as peer:
        assert peer.say(b"MAIL FROM:<a@b.example>\r\n").startswith(b"250")
        assert peer.say(b"RCPT TO:" + path + b"\r\n")[:3] in {b"550", b"553", b"501"}
        assert peer.say(b"DATA\r\n").startswith(b"503")


@pytest.mark.parametrize(
    "path",
    [b"<alice@clinic.example>", b"<ALICE@CLINIC.EXAMPLE>", b'<"alice"@clinic.example>', b'<"al\\ice"@clinic.example>'],
)
def test_every_honest_spelling_of_our_mailbox_is_taken(room: FrontDoorRoom, path: bytes) -> None:
    with room.raw() as peer:
        peer.say(b"MAIL FROM:<a@b.example>\r\n")
        assert peer.say(b"RCPT TO:" + path + b"\r\n").startswith(b"250")


@pytest.mark.parametrize("sender", [b"<alice@clinic.example>", b"<>", b"<a@[127.0.0.1]>"])
def test_a_sender_of_our_own_domain_gains_nothing_on_the_mx_port(room: FrontDoorRoom, sender: bytes) -> None:
    with room.raw() as peer:
        peer.say(b"MAIL FROM:" + sender + b"\r\n")
        assert peer.say(b"RCPT TO:<victim@elsewhere.example>\r\n").startswith(b"550 5.7.1")


def test_nobody_signs_in_on_the_mx_port(room: FrontDoorRoom) -> None:
    with room.client() as client:
        client.starttls(context=room.client_context())
        client.ehlo()
        assert client.docmd("AUTH", "PLAIN AGFsaWNlAHg=")[0] == 500
    assert room.passwords.asked == []


def test_refusals_do_not_repeat_what_the_stranger_wrote(room: FrontDoorRoom) -> None:
    with room.raw() as peer:
        peer.say(b"MAIL FROM:<a@b.example>\r\n")
        for said in (b"RCPT TO:<canary@clinic.example>\r\n", b"CANARY\r\n", b"EXPN canary\r\n", b"VRFY canary\r\n"):
            assert b"canary" not in peer.say(said).lower()
