from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstore.addresses import Address
from mailstore.errors import LimitExceededError
from mailstore.message_composition import (
    ComposedAttachment,
    ComposedMessage,
    compose,
    new_message_id,
    trace_field,
)
from mailstore.message_parts import parse

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
ID = "<abc@clinic.example>"
ALICE = Address("alice", "clinic.example")
PRINTABLE = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=120)


def composed(**changes: object) -> bytes:
    made = {"from_name": "Alice", "from_address": ALICE, "to": (ALICE,), "subject": "hello", "text": "world"} | changes
    return compose(ComposedMessage(**made), now=NOW, message_id=ID)  # type: ignore[arg-type]


def test_message_has_the_fields_an_answer_needs() -> None:
    content = composed(cc=(Address("bob", "clinic.example"),), in_reply_to="<q@x>", references=("<p@x>", "<q@x>"))
    parsed = email.message_from_bytes(content, policy=email.policy.default)
    assert parsed.defects == []
    assert parsed["date"].datetime == NOW
    assert (parsed["to"], parsed["cc"]) == ("alice@clinic.example", "bob@clinic.example")
    assert (parsed["message-id"], parsed["in-reply-to"], parsed["references"]) == (ID, "<q@x>", "<p@x> <q@x>")
    assert parsed["bcc"] is None


def test_alternative_and_attachments_are_put_together() -> None:
    files = (
        ComposedAttachment("größe.pdf", "application/pdf", b"%PDF"),
        ComposedAttachment("a.txt", "text/plain", b"x"),
    )
    parsed = parse(composed(text="grüße\n", html="<p>grüße</p>\n", attachments=files))
    assert [(body.kind, body.text) for body in parsed.bodies] == [("text", "grüße\n"), ("html", "<p>grüße</p>\n")]
    assert [(each.file_name, each.content_type, each.content) for each in parsed.attachments] == [
        ("größe.pdf", "application/pdf", b"%PDF"),
        ("a.txt", "text/plain", b"x"),
    ]
    assert parsed.problems == ()


def test_lines_are_crlf_and_short_whatever_the_text() -> None:
    for text in ("x" * 5_000, "ü" * 5_000, "a\rb\nc\r\nd", ".\n..\n", "\x00\x1b"):
        content = composed(text=text, subject="s" * 1_000, from_name="n" * 200)
        assert content.count(b"\n") == content.count(b"\r\n") == content.count(b"\r")
        assert max(map(len, content.split(b"\r\n"))) <= 998


@settings(max_examples=150)
@given(PRINTABLE, PRINTABLE)
def test_subject_and_name_read_back_as_typed(subject: str, name: str) -> None:
    parsed = parse(composed(subject=subject, from_name=name)).headers
    assert parsed.text("subject").strip() == subject.strip()
    (author,) = parsed.addresses("from")
    assert author.address == ALICE
    assert author.display_name.split() == name.split()


@settings(max_examples=100)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_text_reads_back_as_typed(text: str) -> None:
    (body,) = parse(composed(text=text)).bodies
    typed = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")
    assert body.text in {typed, typed + "\n"}


@settings(max_examples=100)
@given(PRINTABLE.filter(lambda name: bool(name) and name.strip() == name))
def test_file_name_reads_back_as_typed(name: str) -> None:
    parsed = email.message_from_bytes(composed(attachments=(ComposedAttachment(name, "text/plain", b"x"),)))
    found = [part.get_filename() for part in parsed.walk()]
    assert found == [None, None, name]


def test_automatic_mail_says_so() -> None:
    assert b"\r\nAuto-Submitted: auto-generated\r\n" in composed(automatic=True)
    assert b"Auto-Submitted" not in composed()


def test_too_long_for_a_header_is_refused() -> None:
    with pytest.raises(LimitExceededError):
        composed(subject="x" * 1_001)
    with pytest.raises(LimitExceededError):
        composed(attachments=(ComposedAttachment("x" * 256, "text/plain", b""),))


def test_message_ids_are_random_and_well_formed() -> None:
    made = new_message_id(b"\x07" * 16, "Clinic.Example")
    assert made == "<a4dqoby" + made[8:-16] + "@clinic.example>"
    assert len(made) == 1 + 26 + len("@clinic.example>")
    with pytest.raises(ValueError, match="16"):
        new_message_id(b"short", "clinic.example")


def test_trace_field_names_the_hop_and_no_recipient() -> None:
    field = trace_field(
        helo="mail.x.example", peer_address="2001:db8::1", by="mx.clinic.example", protocol="ESMTPS", now=NOW
    )
    assert field == (
        b"Received: from mail.x.example ([2001:db8::1])\r\n"
        b"\tby mx.clinic.example with ESMTPS;\r\n"
        b"\tWed, 04 Mar 2026 05:06:07 +0000\r\n"
    )
