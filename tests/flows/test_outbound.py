"""Mail on its way out, through real rooms, over real sockets, to servers as bad as they come."""

from __future__ import annotations

import email
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mailstore.addresses import parse_mailbox
from mailstore.message import Envelope, MessageId, Origin, ReceivedMessage, RecipientState, Route
from mailstore.outbox import Kind
from portal.front_door import Accepted
from tests.flows.outbound_practice import DOCTOR, LETTER, OutboundPractice, practice, route
from tests.flows.receiving_server import (
    CertificateAuthority,
    ReceivingServer,
    Script,
    receiving,
    stranger,
)

PARTNER = "partner.example"
MX = "mx.partner.example"
PATIENT = "patient@partner.example"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority(tmp_path_factory.mktemp("outside"))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[OutboundPractice]:
    with practice(tmp_path) as opened:
        yield opened


@pytest.fixture
def partner(house: OutboundPractice, authority: CertificateAuthority) -> Iterator[ReceivingServer]:
    with receiving(authority.server(MX)) as server:
        house.routes.append(route(PARTNER, server.port, authority.ca_file))
        yield server


def test_a_message_leaves_over_verified_tls_and_says_why(house: OutboundPractice, partner: ReceivingServer) -> None:
    message = house.send(PATIENT)
    house.step()
    recipient = house.recipient(message)
    assert (recipient.route, recipient.state) == (Route.TLS, RecipientState.DELIVERED)
    assert recipient.reasons == (f"Verified TLS 1.3 to {MX}, proved by the certificate authority set for this partner",)
    assert recipient.last_reply.startswith("250")
    assert house.waiting(Kind.DELIVER) == 0
    assert house.events(message) == ["message.accepted", "message.route_decided", "message.relayed"]
    assert len(partner.arrived) == 1


def test_what_arrives_is_our_trace_field_and_the_very_bytes(house: OutboundPractice, partner: ReceivingServer) -> None:
    house.send(PATIENT)
    house.step()
    (arrived,) = partner.arrived
    assert arrived.tls is not None
    assert arrived.content.partition(b"\r\nReceived: ")[2]
    assert arrived.content.endswith(LETTER)
    assert (arrived.sender, arrived.recipients) == (DOCTOR, (PATIENT,))


@pytest.mark.parametrize("kind", ["wrong name", "stranger", "no tls"])
def test_a_server_that_proves_nothing_gets_a_notice_and_the_message_waits_in_the_portal(
    house: OutboundPractice, authority: CertificateAuthority, kind: str
) -> None:
    contexts = {"wrong name": authority.server("other.example"), "stranger": stranger(MX), "no tls": None}
    with receiving(contexts[kind]) as server:
        house.routes.append(route(PARTNER, server.port, authority.ca_file))
        message = house.send(PATIENT)
        house.step()
    recipient = house.recipient(message)
    assert (recipient.route, recipient.state) == (Route.PORTAL, RecipientState.NOTIFIED)
    assert recipient.reasons[-1] == "So it is sent by portal, never unprotected"
    (notice,) = server.arrived
    assert notice.recipients == (PATIENT,)
    assert b"CANARY" not in notice.content
    assert f"/m/{message}".encode() in notice.content.replace(b"=\r\n", b"")
    assert house.events(message) == ["message.accepted", "message.route_decided", "notice.sent"]


def test_a_server_that_is_away_is_asked_again_with_growing_pauses(
    house: OutboundPractice, partner: ReceivingServer
) -> None:
    partner.script.replies["RCPT"] = "451 4.3.0 busy"
    message = house.send(PATIENT)
    for minutes in (5, 10, 20):
        house.step()
        assert house.recipient(message).state is RecipientState.DEFERRED
        attempts = partner.verbs.count("RCPT")
        house.later(minutes=minutes, seconds=-1)
        house.step()
        assert partner.verbs.count("RCPT") == attempts
        house.later(seconds=1)
    assert house.recipient(message).last_reply == "451 4.3.0 busy"
    partner.script.replies.clear()
    house.step()
    assert house.recipient(message).state is RecipientState.DELIVERED
    assert len(partner.arrived) == 1
    assert house.events(message).count("message.deferred") == 1


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "FINAL"])
def test_a_refusal_for_good_is_reported_to_the_writer_once(
    house: OutboundPractice, partner: ReceivingServer, verb: str
) -> None:
    partner.script.replies[verb] = "550 5.7.1 not here"
    message = house.send(PATIENT)
    house.step()
    house.later(days=6)
    house.step()
    assert house.recipient(message).state is RecipientState.FAILED
    (report,) = house.inbox()
    assert b"550 5.7.1 not here" in report
    assert b"CANARY-BODY" not in report
    assert email.message_from_bytes(report).get_content_type() == "multipart/report"
    assert house.events(message)[-2:] == ["message.failed", "report.sent"]


def test_a_delay_is_reported_once_after_four_hours_and_giving_up_after_five_days(
    house: OutboundPractice, partner: ReceivingServer
) -> None:
    partner.script.replies["MAIL"] = "451 4.3.0 busy"
    message = house.send(PATIENT)
    for _ in range(40):
        house.step()
        house.later(hours=4)
    assert house.recipient(message).state is RecipientState.FAILED
    failure, delay = house.inbox()
    assert b"Action: delayed" in delay
    assert b"Action: failed" in failure
    assert b"Status: 5.4.7" in failure
    assert house.waiting(Kind.DELIVER) == house.waiting(Kind.REPORT) == 0


def test_no_delay_is_reported_about_a_message_that_arrived_meanwhile(
    house: OutboundPractice, partner: ReceivingServer
) -> None:
    partner.script.replies["MAIL"] = "451 4.3.0 busy"
    house.send(PATIENT)
    house.step()
    partner.script.replies.clear()
    house.later(hours=1)
    house.step()
    house.later(hours=5)
    house.step()
    assert house.inbox() == []


def test_reports_cause_no_reports_and_go_nowhere_but_our_mailbox(
    house: OutboundPractice, partner: ReceivingServer
) -> None:
    partner.script.replies["RCPT"] = "550 5.1.1 unknown"
    house.send(PATIENT)
    house.step()
    assert house.origins() == [Origin.SUBMISSION, Origin.SYSTEM]
    (report,) = house.inbox()
    assert email.message_from_bytes(report)["To"] == f"<{DOCTOR}>"
    assert partner.arrived == []


def test_each_recipient_has_an_own_fate(house: OutboundPractice, partner: ReceivingServer) -> None:
    partner.script.rcpt_replies = {"gone@": "550 5.1.1 unknown", "busy@": "452 4.2.2 full"}
    message = house.send(PATIENT, "gone@partner.example", "busy@partner.example", DOCTOR)
    house.step()
    states = [house.recipient(message, position).state for position in range(4)]
    assert states == [
        RecipientState.DELIVERED,
        RecipientState.FAILED,
        RecipientState.DEFERRED,
        RecipientState.DELIVERED,
    ]
    assert [arrived.recipients for arrived in partner.arrived] == [(PATIENT,)]


def test_recipients_of_one_domain_share_a_transaction_and_learn_nothing_of_each_other(
    house: OutboundPractice, partner: ReceivingServer
) -> None:
    letter = LETTER.replace(b"Subject", b"Bcc: hidden@partner.example\r\nSubject")
    house.send(PATIENT, "hidden@partner.example", content=letter)
    house.step()
    (arrived,) = partner.arrived
    assert set(arrived.recipients) == {PATIENT, "hidden@partner.example"}
    assert b"hidden@" not in arrived.content


def test_recipients_of_two_domains_are_told_to_the_own_server_only(
    house: OutboundPractice, partner: ReceivingServer, authority: CertificateAuthority
) -> None:
    with receiving(authority.server("mx.other.example")) as other:
        house.routes.append(route("other.example", other.port, authority.ca_file))
        house.send(PATIENT, "someone@other.example")
        house.step()
    assert [arrived.recipients for arrived in partner.arrived] == [(PATIENT,)]
    assert [arrived.recipients for arrived in other.arrived] == [("someone@other.example",)]


def test_once_verified_then_broken_goes_to_the_portal_never_in_clear(
    house: OutboundPractice, authority: CertificateAuthority
) -> None:
    busy = Script(replies={"DATA": "451 4.3.0 busy"})
    with receiving(authority.server(MX), busy) as good:
        house.routes.append(route(PARTNER, good.port, authority.ca_file))
        message = house.send(PATIENT)
        house.step()
        assert house.recipient(message).route is Route.TLS
    with receiving() as bad:
        house.routes[:] = [route(PARTNER, bad.port, authority.ca_file)]
        house.later(minutes=6)
        house.step()
    assert house.recipient(message).route is Route.PORTAL
    assert all(b"CANARY" not in arrived.content for arrived in bad.arrived)


def test_an_unreachable_server_hands_over_to_the_portal_after_an_hour(house: OutboundPractice) -> None:
    house.routes.append(route(PARTNER, 9))
    message = house.send(PATIENT)
    house.step()
    assert house.recipient(message).route is Route.UNDECIDED
    assert house.recipient(message).state is RecipientState.DEFERRED
    house.later(minutes=61)
    house.step()
    assert house.recipient(message).route is Route.PORTAL
    assert "No verified connection within 60 minutes" in house.recipient(message).reasons[1]


def test_a_patient_with_portal_access_need_not_wait_for_a_server_that_is_away(house: OutboundPractice) -> None:
    house.routes.append(route(PARTNER, 9))
    house.portal_accounts.add(PATIENT)
    message = house.send(PATIENT)
    house.step()
    assert house.recipient(message).route is Route.PORTAL


def test_a_dead_dns_makes_mail_wait_and_bounces_nothing(house: OutboundPractice) -> None:
    house.outside.dns_seconds = 1.0
    message = house.send("someone@nobody-asked.example")
    house.step()
    recipient = house.recipient(message)
    assert recipient.state is RecipientState.DEFERRED
    assert house.inbox() == []


def test_a_notice_that_cannot_be_delivered_is_reported_and_the_message_stays(
    house: OutboundPractice,
) -> None:
    with receiving(None, Script(replies={"RCPT": "550 5.1.1 unknown"})) as server:
        house.routes.append(route(PARTNER, server.port))
        message = house.send(PATIENT)
        house.step()
    assert (house.recipient(message).route, house.recipient(message).state) == (
        Route.PORTAL,
        RecipientState.FAILED,
    )
    (report,) = house.inbox()
    assert b"waits in the portal" in report.replace(b"=\r\n", b"")
    assert house.retrieval.content(message) == LETTER


def test_a_notice_is_retried_like_mail(house: OutboundPractice) -> None:
    with receiving(None, Script(replies={"RCPT": "451 4.7.1 greylisted"})) as server:
        house.routes.append(route(PARTNER, server.port))
        message = house.send(PATIENT)
        house.step()
        assert server.arrived == []
        server.script.replies.clear()
        house.later(minutes=6)
        house.step()
        assert len(server.arrived) == 1
    assert house.recipient(message).state is RecipientState.NOTIFIED


def test_an_answer_lost_after_the_final_dot_gives_one_marked_duplicate(
    house: OutboundPractice, partner: ReceivingServer
) -> None:
    partner.script.kept_then_dropped = True
    message = house.send(PATIENT)
    house.step()
    assert house.recipient(message).state is RecipientState.DEFERRED
    partner.script.kept_then_dropped = False
    house.later(minutes=6)
    house.step()
    assert house.recipient(message).state is RecipientState.DELIVERED
    first, second = partner.arrived
    assert b"X-Possible-Duplicate" not in first.content
    assert b"X-Possible-Duplicate" in second.content


def test_a_retry_after_a_plain_refusal_is_not_marked_as_a_duplicate(
    house: OutboundPractice, partner: ReceivingServer
) -> None:
    partner.script.replies["FINAL"] = "451 4.3.0 busy"
    house.send(PATIENT)
    house.step()
    partner.script.replies.clear()
    house.later(minutes=6)
    house.step()
    (arrived,) = partner.arrived
    assert b"X-Possible-Duplicate" not in arrived.content


def test_a_server_slower_than_our_patience_does_not_hold_an_attempt_for_ever(
    house: OutboundPractice, partner: ReceivingServer
) -> None:
    house.attempt_seconds = 0.5
    partner.script.seconds["RCPT"] = 2
    message = house.send(PATIENT)
    house.step()
    assert house.recipient(message).last_reply == "the server was too slow"
    assert house.recipient(message).state is RecipientState.DEFERRED


def test_our_own_broken_trust_store_postpones_and_never_bounces(house: OutboundPractice) -> None:
    house.routes.append(route(PARTNER, 9, "/nonexistent/ca.pem"))
    message = house.send(PATIENT)
    house.step()
    house.later(days=30)
    house.step()
    assert house.recipient(message).state is RecipientState.QUEUED
    assert house.waiting(Kind.DELIVER) == 1
    assert house.inbox() == []


def test_a_week_without_power_gives_up_on_nothing_at_once(house: OutboundPractice, partner: ReceivingServer) -> None:
    partner.script.replies["MAIL"] = "451 4.3.0 busy"
    message = house.send(PATIENT)
    house.later(days=7)
    house.step()
    assert house.recipient(message).state is RecipientState.DEFERRED
    partner.script.replies.clear()
    house.later(minutes=6)
    house.step()
    assert house.recipient(message).state is RecipientState.DELIVERED


def test_one_domain_is_not_overrun_by_our_conversations(house: OutboundPractice, partner: ReceivingServer) -> None:
    partner.script.seconds["FINAL"] = 2.0
    messages = [house.send(PATIENT) for _ in range(10)]
    house.step()
    assert len(partner.arrived) == 4
    partner.script.seconds["FINAL"] = 0.1
    for _ in range(2):
        house.later(seconds=2)
        house.step()
    assert {house.recipient(message).state for message in messages} == {RecipientState.DELIVERED}
    assert len(partner.arrived) == 10


def test_give_up_is_what_the_schedule_says(house: OutboundPractice, partner: ReceivingServer) -> None:
    house.schedule = replace(house.schedule, give_up_after=timedelta(hours=1), fewest_attempts=2)
    partner.script.replies["MAIL"] = "451 4.3.0 busy"
    message = house.send(PATIENT)
    house.step()
    house.later(hours=1)
    house.step()
    assert house.recipient(message).state is RecipientState.FAILED


def test_a_message_larger_than_the_server_takes_waits_in_the_portal_with_that_reason(
    house: OutboundPractice, partner: ReceivingServer
) -> None:
    partner.script.size_limit = 20_000
    message = house.send(PATIENT, content=LETTER + b"x" * 30_000 + b"\r\n")
    house.step()
    recipient = house.recipient(message)
    assert (recipient.route, recipient.state) == (Route.PORTAL, RecipientState.NOTIFIED)
    assert recipient.reasons == ("The message is larger than its server takes", "So it is sent by portal")
    assert [b"CANARY" in each.content for each in partner.arrived] == [False]
    assert house.inbox() == []


@pytest.mark.parametrize("refusal", ["552 5.3.4 too big", "554 5.6.1 media not supported", "550 5.2.3 over limit"])
def test_a_server_that_will_not_take_this_message_leaves_it_to_the_portal(
    house: OutboundPractice, partner: ReceivingServer, refusal: str
) -> None:
    partner.script.replies["FINAL"] = refusal
    message = house.send(PATIENT)
    house.step()
    recipient = house.recipient(message)
    assert recipient.route is Route.PORTAL
    assert refusal in recipient.reasons[0]


def test_a_message_without_date_and_id_travels_with_both_and_is_kept_as_it_was(
    house: OutboundPractice, partner: ReceivingServer
) -> None:
    message = house.send(PATIENT, content=b"From: doctor@clinic.example\r\n\r\nhello\r\n")
    house.step()
    (arrived,) = partner.arrived
    told = email.message_from_bytes(arrived.content)
    assert told["Date"] == "Mon, 02 Mar 2026 09:00:00 +0000"
    assert told["Message-ID"] == f"<{message}@clinic.example>"
    assert house.retrieval.content(message) == b"From: doctor@clinic.example\r\n\r\nhello\r\n"


def test_a_message_written_on_the_pages_travels_with_our_trace_field(
    house: OutboundPractice, partner: ReceivingServer
) -> None:
    house.send(PATIENT, origin=Origin.WEBMAIL)
    house.step()
    (arrived,) = partner.arrived
    assert b"\r\nReceived: by mail.clinic.example with HTTPS;\r\n\tMon, 02 Mar 2026" in arrived.content


def test_a_burst_of_messages_to_one_person_sends_two_notices_and_loses_none(
    house: OutboundPractice, authority: CertificateAuthority
) -> None:
    with receiving(None) as server:
        house.routes.append(route(PARTNER, server.port, authority.ca_file))
        first = house.send(PATIENT)
        house.step()
        house.later(minutes=1)
        burst = [house.send(PATIENT) for _ in range(12)]
        other = house.send("other@partner.example")
        for _ in range(8):  # a domain takes a few conversations at a time
            house.step()
            house.later(seconds=3)
        assert {house.recipient(each).route for each in burst} == {Route.PORTAL}
        assert [each.recipients for each in server.arrived] == [(PATIENT,), ("other@partner.example",)]
        assert {house.recipient(each).state for each in burst} == {RecipientState.QUEUED}
        house.later(minutes=9)
        house.step()
        assert [each.recipients for each in server.arrived].count((PATIENT,)) == 2
    for message in (first, other, *burst):
        assert house.recipient(message).state is RecipientState.NOTIFIED
        assert house.events(message)[-1] == "notice.sent"
    assert house.waiting(Kind.NOTIFY) == 0
    assert house.inbox() == []


def test_messages_sent_together_are_told_in_two_notices_at_most(
    house: OutboundPractice, authority: CertificateAuthority
) -> None:
    with receiving(None) as server:
        house.routes.append(route(PARTNER, server.port, authority.ca_file))
        messages = [house.send(PATIENT) for _ in range(3)]
        house.step()
        assert len(server.arrived) == 1
        house.later(minutes=10)
        house.step()
        assert len(server.arrived) <= 2
    assert {house.recipient(each).state for each in messages} == {RecipientState.NOTIFIED}


def came_back(house: OutboundPractice, return_path: str, *, action: str = "failed", kind: str = "report") -> None:
    """What the recipient's server sends when it finds out later that it cannot deliver the notice."""
    content = (
        f"From: mailer-daemon@partner.example\r\nContent-Type: multipart/{kind}; boundary=b\r\n\r\n--b\r\n"
        "Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\n"
        f"Final-Recipient: rfc822; x\r\nAction: {action}\r\nStatus: 5.1.1\r\n--b--\r\n"
    ).encode()
    envelope = Envelope(None, (parse_mailbox(return_path),))
    answer = house.front_door.accept(ReceivedMessage(envelope, content, house.clock.now(), Origin.SMTP))
    assert isinstance(answer, Accepted)
    house.step()


@pytest.fixture
def noticed(house: OutboundPractice, authority: CertificateAuthority) -> tuple[MessageId, str]:
    """A message whose notice was taken, and the path by which a bounce of it comes back."""
    with receiving(None) as server:
        house.routes.append(route(PARTNER, server.port, authority.ca_file))
        message = house.send(PATIENT)
        house.step()
        (notice,) = server.arrived
    assert str(notice.sender).startswith("notices+")
    return message, str(notice.sender)


def test_a_notice_that_comes_back_later_is_reported_to_the_writer(
    house: OutboundPractice, noticed: tuple[MessageId, str]
) -> None:
    message, return_path = noticed
    came_back(house, return_path)
    assert house.recipient(message).state is RecipientState.FAILED
    assert "5.1.1" in house.recipient(message).last_reply
    assert house.events(message)[-2:] == ["notice.failed", "report.sent"]
    came_back(house, return_path)
    assert house.events(message).count("notice.failed") == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: {"return_path": path, "action": "delayed"},
        lambda path: {"return_path": path, "kind": "mixed"},
        lambda path: {"return_path": path.replace(path.split(".")[2][:4], "0000")},
        lambda path: {"return_path": path.replace(".0.", ".1.")},
        lambda path: {"return_path": "notices@" + path.partition("@")[2]},
    ],
)
def test_what_is_no_bounce_of_that_notice_changes_nothing_and_lies_in_the_mailbox(
    house: OutboundPractice, noticed: tuple[MessageId, str], spoil: Callable[[str], dict[str, str]]
) -> None:
    message, return_path = noticed
    came_back(house, **spoil(return_path))
    assert house.recipient(message).state is RecipientState.NOTIFIED
    assert len(house.inbox()) == 1
    assert house.waiting(Kind.BOUNCE) == 0
