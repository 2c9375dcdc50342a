from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import smtp_replies
from appliance.delivery_plan import Located, Place
from appliance.smtp_acceptance import (
    MAX_LINE_OCTETS,
    AcceptanceLimits,
    MailCommand,
    author_problem,
    content_problem,
    has_bare_line_ending,
    has_line_over,
    parse_mail,
    parse_rcpt,
    received_fields,
    recipient_problem,
)
from appliance.smtp_replies import Reply
from mailstore.addresses import Address

LIMITS = AcceptanceLimits(1_000_000, recipients=100, hops=5)


def mail(argument: bytes, *, is_extended: bool = True) -> MailCommand | Reply:
    return parse_mail(argument, is_extended=is_extended, message_bytes=1_000)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        (b"FROM:<a@b.example>", MailCommand(Address("a", "b.example"))),
        (b"from: <a@b.example>", MailCommand(Address("a", "b.example"))),
        (b"FROM:<>", MailCommand(None)),
        (b"FROM:<a@b.example> SIZE=1000 BODY=8bitmime", MailCommand(Address("a", "b.example"))),
        (b"FROM:<a@b.example> smtputf8", MailCommand(Address("a", "b.example"), allows_utf8=True)),
        (b'FROM:<"a> SIZE=1"@b.example>', MailCommand(Address("a> SIZE=1", "b.example"))),
    ],
)
def test_mail_commands_are_understood(argument: bytes, expected: MailCommand) -> None:
    assert mail(argument) == expected


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        (b"", smtp_replies.BAD_SYNTAX),
        (b"TO:<a@b.example>", smtp_replies.BAD_SYNTAX),
        (b"FROM:a@b.example", smtp_replies.BAD_SYNTAX),
        (b"FROM:<a@b.example>SIZE=1", smtp_replies.BAD_SYNTAX),
        (b"FROM:<a@b.example> <c@d.example>", smtp_replies.BAD_SYNTAX),
        (b"FROM:<a@b.example> SIZE=", smtp_replies.BAD_SYNTAX),
        (b"FROM:<a@b.example> SIZE=-1", smtp_replies.BAD_SYNTAX),
        (b"FROM:<a@b.example> SIZE=1 SIZE=2", smtp_replies.BAD_SYNTAX),
        (b"FROM:<a@b.example> SIZE=" + b"9" * 21, smtp_replies.BAD_SYNTAX),
        (b"FROM:<a@b.example> SIZE=1001", smtp_replies.TOO_LARGE),
        (b"FROM:<a@b.example> BODY=BINARYMIME", smtp_replies.BAD_SYNTAX),
        (b"FROM:<a@b.example> SMTPUTF8=YES", smtp_replies.BAD_SYNTAX),
        (b"FROM:<a@b.example> AUTH=<>", smtp_replies.NO_SUCH_PARAMETER),
        (b"FROM:<a@b.example> RET=FULL", smtp_replies.NO_SUCH_PARAMETER),
        (b"FROM:<a..b@c.example>", smtp_replies.BAD_ADDRESS),
        (b"FROM:<\xc3\xb6@b.example>", smtp_replies.UTF8_NOT_ANNOUNCED),
    ],
)
def test_everything_else_is_refused_with_its_reason(argument: bytes, expected: Reply) -> None:
    assert mail(argument) == expected


def test_parameters_need_the_extended_greeting() -> None:
    assert mail(b"FROM:<a@b.example> SIZE=1", is_extended=False) == smtp_replies.NO_SUCH_PARAMETER


@given(st.binary(max_size=80))
def test_no_bytes_make_a_command_fail(argument: bytes) -> None:
    for prefix in (b"", b"FROM:<", b"TO:<"):
        mail(prefix + argument)
        parse_rcpt(prefix + argument, allows_utf8=True, postmaster_domain="clinic.example")


@pytest.mark.parametrize(
    ("place", "may_leave", "expected"),
    [
        (Place.HERE, False, None),
        (Place.OUTSIDE, True, None),
        (Place.OUTSIDE, False, smtp_replies.RELAYING_DENIED),
        (Place.UNKNOWN_HERE, True, smtp_replies.UNKNOWN_MAILBOX),
    ],
)
def test_only_our_own_people_send_outside(place: Place, may_leave: bool, expected: Reply | None) -> None:  # noqa: FBT001 - parametrised
    located = Located(Address("a", "b.example"), place)
    assert recipient_problem(located, may_leave_the_practice=may_leave) == expected


@given(st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b"x", b"."]), max_size=12))
def test_bare_line_ends_are_found_wherever_they_are(pieces: list[bytes]) -> None:
    content = b"".join(pieces)
    rest = content.replace(b"\r\n", b"")
    assert has_bare_line_ending(content) == (b"\r" in rest or b"\n" in rest)


@given(st.lists(st.integers(0, 40), max_size=12), st.integers(1, 30))
def test_long_lines_are_found_exactly(lengths: list[int], limit: int) -> None:
    content = b"\r\n".join(b"x" * length for length in lengths)
    assert has_line_over(content, limit) == any(length > limit for length in lengths)


def test_received_fields_are_counted_in_the_header_only() -> None:
    assert received_fields(b"Received: a\r\nRECEIVED:\r\n b\r\nX-Received: c\r\n\r\nReceived: d\r\n") == 2
    assert received_fields(b"\r\nReceived: d\r\n") == 0
    assert received_fields(b"Received: a") == 1


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"Subject: a\r\n\r\nb\r\n", None),
        (b"", None),
        (b"x" * 1_000_001, "too_large"),
        (b"a\nb", "bare_line_ends"),
        (b"x" * (MAX_LINE_OCTETS + 1), "long_lines"),
        (b"Received: x\r\n" * 6 + b"\r\n", "too_many_hops"),
    ],
)
def test_form_of_a_message_decides(content: bytes, code: str | None) -> None:
    problem = content_problem(content, LIMITS)
    assert (problem.code if problem else None) == code


def test_author_must_be_own_in_every_field() -> None:
    own = Address("a", "b.example")
    assert author_problem(b"From: x <a@b.example>\r\n\r\n", is_own=own.__eq__) is None
    for header in (b"", b"From: c@d.example\r\n", b"From: a@b.example\r\nSender: c@d.example\r\n"):
        problem = author_problem(header + b"\r\n", is_own=own.__eq__)
        assert problem is not None
        assert problem.code == "false_author"


def test_every_reply_is_one_ascii_line() -> None:
    replies = [value for value in vars(smtp_replies).values() if isinstance(value, Reply)]
    assert len(replies) > 30
    for reply in replies:
        assert reply.line.endswith(b"\r\n")
        assert reply.line.count(b"\r\n") == 1
        assert reply.line.isascii()
        assert reply.status == "" or reply.status[0] == str(reply.code)[0]
