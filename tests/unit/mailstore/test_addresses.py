from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstore import addresses
from mailstore.addresses import (
    Address,
    BadAddressError,
    HeaderAddress,
    header_addresses,
    parse_mailbox,
    parse_path,
    strict_header_addresses,
)


def test_the_null_path_is_no_address() -> None:
    assert parse_path(b"<>") is None


@pytest.mark.parametrize(
    ("path", "local", "domain"),
    [
        (b"<a@b.example>", "a", "b.example"),
        (b"<A.B+c@B.Example>", "A.B+c", "B.Example"),
        (b'<"a b"@b.example>', "a b", "b.example"),
        (b'<"a\\"b"@b.example>', 'a"b', "b.example"),
        (b'<"a@c"@b.example>', "a@c", "b.example"),
        (b"<a@[192.0.2.1]>", "a", "[192.0.2.1]"),
        (b"<a@[IPv6:2001:db8::1]>", "a", "[IPv6:2001:db8::1]"),
        (b"<a@localhost>", "a", "localhost"),
    ],
)
def test_strict_forms_are_understood(path: bytes, local: str, domain: str) -> None:
    assert parse_path(path) == Address(local, domain)


@pytest.mark.parametrize(
    "path",
    [
        b"a@b.example",
        b"<a@b.example",
        b"<a>",
        b"<@b.example>",
        b"<a@>",
        b"<@r.example:a@b.example>",
        b"<a..b@c.example>",
        b"<.a@c.example>",
        b"<a.@c.example>",
        b"<a@b..example>",
        b"<a@b.example.>",
        b"<a b@c.example>",
        b"<a@b c.example>",
        b"<a@b@c.example>",
        b'<""@b.example>',
        b'<"a@b.example>',
        b"<a@b_c.example>",
        b"<a@-b.example>",
        b"<a@b-.example>",
        b"<a@[300.1]>",
        b"<a\x7f@b.example>",
        b"<\xc3\xb6@b.example>",
        b"<" + b"a" * 65 + b"@b.example>",
        b"<a@" + b"b" * 64 + b".example>",
        b"<a@" + b"b." * 127 + b"example>",
    ],
)
def test_everything_else_is_refused(path: bytes) -> None:
    with pytest.raises(BadAddressError):
        parse_path(path)


def test_utf8_is_taken_only_when_it_was_announced() -> None:
    path = "<jörg@münchen.example>".encode()
    assert parse_path(path, smtputf8=True) == Address("jörg", "münchen.example")
    with pytest.raises(BadAddressError):
        parse_path(path)
    with pytest.raises(BadAddressError):
        parse_path(b"<\xff@b.example>", smtputf8=True)


@pytest.mark.parametrize("hidden", ["\u200b", "\u202e", "\u2028", "\u0085", "\ufeff"])
def test_invisible_characters_make_no_address(hidden: str) -> None:
    with pytest.raises(BadAddressError):
        parse_mailbox(f"a{hidden}b@c.example")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A@B.EXAMPLE", "a@b.example"),
        ('"a"@b.example', "a@b.example"),
        ("a@M\u00dcNCHEN.example", "a@xn--mnchen-3ya.example"),
        ("jo\u0308rg@b.example", "j\u00f6rg@b.example"),
    ],
)
def test_spellings_of_one_mailbox_have_one_canonical_form(one: str, other: str) -> None:
    assert parse_mailbox(one).canonical == parse_mailbox(other).canonical


def test_tags_and_dots_are_different_mailboxes() -> None:
    canonicals = {parse_mailbox(text).canonical for text in ("a@b.example", "a+x@b.example", "a.x@b.example")}
    assert len(canonicals) == 3


def test_repr_keeps_the_address_to_itself() -> None:
    assert "alice" not in repr(Address("alice", "clinic.example"))
    assert "alice" not in repr(HeaderAddress("alice", Address("alice", "x.example"), "alice"))


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=40))
def test_every_local_part_survives_writing_and_reading(local: str) -> None:
    address = Address(local, "b.example")
    assert parse_mailbox(address.text) == address


@settings(max_examples=300)
@given(st.text(st.sampled_from('ab@.<>"\\(),:; \t=?'), max_size=60))
def test_tolerant_reading_never_raises_and_strict_reading_agrees_with_it(value: str) -> None:
    entries = header_addresses(value)
    try:
        strict = strict_header_addresses(value)
    except BadAddressError:
        return
    assert strict == tuple(entry.address for entry in entries)


@pytest.mark.parametrize(
    "value",
    ["a@b.example", "Ann Lee <a.b@c.example>", "<a@b.example>", "O'Neil <a@b.example>", "a_b-c+d@e1.example"],
)
def test_the_quick_way_reads_as_the_slow_one(value: str) -> None:
    slow = tuple(entry.shown() for entry in addresses._entries(value))
    assert header_addresses(value) == slow


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", []),
        (" , ,, ", []),
        ("a@b.example, Bob <c@d.example>", [("", "a@b.example"), ("Bob", "c@d.example")]),
        ('"Doe, Jane" <j@b.example>', [("Doe, Jane", "j@b.example")]),
        ("j@b.example (Jane Doe)", [("Jane Doe", "j@b.example")]),
        ("=?utf-8?q?J=C3=B6rg?= <j@b.example>", [("Jörg", "j@b.example")]),
        ("undisclosed-recipients:;", []),
        (
            "Team: a@b.example, c@d.example;, e@f.example",
            [("", "a@b.example"), ("", "c@d.example"), ("", "e@f.example")],
        ),
        ("nobody in particular", [("nobody in particular", None)]),
    ],
)
def test_address_fields_are_read_tolerantly(value: str, expected: list[tuple[str, str | None]]) -> None:
    found = [(entry.display_name, entry.address.text if entry.address else None) for entry in header_addresses(value)]
    assert found == expected


def test_only_so_many_addresses_are_taken_apart() -> None:
    assert len(header_addresses("a@b.example, " * 5_000)) == addresses.MAX_HEADER_ADDRESSES
