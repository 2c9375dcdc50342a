"""Reports tell our own people in plain words, tell machines by RFC 3464, and never cause mail to strangers."""

from __future__ import annotations

import email
from dataclasses import replace
from datetime import UTC, datetime
from email.message import Message

import pytest

from appliance import bounce_message
from appliance.bounce_message import Cause, FailedRecipient, Report, ReportingServer
from mailstore.addresses import parse_mailbox
from mailstore.message import Origin

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
DOCTOR = parse_mailbox("doctor@clinic.example")
SERVER = ReportingServer("mail.clinic.example", "postmaster@clinic.example", "Praxis Müller")
ORIGINAL = b"From: doctor@clinic.example\r\nSubject: Results\r\n\r\nThe body must not come back.\r\n"
REFUSED = FailedRecipient(
    address="patient@partner.example",
    cause=Cause.REFUSED,
    last_reply="550 5.1.1 no such user",
    remote_server="mx.partner.example",
    last_attempt_at=NOW,
)
REPORT = Report(sender=DOCTOR, recipients=(REFUSED,), original_headers=ORIGINAL, subject="Results", accepted_at=NOW)


def composed(report: Report) -> tuple[bytes, Message]:
    content = bounce_message.compose(report, SERVER, now=NOW, message_id="<abc@clinic.example>", boundary="=_boundary")
    return content, email.message_from_bytes(content)


def about(recipient: FailedRecipient) -> tuple[bytes, Message]:
    return composed(replace(REPORT, recipients=(recipient,)))


def part(message: Message, number: int) -> Message:
    found = message.get_payload(number)
    assert isinstance(found, Message)
    return found


def text_of(message: Message) -> str:
    payload = part(message, 0).get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode()


def status_of(message: Message) -> tuple[Message, Message]:
    groups = part(message, 1).get_payload()
    assert isinstance(groups, list)
    first, second = groups
    assert isinstance(first, Message)
    assert isinstance(second, Message)
    return first, second


def test_a_failure_report_has_the_three_parts_of_rfc_3464() -> None:
    content, message = composed(REPORT)
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    kinds = [part(message, number).get_content_type() for number in range(3)]
    assert kinds == ["text/plain", "message/delivery-status", "text/rfc822-headers"]
    assert b"\n" not in content.replace(b"\r\n", b"")


def test_the_status_names_server_recipient_action_and_reply() -> None:
    _, message = composed(REPORT)
    whole, recipient = status_of(message)
    assert whole["Reporting-MTA"] == "dns; mail.clinic.example"
    assert recipient["Final-Recipient"] == "rfc822; patient@partner.example"
    assert recipient["Action"] == "failed"
    assert recipient["Status"] == "5.1.1"
    assert recipient["Remote-MTA"] == "dns; mx.partner.example"
    assert recipient["Diagnostic-Code"] == "smtp; 550 5.1.1 no such user"


def test_the_body_of_the_original_does_not_come_back() -> None:
    content, message = composed(REPORT)
    assert b"must not come back" not in content
    assert "Subject: Results" in str(part(message, 2).get_payload())


def test_the_text_says_in_plain_words_what_happened() -> None:
    text = text_of(composed(REPORT)[1])
    assert 'your message "Results"' in text
    assert "patient@partner.example was not delivered" in text
    assert "550 5.1.1 no such user" in text


def test_a_delay_is_reported_as_delayed_and_says_until_when() -> None:
    delayed = replace(REFUSED, cause=Cause.STILL_TRYING, last_reply="451 4.3.0 busy", retry_until=NOW)
    _, message = about(delayed)
    recipient = status_of(message)[1]
    assert recipient["Action"] == "delayed"
    assert recipient["Status"] == "4.3.0"
    assert recipient["Will-Retry-Until"]
    assert "You need not do anything" in text_of(message)


@pytest.mark.parametrize(
    ("cause", "reply", "status"),
    [
        (Cause.GIVEN_UP, "451 4.3.0 busy", "5.4.7"),
        (Cause.GIVEN_UP, "", "5.4.7"),
        (Cause.STILL_TRYING, "550 5.1.1 odd", "4.4.7"),
        (Cause.NOTICE_UNDELIVERABLE, "550 no", "5.0.0"),
    ],
)
def test_the_status_never_contradicts_the_action(cause: Cause, reply: str, status: str) -> None:
    assert bounce_message.status_code(replace(REFUSED, cause=cause, last_reply=reply)) == status


def test_an_undeliverable_notice_says_that_the_message_waits_in_the_portal() -> None:
    text = text_of(about(replace(REFUSED, cause=Cause.NOTICE_UNDELIVERABLE))[1])
    assert "waits in the portal" in text


def test_a_hostile_reply_adds_no_field_and_no_part() -> None:
    hostile = "550 no\r\nBcc: victim@outside.example\r\n\r\n--=_other\x00\u2028Action: delivered"
    content, message = about(replace(REFUSED, last_reply=hostile))
    assert message["Bcc"] is None
    recipient = status_of(message)[1]
    assert recipient["Bcc"] is None
    assert recipient.get_all("Action") == ["failed"]
    assert b"\nBcc:" not in content


def test_a_reply_that_guesses_the_boundary_is_refused_not_sent() -> None:
    with pytest.raises(ValueError, match="boundary"):
        about(replace(REFUSED, last_reply="550 --=_boundary--"))


def test_an_endless_reply_is_cut() -> None:
    content, _ = about(replace(REFUSED, last_reply="550 " + "x" * 1_000_000))
    assert len(content) < 10_000
    assert max(map(len, content.split(b"\r\n"))) <= 998


def test_an_internationalised_recipient_is_named_in_seven_bits() -> None:
    recipient = status_of(about(replace(REFUSED, address="josé@partner.example"))[1])[1]
    assert recipient["Final-Recipient"] == "utf-8; jos\\x{E9}@partner.example"


def test_header_fields_beyond_seven_bits_come_back_encoded() -> None:
    content, message = composed(replace(REPORT, original_headers="Subject: é\r\n\r\nbody".encode()))
    assert part(message, 2)["Content-Transfer-Encoding"] == "quoted-printable"
    assert content.isascii()


@pytest.mark.parametrize("original", [b"", b"\r\nbody only", b"Subject: no end"])
def test_odd_originals_still_give_a_report(original: bytes) -> None:
    _, message = composed(replace(REPORT, original_headers=original))
    assert b"body only" not in str(message).encode()
    assert len(message.get_payload()) == 3


@pytest.mark.parametrize("origin", [Origin.SUBMISSION, Origin.WEBMAIL, Origin.PORTAL])
def test_our_own_people_may_be_told(origin: Origin) -> None:
    assert bounce_message.may_report(sender=DOCTOR, origin=origin, sender_is_ours=True)


@pytest.mark.parametrize("origin", [Origin.SMTP, Origin.SYSTEM])
def test_mail_from_outside_and_our_own_reports_cause_no_report(origin: Origin) -> None:
    assert not bounce_message.may_report(sender=DOCTOR, origin=origin, sender_is_ours=True)


def test_the_null_sender_and_strangers_are_never_told() -> None:
    assert not bounce_message.may_report(sender=None, origin=Origin.SUBMISSION, sender_is_ours=True)
    assert not bounce_message.may_report(sender=DOCTOR, origin=Origin.SUBMISSION, sender_is_ours=False)
