from __future__ import annotations

import smtplib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from appliance.smtp_acceptance import AcceptanceLimits
from mailstore.actor import Actor
from mailstore.errors import StorageUnavailableError
from mailstore.mailboxes import Folder
from mailstore.message import MessageId, Origin, ReceivedMessage, RecipientState, Route
from mailstore.outbox import Kind, waiting
from portal.front_door import Refused
from tests import database_room
from tests.smtp_room import ALICE, BOB, MAIL, PASSWORD, FrontDoorRoom, with_limits

OWN = b"From: Alice <alice@clinic.example>\r\nSubject: results\r\n\r\nenclosed\r\n"


@pytest.fixture
def room(tmp_path: Path) -> Iterator[FrontDoorRoom]:
    with FrontDoorRoom(tmp_path / "vault") as room:
        yield room


def refusal(client: smtplib.SMTP, verb: str, argument: str) -> tuple[int, str]:
    code, text = client.docmd(verb, argument)
    return code, text.decode()[:5]


def test_accepted_mail_is_the_very_bytes_that_came_after_data(room: FrontDoorRoom) -> None:
    content = b"Subject: dots\r\n\r\n.\r\n..\r\n.hidden\r\ntrailing \t\r\n\xff\x00\x80\r\n\r\n"
    with room.client() as client:
        client.sendmail("sender@elsewhere.example", [ALICE], content)
    assert room.contents() == [content]


def test_accepted_mail_lies_in_the_inbox_with_its_summary_and_trace(room: FrontDoorRoom) -> None:
    with room.client() as client:
        client.starttls(context=room.client_context())
        client.sendmail("sender@elsewhere.example", [ALICE, BOB], MAIL)
    (stored,) = room.stored()
    assert room.inbox() == [stored.id]
    assert stored.origin is Origin.SMTP
    summary = room.summary()
    assert (summary.subject, summary.from_) == ("hello", "sender@elsewhere.example")
    assert summary.sender == "sender@elsewhere.example"
    assert "ESMTPS" in summary.trace_fields
    assert [(each.route, each.state) for each in room.recipients()] == [(Route.MAILBOX, RecipientState.DELIVERED)] * 2
    with room.vault.database.read() as connection:
        assert waiting(connection)[Kind.CAPTURE] == 1


def test_the_null_sender_is_taken(room: FrontDoorRoom) -> None:
    with room.client() as client:
        client.sendmail("", [ALICE], MAIL)
    assert len(room.stored()) == 1


def test_one_connection_carries_many_messages_and_reset_forgets_one(room: FrontDoorRoom) -> None:
    with room.client() as client:
        for _ in range(3):
            client.sendmail("sender@elsewhere.example", [ALICE], MAIL)
        client.ehlo()
        client.mail("sender@elsewhere.example")
        client.rset()
        assert client.docmd("DATA")[0] == 503
    assert len(room.inbox()) == 3


def test_pipelined_commands_are_answered_in_order(room: FrontDoorRoom) -> None:
    with room.raw() as peer:
        peer.send(
            b"MAIL FROM:<a@b.example>\r\nRCPT TO:<alice@clinic.example>\r\nRCPT TO:<nobody@clinic.example>\r\nDATA\r\n"
        )
        assert [peer.reply()[:3] for _ in range(4)] == [b"250", b"250", b"550", b"354"]
        peer.send(MAIL + b".\r\nNOOP\r\nQUIT\r\n")
        assert [peer.reply()[:3] for _ in range(3)] == [b"250", b"250", b"221"]
        assert peer.reply() == b""


def test_a_peer_that_half_closes_after_its_message_is_still_answered(room: FrontDoorRoom) -> None:
    with room.raw() as peer:
        peer.start_message()
        peer.send(MAIL + b".\r\n")
        peer.connection.shutdown(socket.SHUT_WR)
        assert peer.reply().startswith(b"250 2.6.0")
    assert len(room.inbox()) == 1


def test_recipients_that_are_not_ours_are_refused_while_others_are_taken(room: FrontDoorRoom) -> None:
    with room.client() as client:
        refused = client.sendmail("a@b.example", [ALICE, "nobody@clinic.example", "x@elsewhere.example"], MAIL)
    assert {address: reply[0] for address, reply in refused.items()} == {
        "nobody@clinic.example": 550,
        "x@elsewhere.example": 550,
    }
    assert refused["nobody@clinic.example"][1].startswith(b"5.1.1")
    assert refused["x@elsewhere.example"][1].startswith(b"5.7.1")


def test_one_mailbox_named_twice_gets_one_copy(room: FrontDoorRoom) -> None:
    with room.client() as client:
        client.sendmail("a@b.example", [ALICE, "ALICE@Clinic.Example"], MAIL)
    assert len(room.inbox()) == 1
    assert len(room.recipients()) == 1


def test_announced_size_over_the_limit_is_refused_at_once(room: FrontDoorRoom) -> None:
    with room.client() as client:
        client.ehlo()
        assert refusal(client, "MAIL", "FROM:<a@b.example> SIZE=1000001") == (552, "5.3.4")
        assert refusal(client, "MAIL", "FROM:<a@b.example> SIZE=1000000 BODY=8BITMIME")[0] == 250


def test_message_over_the_limit_is_refused_after_its_end_and_the_next_is_taken(room: FrontDoorRoom) -> None:
    with room.raw() as peer:
        peer.start_message()
        line = b"x" * 998 + b"\r\n"
        assert peer.say(line * 1_001 + b".\r\n").startswith(b"552 5.3.4")
        peer.start_message()
        assert peer.say(line * 999 + b".\r\n").startswith(b"250")
    assert len(room.stored()) == 1


def test_announced_extensions_are_the_ones_kept(room: FrontDoorRoom) -> None:
    with room.client() as client:
        client.ehlo()
        assert set(client.esmtp_features) == {
            "size",
            "8bitmime",
            "smtputf8",
            "pipelining",
            "enhancedstatuscodes",
            "starttls",
        }
        client.starttls(context=room.client_context())
        client.ehlo()
        assert "starttls" not in client.esmtp_features
        assert "auth" not in client.esmtp_features


def test_international_address_needs_the_parameter(room: FrontDoorRoom) -> None:
    with room.raw() as peer:
        assert peer.say("MAIL FROM:<jörg@elsewhere.example>\r\n".encode()).startswith(b"553 5.6.7")
        assert peer.say("MAIL FROM:<jörg@elsewhere.example> SMTPUTF8\r\n".encode()).startswith(b"250")


def test_postmaster_without_domain_is_asked_for_in_our_domain(room: FrontDoorRoom) -> None:
    room.vault.mailbox("p" * 26, "postmaster@clinic.example")
    with room.raw() as peer:
        peer.say(b"MAIL FROM:<>\r\n")
        assert peer.say(b"RCPT TO:<Postmaster>\r\n").startswith(b"250")


class TakerThatFails:
    def __init__(self, failure: Exception, *, at_once: bool) -> None:
        self._failure = failure
        self._at_once = at_once

    def has_room(self) -> bool:
        return True

    def submit(self, received: ReceivedMessage, actor: Actor | None) -> Future[MessageId] | Refused:
        del received, actor
        if self._at_once:
            raise self._failure
        future: Future[MessageId] = Future()
        future.set_exception(self._failure)
        return future


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("failure", [StorageUnavailableError("disk full on /dev/x"), ValueError("secret subject")])
def test_our_own_fault_is_a_451_that_tells_nothing(tmp_path: Path, failure: Exception, at_once: bool) -> None:  # noqa: FBT001 - parametrised
    with FrontDoorRoom(tmp_path / "vault", taker=TakerThatFails(failure, at_once=at_once)) as room, room.raw() as peer:
        peer.start_message()
        reply = peer.say(MAIL + b".\r\n")
        assert reply.startswith(b"451 4.3.0")
        assert b"disk" not in reply
        assert b"secret" not in reply
        assert peer.say(b"NOOP\r\n").startswith(b"250")


def test_database_that_went_away_is_a_451_at_rcpt(room: FrontDoorRoom) -> None:
    with room.raw() as peer:
        peer.say(b"MAIL FROM:<>\r\n")
        room.vault.database.dispose()
        with database_room.away(room.directory / database_room.ROWS):
            assert peer.say(b"RCPT TO:<bob@clinic.example>\r\n").startswith(b"451")
        assert peer.say(b"RCPT TO:<bob@clinic.example>\r\n").startswith(b"250")


class TakerThatWaits:
    """Holds the promise back until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.future: Future[MessageId] = Future()

    def has_room(self) -> bool:
        return True

    def submit(self, received: ReceivedMessage, actor: Actor | None) -> Future[MessageId] | Refused:
        del received, actor
        self.begun.set()
        return self.future


def test_nothing_is_promised_before_the_message_is_durable(tmp_path: Path) -> None:
    taker = TakerThatWaits()
    with FrontDoorRoom(tmp_path / "vault", taker=taker) as room, room.raw() as peer:
        peer.start_message()
        peer.send(MAIL + b".\r\n")
        assert taker.begun.wait(10)
        peer.connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            peer.reply()
        peer.connection.settimeout(10)
        taker.future.set_result(MessageId("m" * 26))
        assert peer.reply().startswith(b"250")


def test_peer_that_leaves_does_not_stop_the_storing(tmp_path: Path) -> None:
    taker = TakerThatWaits()
    with FrontDoorRoom(tmp_path / "vault", taker=taker) as room:
        with room.raw() as peer:
            peer.start_message()
            peer.send(MAIL + b".\r\n")
            assert taker.begun.wait(10)
            reset_when_closed = struct.pack("ii", 1, 0)
            peer.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset_when_closed)
        time.sleep(0.2)
        assert not taker.future.cancelled()
        taker.future.set_result(MessageId("m" * 26))


def test_message_cut_off_before_its_end_leaves_nothing(room: FrontDoorRoom) -> None:
    with room.raw() as peer:
        peer.start_message()
        peer.send(MAIL)
    with room.raw() as peer:
        assert peer.say(b"NOOP\r\n").startswith(b"250")
    assert room.stored() == []


def test_closing_service_says_good_bye_to_the_idle(tmp_path: Path) -> None:
    with FrontDoorRoom(tmp_path / "vault") as room:
        peers = room.raw()
        peer = peers.__enter__()
    assert peer.reply().startswith(b"421 4.3.2")
    peer.connection.close()


@pytest.mark.parametrize("port", ["submission", "submissions"])
def test_staff_submit_after_signing_in_and_find_a_copy_in_sent(room: FrontDoorRoom, port: str) -> None:
    with room.client(port) as client:
        if port == "submission":
            client.starttls(context=room.client_context())
        client.login(ALICE, PASSWORD)
        client.sendmail(ALICE, [BOB, "patient@elsewhere.example"], OWN)
    (stored,) = room.stored()
    assert stored.origin is Origin.SUBMISSION
    assert room.inbox(folder=Folder.SENT) == [stored.id]
    assert [(each.route, each.state) for each in room.recipients()] == [
        (Route.MAILBOX, RecipientState.DELIVERED),
        (Route.UNDECIDED, RecipientState.QUEUED),
    ]
    assert "ESMTPSA" in room.summary().trace_fields
    with room.vault.database.read() as connection:
        assert waiting(connection)[Kind.DELIVER] == 1


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_both_mechanisms_sign_in(room: FrontDoorRoom, mechanism: str) -> None:
    with room.client("submissions") as client:
        client.ehlo()
        client.user, client.password = ALICE, PASSWORD
        method = client.auth_plain if mechanism == "PLAIN" else client.auth_login
        assert client.auth(mechanism, method)[0] == 235


def test_submission_takes_the_parameter_that_relays_of_our_own_add(room: FrontDoorRoom) -> None:
    """RFC 4954 section 5: whoever offers AUTH takes it in MAIL. Other servers are told that we do not know it."""
    with room.signed_in() as client:
        assert client.docmd("MAIL", f"FROM:<{ALICE}> AUTH=<> SIZE=100")[0] == 250
    with room.client() as client:
        client.ehlo()
        assert client.docmd("MAIL", "FROM:<a@elsewhere.example> AUTH=<>")[0] == 555


def test_submission_takes_nothing_before_tls_and_sign_in(room: FrontDoorRoom) -> None:
    with room.client("submission") as client:
        client.ehlo()
        assert "auth" not in client.esmtp_features
        assert refusal(client, "AUTH", "PLAIN AGEAYg==") == (530, "5.7.0")
        assert refusal(client, "MAIL", "FROM:<alice@clinic.example>") == (530, "5.7.0")
        client.starttls(context=room.client_context())
        client.ehlo()
        assert refusal(client, "MAIL", "FROM:<alice@clinic.example>") == (530, "5.7.0")
    assert room.passwords.asked == []


def test_submission_is_encrypted_with_a_certificate_that_proves_itself(room: FrontDoorRoom) -> None:
    context = ssl.create_default_context()
    with pytest.raises(ssl.SSLCertVerificationError), room.client("submission") as client:
        client.starttls(context=context)


def test_limits_of_a_message_come_from_the_settings(tmp_path: Path) -> None:
    limits = with_limits(acceptance=AcceptanceLimits(5_000, recipients=2, hops=20))
    with FrontDoorRoom(tmp_path / "vault", limits=limits) as room, room.client() as client:
        client.ehlo()
        assert client.esmtp_features["size"] == "5000"
        client.mail("a@b.example")
        client.rcpt(ALICE)
        client.rcpt(BOB)
        assert client.rcpt("carol@clinic.example") == (
            452,
            b"4.5.3 Too many recipients; send the rest in another transaction",
        )
