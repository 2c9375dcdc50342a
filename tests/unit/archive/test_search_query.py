from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.index_document import Direction, Field
from archive.query_conditions import (
    AddressIs,
    AllOf,
    AnyOf,
    CategoryIs,
    DirectionIs,
    HasAttachment,
    IdIs,
    Not,
    Prefix,
    Query,
    ReceivedBefore,
    ReceivedFrom,
    SenderDomainIs,
    Words,
)
from archive.search_query import MAX_QUERY_CHARACTERS, QueryError, leaves, parse
from mailstore.message import MessageId


def word(text: str, where: Field | None = None) -> Words:
    return Words(where, tuple(text.split()))


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("Lab", word("lab")),
        ("lab result", AllOf((word("lab"), word("result")))),
        ('"Lab result"', word("lab result")),
        ("follow-up", word("follow up")),
        ("糖尿", word("糖 尿")),
        ("po*", Prefix(None, "po")),
        ("-draft", Not(word("draft"))),
        ("a OR b", AnyOf((word("a"), word("b")))),
        ("a b OR c", AnyOf((AllOf((word("a"), word("b"))), word("c")))),
        ("a (b OR c)", AllOf((word("a"), AnyOf((word("b"), word("c")))))),
        ("-(a b)", Not(AllOf((word("a"), word("b"))))),
        ("or and not", AllOf((word("or"), word("and"), word("not")))),
        ('"OR"', word("or")),
        ("Subject:lab", word("lab", Field.SUBJECT)),
        ('body:"lab result"', word("lab result", Field.BODY)),
        ("attachment:la*", Prefix(Field.ATTACHMENT, "la")),
        ("from:Pat@Mail.example", AddressIs(Field.FROM, "pat@mail.example")),
        ("bcc:päd@müller.example", AddressIs(Field.BCC, "päd@xn--mller-kva.example")),
        ("to:mail.example", word("mail example", Field.TO)),
        ('cc:"pat@mail.example"', word("pat mail example", Field.CC)),
        ("pat@mail.example", word("pat mail example")),
        ("id:" + "AB" * 13, IdIs(MessageId("ab" * 13))),
        ("category:Medical-Record", CategoryIs("medical-record")),
        ("has:attachment", HasAttachment()),
        ("domain:Mail.Example", SenderDomainIs("mail.example")),
        ("domain:müller.example", SenderDomainIs("xn--mller-kva.example")),
        ("direction:Sent", DirectionIs(Direction.SENT)),
        ("after:2024", ReceivedFrom(datetime(2024, 1, 1, tzinfo=UTC))),
        ("after:2024-02", ReceivedFrom(datetime(2024, 2, 1, tzinfo=UTC))),
        ("before:2024-02-29", ReceivedBefore(datetime(2024, 2, 29, tzinfo=UTC))),
    ],
)
def test_a_query_means_what_is_written(text: str, meaning: Query) -> None:
    assert parse(text) == meaning


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("", 0),
        ("  ", 2),
        ('a "b', 2),
        ("a (b", 2),
        ("a)", 1),
        ("()", 1),
        ("colour:red", 0),
        ("at 10:30", 3),
        ("subject:", 8),
        ("subject: lab", 8),
        ("subject:re:lab", 10),
        ("a OR", 4),
        ("OR a", 0),
        ("a OR OR b", 5),
        ("a AND b", 2),
        ("NOT a", 0),
        ("-OR", 1),
        ("a - b", 2),
        ("--a", 0),
        ("a*", 0),
        ("*", 0),
        ("ab*c", 2),
        ("*ab", 0),
        ('"ab*"', 3),
        ("foo-bar*", 0),
        ("“lab”", 0),
        ("\u2013lab", 0),
        ("!lab", 0),
        ("a|b", 1),
        ("wom?n", 3),
        ("a\x00b", 1),
        ("(a)b", 3),
        ("a(b)", 1),
        ('a"b"', 1),
        ("...", 0),
        ("has:pictures", 4),
        ("domain:not..one", 7),
        ("domain:pat@mail.example", 7),
        ("domain:mail*", 11),
        ("direction:north", 10),
        ("after:2024-13", 6),
        ("after:2023-02-29", 6),
        ("after:yesterday", 6),
        ("before:24", 7),
        ("id:short", 3),
        ("from:a@b@c", 5),
        ("from:p*t@mail.example", 6),
        ("x" * (MAX_QUERY_CHARACTERS + 1), MAX_QUERY_CHARACTERS),
        ("(" * 11 + "a" + ")" * 11, 10),
        (" ".join("ab" for _ in range(101)), 0),
    ],
)
def test_what_cannot_be_understood_is_refused_at_its_place(text: str, position: int) -> None:
    with pytest.raises(QueryError) as refusal:
        parse(text)
    assert refusal.value.position == position
    assert refusal.value.message.startswith(f"character {position + 1}: ")


def test_a_refusal_does_not_repeat_the_query() -> None:
    with pytest.raises(QueryError) as refusal:
        parse("diabetes:yes")
    assert "diabetes" not in refusal.value.message


@given(st.lists(st.sampled_from([*'ab "()-*:@.OR', "from:", "after:20"]), max_size=60).map("".join))
def test_any_text_is_either_understood_or_refused(text: str) -> None:
    with suppress(QueryError):
        assert list(leaves(parse(text)))
