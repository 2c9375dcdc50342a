"""A channel exists only to a server that proved its name, and every answer is told as it was."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from appliance import relayed_message, required_proof
from appliance.delivery_plan import TlsEvidence, TlsFinding, Trust
from appliance.mx_lookup import MailServer
from appliance.relayed_message import Transmission
from appliance.server_reply import Reply
from appliance.smtp_outbound import Channel, ClientSettings, NotReached, ProvenChannel, SmtpOutbound
from mailstore.addresses import Address, parse_mailbox
from mailstore.errors import StorageUnavailableError
from mailstore.wall_clock import SystemClock
from tests.flows.receiving_server import (
    CertificateAuthority,
    Script,
    receiving,
    stranger,
    tapped,
    without_starttls,
)

MX = "mx.partner.example"
SETTINGS = ClientSettings("mail.clinic.example", connect_seconds=20, reply_seconds=20, data_seconds=20)
IMPATIENT = replace(SETTINGS, reply_seconds=1)
OUTBOUND = SmtpOutbound(SETTINGS, SystemClock())
SENDER = parse_mailbox("doctor@clinic.example")
PATIENT = parse_mailbox("patient@partner.example")
OTHER = parse_mailbox("other@partner.example")
CONTENT = b"Subject: hello\r\n\r\nA line.\r\n.hidden dot\r\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority(tmp_path_factory.mktemp("outside"))


def opened(
    port: int, authority: CertificateAuthority, name: str = MX, *, settings: ClientSettings = SETTINGS
) -> Channel | TlsEvidence | NotReached:
    async def go() -> Channel | TlsEvidence | NotReached:
        proof = required_proof.of_pinned(authority.ca_file)
        outbound = SmtpOutbound(settings, SystemClock())
        found = await outbound.open(MailServer(name, "127.0.0.1", port), "127.0.0.1", proof=proof)
        if isinstance(found, Channel):
            await found.close()
        return found

    return asyncio.run(go())


def sent(
    port: int,
    authority: CertificateAuthority,
    recipients: tuple[Address, ...] = (PATIENT,),
    content: bytes = CONTENT,
    intentions: list[Sequence[int]] | None = None,
) -> tuple[Reply, ...]:
    async def before_data(accepted: Sequence[int]) -> None:
        if intentions is not None:
            intentions.append(accepted)

    async def go() -> tuple[Reply, ...]:
        proof = required_proof.of_pinned(authority.ca_file)
        channel = await OUTBOUND.open(MailServer(MX, "127.0.0.1", port), "127.0.0.1", proof=proof)
        assert isinstance(channel, Channel)
        message = relayed_message.prepared(content, trace_field=b"Received: here\r\n", is_possible_duplicate=False)
        try:
            return await channel.send(Transmission(SENDER, recipients, message), before_data=before_data)
        finally:
            await channel.close()

    return asyncio.run(go())


def test_a_server_with_a_good_certificate_is_given_the_exact_message_over_tls(
    authority: CertificateAuthority,
) -> None:
    with receiving(authority.server(MX)) as server:
        replies = sent(server.port, authority)
    assert [reply.code for reply in replies] == [250]
    assert server.arrived[0].content == b"Received: here\r\n" + CONTENT
    assert server.arrived[0].tls is not None
    assert server.arrived[0].recipients == ("patient@partner.example",)


def test_evidence_tells_the_version_and_the_cipher(authority: CertificateAuthority) -> None:
    with receiving(authority.server(MX)) as server:
        found = opened(server.port, authority)
    assert isinstance(found, ProvenChannel)
    assert found.evidence.finding is TlsFinding.VERIFIED
    assert found.evidence.version == "TLSv1.3"
    assert found.evidence.trust is Trust.PINNED
    assert found.evidence.cipher


def test_a_certificate_for_another_name_opens_no_channel(authority: CertificateAuthority) -> None:
    with receiving(authority.server("elsewhere.example")) as server:
        found = opened(server.port, authority)
    assert isinstance(found, TlsEvidence)
    assert found.finding is TlsFinding.CERTIFICATE_INVALID
    assert MX in found.problem
    assert "MAIL" not in server.verbs


def test_a_certificate_by_nobody_known_opens_no_channel(authority: CertificateAuthority) -> None:
    with receiving(stranger(MX)) as server:
        found = opened(server.port, authority)
    assert isinstance(found, TlsEvidence)
    assert found.finding is TlsFinding.CERTIFICATE_INVALID
    assert "MAIL" not in server.verbs


def test_a_server_without_starttls_opens_no_channel(authority: CertificateAuthority) -> None:
    with receiving() as server:
        found = opened(server.port, authority)
    assert found == TlsEvidence(MX, TlsFinding.NOT_OFFERED)
    assert "MAIL" not in server.verbs


def test_stripped_starttls_opens_no_channel(authority: CertificateAuthority) -> None:
    with receiving(authority.server(MX)) as server, tapped(server.port, without_starttls) as tap:
        found = opened(tap.port, authority)
    assert found == TlsEvidence(MX, TlsFinding.NOT_OFFERED)


def speak_old_tls(listener: socket.socket, context: ssl.SSLContext) -> None:
    """One conversation of a server that knows TLS 1.1 at best and says so in its alert."""
    connection, _ = listener.accept()
    connection.settimeout(5)
    connection.sendall(b"220 old\r\n")
    connection.recv(1000)
    connection.sendall(b"250-old\r\n250 STARTTLS\r\n")
    connection.recv(1000)
    connection.sendall(b"220 go\r\n")
    with connection.dup() as still_open, contextlib.suppress(OSError):
        with contextlib.suppress(ssl.SSLError):
            context.wrap_socket(connection, server_side=True)
        still_open.recv(10_000)  # until the client hangs up, so that the alert is not lost in a reset


def test_a_server_that_speaks_only_old_tls_opens_no_channel(authority: CertificateAuthority) -> None:
    old = authority.server(MX)
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_server(("127.0.0.1", 0)) as listener:
        conversation = threading.Thread(target=speak_old_tls, args=(listener, old))
        conversation.start()
        found = opened(listener.getsockname()[1], authority)
        conversation.join()
    assert isinstance(found, TlsEvidence)
    assert found.finding is TlsFinding.HANDSHAKE_FAILED


@pytest.mark.parametrize(
    ("reply", "finding"),
    [("454 4.7.0 later", TlsFinding.REFUSED_FOR_NOW), ("502 5.5.1 never", TlsFinding.NOT_OFFERED)],
)
def test_starttls_that_is_declined_is_told_apart(
    authority: CertificateAuthority, reply: str, finding: TlsFinding
) -> None:
    with receiving(authority.server(MX), Script(replies={"STARTTLS": reply})) as server:
        found = opened(server.port, authority)
    assert isinstance(found, TlsEvidence)
    assert found.finding is finding


def test_nothing_listening_is_unreachable_and_temporary(authority: CertificateAuthority) -> None:
    with receiving() as server:
        port = server.port
    found = opened(port, authority)
    assert isinstance(found, NotReached)
    assert not found.reply.is_permanent


@pytest.mark.parametrize("verb", ["EHLO", "STARTTLS"])
def test_a_connection_dropped_before_tls_is_unreachable(authority: CertificateAuthority, verb: str) -> None:
    with receiving(authority.server(MX), Script(drops={verb})) as server:
        assert isinstance(opened(server.port, authority), NotReached)


def test_a_server_that_answers_too_slowly_is_unreachable(authority: CertificateAuthority) -> None:
    with receiving(authority.server(MX), Script(seconds={"EHLO": 30})) as server:
        assert isinstance(opened(server.port, authority, settings=IMPATIENT), NotReached)


def test_an_unreadable_trust_store_is_our_own_fault() -> None:
    async def go() -> None:
        proof = required_proof.of_pinned("/nonexistent.pem")
        await OUTBOUND.open(MailServer(MX, "127.0.0.1", 9), "127.0.0.1", proof=proof)

    with pytest.raises(StorageUnavailableError):
        asyncio.run(go())


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "FINAL"])
@pytest.mark.parametrize(("reply", "is_permanent"), [("451 4.3.0 later", False), ("550 5.1.1 no", True)])
def test_every_refusal_is_told_with_its_code(
    authority: CertificateAuthority, verb: str, reply: str, *, is_permanent: bool
) -> None:
    with receiving(authority.server(MX), Script(replies={verb: reply})) as server:
        (answer,) = sent(server.port, authority)
    assert answer.line == reply
    assert answer.is_permanent is is_permanent
    assert not answer.is_accepted
    assert not answer.is_unknown
    assert server.arrived == []


@pytest.mark.parametrize("verb", ["MAIL", "RCPT"])
def test_a_drop_before_data_is_a_plain_temporary_failure(authority: CertificateAuthority, verb: str) -> None:
    with receiving(authority.server(MX), Script(drops={verb})) as server:
        (answer,) = sent(server.port, authority)
    assert (answer.code, answer.is_unknown) == (0, False)


def test_a_drop_after_the_final_dot_leaves_the_outcome_unknown(authority: CertificateAuthority) -> None:
    with receiving(authority.server(MX), Script(kept_then_dropped=True)) as server:
        (answer,) = sent(server.port, authority)
    assert (answer.code, answer.is_unknown) == (0, True)
    assert len(server.arrived) == 1


def test_one_refused_recipient_does_not_cost_the_other_its_copy(authority: CertificateAuthority) -> None:
    intentions: list[Sequence[int]] = []
    script = Script(rcpt_replies={"other@": "550 5.1.1 unknown"})
    with receiving(authority.server(MX), script) as server:
        refused, taken = sent(server.port, authority, (OTHER, PATIENT), intentions=intentions)
    assert (refused.code, taken.code) == (550, 250)
    assert intentions == [[1]]
    assert server.arrived[0].recipients == ("patient@partner.example",)


def test_the_intention_is_not_recorded_when_nobody_was_taken(authority: CertificateAuthority) -> None:
    intentions: list[Sequence[int]] = []
    with receiving(authority.server(MX), Script(replies={"RCPT": "550 5.1.1 no"})) as server:
        sent(server.port, authority, intentions=intentions)
    assert intentions == []


def test_eight_bit_content_is_announced(authority: CertificateAuthority) -> None:
    with receiving(authority.server(MX)) as server:
        sent(server.port, authority, content="Subject: x\r\n\r\né\r\n".encode())
    assert "BODY=8BITMIME" in server.arrived[0].mail_options


def test_an_internationalised_recipient_is_reached_with_smtputf8(authority: CertificateAuthority) -> None:
    with receiving(authority.server(MX)) as server:
        (answer,) = sent(server.port, authority, (parse_mailbox("josé@partner.example"),))
    assert answer.is_accepted
    assert server.arrived[0].recipients == ("josé@partner.example",)
    assert "SMTPUTF8" in server.arrived[0].mail_options


def test_a_notice_travels_even_to_a_server_without_tls(tmp_path: Path) -> None:
    async def go(port: int) -> None:
        channel = await OUTBOUND.open_for_notice(MailServer(MX, "127.0.0.1", port), "127.0.0.1", may_be_clear=True)
        assert isinstance(channel, Channel)
        assert not isinstance(channel, ProvenChannel)
        await channel.close()

    with receiving() as server:
        asyncio.run(go(server.port))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [MX, "elsewhere.example"])
def test_a_notice_is_encrypted_wherever_the_server_can(authority: CertificateAuthority, name: str) -> None:
    async def go(port: int) -> tuple[Reply, ...]:
        channel = await OUTBOUND.open_for_notice(MailServer(MX, "127.0.0.1", port), "127.0.0.1", may_be_clear=True)
        assert isinstance(channel, Channel)
        message = relayed_message.prepared(CONTENT, trace_field=b"", is_possible_duplicate=False)

        async def before_data(accepted: Sequence[int]) -> None:
            assert list(accepted) == [0]

        replies = await channel.send(Transmission(None, (PATIENT,), message), before_data=before_data)
        await channel.close()
        return replies

    with receiving(authority.server(name)) as server:
        replies = asyncio.run(go(server.port))
    assert replies[0].is_accepted
    assert server.arrived[0].tls is not None
