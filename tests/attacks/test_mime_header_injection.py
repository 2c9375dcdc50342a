"""Header injection: nothing an author types can become a header field, a part or another recipient."""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime

import pytest

from mailstore.addresses import Address, BadAddressError, parse_mailbox
from mailstore.message_composition import (
    ComposedAttachment,
    ComposedMessage,
    UnsafeHeaderError,
    compose,
    trace_field,
    without_bcc,
)

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
ID = "<abc@clinic.example>"
ALICE = Address("alice", "clinic.example")

BREAKS = ["\r\n", "\n", "\r", "\x00", "\x0b", "\x0c", "\x1b", "\x85", "\u2028", "\u2029", "\ud800"]


def composed(**changes: object) -> bytes:
    made = {"from_name": "Alice", "from_address": ALICE, "to": (ALICE,), "subject": "hello", "text": "world"} | changes
    return compose(ComposedMessage(**made), now=NOW, message_id=ID)  # type: ignore[arg-type]


@pytest.mark.parametrize("line_break", BREAKS)
@pytest.mark.parametrize("field", ["subject", "from_name", "file_name", "in_reply_to", "references", "address"])
def test_control_characters_in_header_text_are_refused(field: str, line_break: str) -> None:
    evil = f"x{line_break}Bcc: victim@elsewhere.example"
    changes: dict[str, dict[str, object]] = {
        "subject": {"subject": evil},
        "from_name": {"from_name": evil},
        "file_name": {"attachments": (ComposedAttachment(evil, "text/plain", b"x"),)},
        "in_reply_to": {"in_reply_to": f"<{evil}@x>"},
        "references": {"references": (f"<{evil}@x>",)},
        "address": {"to": (Address(evil, "clinic.example"),)},
    }
    with pytest.raises(UnsafeHeaderError):
        composed(**changes[field])


def test_control_characters_in_a_message_id_are_refused() -> None:
    message = ComposedMessage("Alice", ALICE, (ALICE,), "hello", "world")
    with pytest.raises(UnsafeHeaderError):
        compose(message, now=NOW, message_id="<a\r\nBcc: x@y>")


@pytest.mark.parametrize("domain", ["clinic.example\r\nBcc: x", "clinic.example>", "cli nic.example", "a\x00b"])
def test_domain_that_is_none_never_gets_into_a_header(domain: str) -> None:
    with pytest.raises((UnsafeHeaderError, BadAddressError)):
        composed(to=(Address("x", domain),))


@pytest.mark.parametrize("line_break", BREAKS)
def test_control_characters_make_no_address(line_break: str) -> None:
    with pytest.raises(BadAddressError):
        parse_mailbox(f"x{line_break}y@clinic.example")
    with pytest.raises(BadAddressError):
        parse_mailbox(f"x@clinic{line_break}.example")


def test_type_of_an_attachment_cannot_carry_a_field() -> None:
    evil = ComposedAttachment("a.txt", "text/plain\r\nX-Evil: y", b"x")
    content = composed(attachments=(evil,))
    assert b"X-Evil" not in content
    assert b"application/octet-stream" in content


def test_text_cannot_close_its_part() -> None:
    attachment = ComposedAttachment("a.txt", "text/plain", b"x")
    boundary = email.message_from_bytes(composed(attachments=(attachment,))).get_boundary()
    content = composed(attachments=(attachment,), text=f"a\n--{boundary}\nContent-Type: text/html\n\n<b>evil</b>\n")
    parts = [part.get_content_type() for part in email.message_from_bytes(content).walk()]
    assert parts == ["multipart/mixed", "text/plain", "text/plain"]


def test_text_that_looks_like_headers_stays_text() -> None:
    content = composed(text="Bcc: victim@elsewhere.example\n\nhello")
    parsed = email.message_from_bytes(content, policy=email.policy.default)
    assert parsed["bcc"] is None
    assert "Bcc: victim" in parsed.get_content()


@pytest.mark.parametrize(
    "name", ['Alice" <evil@x.example>, "', "Alice\\", "=?utf-8?q?evil?=", "a@b <c@d>", "J\u00f6rg, M.D."]
)
def test_display_name_stays_a_name(name: str) -> None:
    parsed = email.message_from_bytes(composed(from_name=name), policy=email.policy.default)
    (address,) = parsed["from"].addresses
    assert (address.display_name, address.addr_spec) == (name, "alice@clinic.example")


def test_greeting_cannot_write_into_our_trace_field() -> None:
    field = trace_field(
        helo="x\r\nBcc: y (evil)", peer_address="1.2.3.4\r\nX: y", by="mx.clinic.example", protocol="ESMTP", now=NOW
    )
    assert b"Bcc: y" not in field
    assert field.count(b"\r\n") == 3
    assert all(line.startswith((b"Received:", b"\t")) for line in field.splitlines())


@pytest.mark.parametrize(
    "field",
    [
        b"Bcc: x@y.example\r\n",
        b"BCC : x@y.example,\r\n\tz@y.example\r\n",
        b"Resent-Bcc: x@y.example\r\n",
        b"bcc:\r\n x@y.example\r\n",
    ],
)
def test_blind_copies_leave_what_is_relayed(field: bytes) -> None:
    kept = b"From: a@b.example\r\nSubject: hello\r\n"
    body = b"\r\nBcc: this is text\r\n"
    for content in (
        field + kept + body,
        kept + field + body,
        kept[:19] + field + kept[19:] + body,
        kept + field + field + body,
    ):
        assert without_bcc(content) == kept + body


def test_message_without_blind_copies_is_not_touched() -> None:
    for content in (b"", b"\r\nBcc: x\r\n\r\n", b"Subject: a\r\nX-Bcc: b\r\n\r\nc", b"Subject: a"):
        assert without_bcc(content) == content
