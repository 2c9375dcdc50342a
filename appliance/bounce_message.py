"""Core: the delay and failure reports that tell a sender what became of a message (RFC 3464, RFC 6522).

A report holds a text in plain words, the machine-readable status, and only the header fields of the original.
It has the null reverse-path, so that no report can ever cause another (RFC 5321 section 4.5.5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from enum import StrEnum
from typing import assert_never

from appliance import report_parts
from appliance.report_parts import CRLF, MailPart
from mailstore.addresses import Address
from mailstore.message import Origin

HEADER_LIMIT_BYTES = 65_536
"""How much of the original's header block a report repeats."""

ENHANCED_STATUS = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b")
"""RFC 3463 section 2."""


class Action(StrEnum):
    """The delivery actions that we report (RFC 3464 section 2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"


class Cause(StrEnum):
    """Why a recipient could not be reached, in the words that the text part uses."""

    REFUSED = "refused"
    GIVEN_UP = "given_up"
    STILL_TRYING = "still_trying"
    NOTICE_UNDELIVERABLE = "notice_undeliverable"
    NOTICE_DELAYED = "notice_delayed"


DELAYS = frozenset({Cause.STILL_TRYING, Cause.NOTICE_DELAYED})
"""Causes that are no failure yet."""


@dataclass(frozen=True)
class FailedRecipient:
    """One recipient of a report. ``last_reply`` is what the far server said last, as it said it."""

    address: str = field(repr=False)
    cause: Cause
    last_reply: str = field(default="", repr=False)
    remote_server: str = ""
    last_attempt_at: datetime | None = None
    retry_until: datetime | None = None


@dataclass(frozen=True)
class Report:
    """What a report is made of. ``original_headers`` is the header block of the original, as it came in."""

    sender: Address = field(repr=False)
    recipients: tuple[FailedRecipient, ...]
    original_headers: bytes = field(repr=False)
    subject: str = field(repr=False)
    accepted_at: datetime


@dataclass(frozen=True)
class ReportingServer:
    """Who reports: our host name, and the address and name that the report comes from."""

    host_name: str
    from_address: str
    from_name: str


def may_report(*, sender: Address | None, origin: Origin, sender_is_ours: bool) -> bool:
    """True when the sender may be told: one of our own people, never a stranger, never the null sender.

    Mail from outside is answered during its own SMTP dialogue; a report sent afterwards would go to whoever
    the envelope claimed, which is backscatter. Reports and notices (``Origin.SYSTEM``) never cause reports.
    """
    written_here = origin in {Origin.SUBMISSION, Origin.WEBMAIL, Origin.PORTAL}
    return sender is not None and written_here and sender_is_ours


def action_of(report: Report) -> Action:
    """DELAYED when every recipient is still being tried, otherwise FAILED."""
    still_trying = all(recipient.cause in DELAYS for recipient in report.recipients)
    return Action.DELAYED if still_trying else Action.FAILED


def compose(report: Report, server: ReportingServer, *, now: datetime, message_id: str, boundary: str) -> bytes:
    """The whole report as RFC 5322 bytes with CRLF line ends."""
    action = action_of(report)
    parts = (
        report_parts.text_part(_plain_words(report, action, server.from_name)),
        _status_part(report, server.host_name),
        _headers_part(report.original_headers),
    )
    body = report_parts.multipart("report; report-type=delivery-status", parts, boundary=boundary)
    titles = {
        Action.FAILED: "Your message was not delivered",
        Action.DELAYED: "Your message is delayed; we are still trying",
    }
    fields = (
        report_parts.date_field(now),
        report_parts.mailbox_field("From", server.from_name, server.from_address),
        report_parts.mailbox_field("To", "", report.sender.text),
        report_parts.header_field("Subject", titles[action]),
        report_parts.header_field("Message-ID", message_id),
        report_parts.header_field("Auto-Submitted", "auto-replied"),
        report_parts.header_field("MIME-Version", "1.0"),
    )
    return b"".join(fields) + bytes(body)


def status_code(recipient: FailedRecipient) -> str:
    """The enhanced status of one recipient (RFC 3463): the far server's own when it gave one that fits."""
    wanted_class = "4" if recipient.cause in DELAYS else "5"
    found = ENHANCED_STATUS.search(recipient.last_reply)
    if found and found[1].startswith(wanted_class):
        return found[1]
    match recipient.cause:
        case Cause.REFUSED | Cause.NOTICE_UNDELIVERABLE:
            return "5.0.0"
        case Cause.GIVEN_UP:
            return "5.4.7"
        case Cause.STILL_TRYING | Cause.NOTICE_DELAYED:
            return "4.4.7"
        case _:
            assert_never(recipient.cause)


def _plain_words(report: Report, action: Action, practice: str) -> str:
    when = report.accepted_at.strftime("%d %B %Y at %H:%M UTC")
    opening = f'This is about your message "{report_parts.one_line(report.subject, limit=200)}" of {when}.'
    told = "\n\n".join(_sentence(recipient) for recipient in report.recipients)
    closing = {
        Action.FAILED: "Nothing was sent to these recipients over an unprotected connection.",
        Action.DELAYED: "You need not do anything. We will write again only if delivery fails.",
    }[action]
    return f"{opening}\n\n{told}\n\n{closing}\n\n{report_parts.one_line(practice)}\n"


def _sentence(recipient: FailedRecipient) -> str:
    address = report_parts.one_line(recipient.address, limit=320)
    match recipient.cause:
        case Cause.REFUSED:
            told = "was not delivered: the recipient's mail server refused it"
        case Cause.GIVEN_UP:
            told = "was not delivered: the recipient's mail server could not be reached. We have stopped trying"
        case Cause.STILL_TRYING:
            told = "is delayed: the recipient's mail server does not take it yet. We keep trying"
        case Cause.NOTICE_UNDELIVERABLE:
            told = (
                "waits in the portal, but the recipient could not be told by e-mail. "
                "Please tell them in another way that a message is waiting"
            )
        case Cause.NOTICE_DELAYED:
            told = "waits in the portal, but the recipient could not be told by e-mail yet. We keep trying"
        case _:
            assert_never(recipient.cause)
    said = report_parts.one_line(recipient.last_reply)
    return f"The message to {address} {told}." + (f"\nThe server said: {said}" if said else "")


def _status_part(report: Report, host_name: str) -> MailPart:
    groups = [
        report_parts.header_field("Reporting-MTA", f"dns; {host_name}")
        + report_parts.header_field("Arrival-Date", format_datetime(report.accepted_at))
    ]
    groups += [_recipient_group(recipient) for recipient in report.recipients]
    fields = report_parts.header_field("Content-Type", "message/delivery-status")
    return MailPart(fields, CRLF.join(groups))


def _recipient_group(recipient: FailedRecipient) -> bytes:
    """The per-recipient fields of RFC 3464 section 2.3."""
    action = Action.DELAYED if recipient.cause in DELAYS else Action.FAILED
    lines = [
        ("Final-Recipient", typed_address(recipient.address)),
        ("Action", action.value),
        ("Status", status_code(recipient)),
    ]
    if recipient.remote_server:
        lines.append(("Remote-MTA", f"dns; {report_parts.printable_ascii(recipient.remote_server)}"))
    if recipient.last_reply:
        lines.append(("Diagnostic-Code", f"smtp; {report_parts.printable_ascii(recipient.last_reply)}"))
    if recipient.last_attempt_at:
        lines.append(("Last-Attempt-Date", format_datetime(recipient.last_attempt_at)))
    if recipient.retry_until:
        lines.append(("Will-Retry-Until", format_datetime(recipient.retry_until)))
    return b"".join(report_parts.header_field(name, value) for name, value in lines)


def typed_address(address: str) -> str:
    """``rfc822; a@b``, or the seven-bit form of an address beyond ASCII (RFC 6533 section 3)."""
    clean = report_parts.one_line(address, limit=320)
    if clean.isascii():
        return f"rfc822; {clean}"
    return "utf-8; " + "".join(c if c.isascii() else f"\\x{{{ord(c):X}}}" for c in clean)


def _headers_part(original: bytes) -> MailPart:
    content_type = "text/rfc822-headers"
    block = header_block(original)[:HEADER_LIMIT_BYTES]
    plain = block.isascii() and max(map(len, block.split(CRLF))) <= report_parts.LONGEST_LINE_BYTES
    if plain:
        return MailPart(report_parts.header_field("Content-Type", content_type), block)
    return report_parts.text_part(block.decode("utf-8", "replace"), content_type=content_type)


def header_block(content: bytes) -> bytes:
    """The header fields of a message, without the empty line and what follows it (RFC 5322 section 2.1)."""
    if content.startswith(CRLF):
        return b""
    return content.partition(CRLF + CRLF)[0] + CRLF
