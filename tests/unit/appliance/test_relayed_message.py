"""The copy that travels has canonical line ends, no blind copies, and asks only for what it needs."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from appliance import relayed_message
from appliance.relayed_message import POSSIBLE_DUPLICATE, RelayedMessage, Transmission
from mailstore.addresses import parse_mailbox

TRACE = b"Received: from here\r\n"
PLAIN = parse_mailbox("a@b.example")
UNICODE = parse_mailbox("josé@b.example")
ALL = {"size": "1000", "8bitmime": "", "smtputf8": ""}


def prepared(content: bytes) -> bytes:
    return relayed_message.prepared(content, trace_field=TRACE, is_possible_duplicate=False).content


def parameters(content: bytes, offered: dict[str, str], recipient: str = "a@b.example") -> object:
    message = relayed_message.prepared(content, trace_field=TRACE, is_possible_duplicate=False)
    transmission = Transmission(PLAIN, (parse_mailbox(recipient),), message)
    return relayed_message.mail_parameters(transmission, offered)


def test_an_ordinary_message_travels_byte_for_byte_behind_our_trace_field() -> None:
    content = b"From: a@b.example\r\n\r\nbody\r\n..two dots\r\n"
    assert prepared(content) == TRACE + content


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_no_line_end_but_crlf_travels(end: bytes) -> None:
    sent = prepared(b"A: b" + end + end + b"body" + end + b"." + end + b"MAIL FROM:<x@y>" + end)
    assert b"\r" not in sent.replace(b"\r\n", b"")
    assert b"\n" not in sent.replace(b"\r\n", b"")


def test_a_missing_last_line_end_is_added() -> None:
    assert prepared(b"A: b\r\n\r\nend").endswith(b"end\r\n")


@pytest.mark.parametrize(
    "field",
    [
        b"Bcc: secret@b.example\r\n",
        b"BCC : secret@b.example\r\n",
        b"bcc:\r\n secret@b.example,\r\n\tsecret2@b.example\r\n",
        b"Resent-Bcc: secret@b.example\r\n",
        b"\nBcc: secret@b.example\n",
        b"\rBcc: secret@b.example\r",
    ],
)
def test_blind_copies_are_left_out_however_they_are_written(field: bytes) -> None:
    assert (
        b"secret" not in prepared(b"From: a@b.example\r\n" + field + b"To: c@d.example\r\n").partition(b"\r\n\r\n")[0]
    )


def test_a_blind_copy_in_the_last_unfinished_line_is_left_out() -> None:
    assert b"secret" not in prepared(b"From: a@b.example\r\nBcc: secret@b.example")


def test_a_line_of_the_body_that_looks_like_bcc_stays() -> None:
    assert b"Bcc: in the text" in prepared(b"A: b\r\n\r\nBcc: in the text\r\n")


def test_a_possible_duplicate_is_marked() -> None:
    message = relayed_message.prepared(b"A: b\r\n\r\n", trace_field=TRACE, is_possible_duplicate=True)
    assert message.content.startswith(TRACE + POSSIBLE_DUPLICATE)


def test_what_the_writers_program_left_out_is_added_and_what_it_wrote_is_kept() -> None:
    at = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    both = relayed_message.missing_fields(b"From: a@b.example\r\n\r\nx", message_id="<1@b.example>", accepted_at=at)
    assert both == b"Date: Wed, 04 Mar 2026 05:06:07 +0000\r\nMessage-ID: <1@b.example>\r\n"
    one = relayed_message.missing_fields(b"DATE: then\r\n\r\nx", message_id="<1@b.example>", accepted_at=at)
    assert one == b"Message-ID: <1@b.example>\r\n"
    own = b"date: then\r\nMessage-Id: <own@b.example>\r\n\r\nMessage-ID: no\r\n"
    assert relayed_message.missing_fields(own, message_id="<1@b.example>", accepted_at=at) == b""


def test_a_plain_message_announces_only_its_size() -> None:
    assert parameters(b"A: b\r\n\r\nx\r\n", ALL) == (b"SIZE=%d" % len(prepared(b"A: b\r\n\r\nx\r\n")),)


def test_a_server_without_extensions_is_given_plain_mail() -> None:
    assert parameters(b"A: b\r\n\r\nx\r\n", {}) == ()


def test_eight_bit_bodies_need_8bitmime() -> None:
    assert b"BODY=8BITMIME" in parameters("A: b\r\n\r\né\r\n".encode(), ALL)  # type: ignore[operator]  # a tuple here
    assert str(parameters("A: b\r\n\r\né\r\n".encode(), {})) == "its server cannot take 8-bit messages"


def test_internationalised_addresses_need_smtputf8() -> None:
    assert b"SMTPUTF8" in parameters(b"A: b\r\n\r\n", ALL, "josé@b.example")  # type: ignore[operator]  # a tuple here
    assert (
        str(parameters(b"A: b\r\n\r\n", {}, "josé@b.example")) == "its server cannot take internationalised addresses"
    )


@pytest.mark.parametrize("limit", ["0", "", "not a number", "²", "100000", "9" * 5000])
def test_no_limit_or_a_wide_one_lets_the_message_through(limit: str) -> None:
    assert not isinstance(parameters(b"A: b\r\n\r\nx\r\n", {"size": limit}), str)


def test_a_message_over_the_announced_size_is_not_offered() -> None:
    assert (
        str(parameters(b"A: b\r\n\r\n" + b"x" * 2000, {"size": "1000"}))
        == "the message is larger than its server takes"
    )


def test_paths_are_written_as_the_wire_wants_them() -> None:
    assert relayed_message.path(None) == b"<>"
    assert relayed_message.path(parse_mailbox('"two words"@b.example')) == b'<"two words"@b.example>'
    assert relayed_message.path(parse_mailbox("a@bücher.example")) == b"<a@xn--bcher-kva.example>"
    assert relayed_message.path(UNICODE) == "<josé@b.example>".encode()


def test_content_stays_out_of_representations() -> None:
    assert "secret" not in repr(RelayedMessage(b"secret", has_8bit=False, has_utf8_fields=False))
