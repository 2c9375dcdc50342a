"""Confusion: what one reader takes for an address, a type or a file name must not be another thing to the next."""

from __future__ import annotations

import pytest

from mailstore.addresses import Address, display, header_addresses
from mailstore.encoded_words import known_charset, text_of
from mailstore.message_parts import parse


def shown(value: str) -> list[tuple[str, str | None]]:
    return [(entry.display_name, entry.address.text if entry.address else None) for entry in header_addresses(value)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("=?utf-8?q?boss=40clinic.example?= <evil@x.example>", [("boss@clinic.example", "evil@x.example")]),
        ("=?utf-8?q?boss=40clinic.example=2C?= <evil@x.example>", [("boss@clinic.example,", "evil@x.example")]),
        ("=?utf-8?q?=3Cboss=40clinic.example=3E?=", [("<boss@clinic.example>", None)]),
        ('"boss@clinic.example" <evil@x.example>', [("boss@clinic.example", "evil@x.example")]),
        ('"a,b@clinic.example" <evil@x.example>', [("a,b@clinic.example", "evil@x.example")]),
        ('"evil@x.example>,"@clinic.example', [("", '"evil@x.example>,"@clinic.example')]),
        ("<boss@clinic.example> <evil@x.example>", [("", None)]),
        ("boss@clinic.example evil@x.example", [("boss@clinic.example evil@x.example", None)]),
        ("(boss@clinic.example) evil@x.example", [("boss@clinic.example", "evil@x.example")]),
        ("g: a@x.example, b@x.example;", [("", "a@x.example"), ("", "b@x.example")]),
    ],
)
def test_structure_is_read_before_anything_is_decoded(value: str, expected: list[tuple[str, str | None]]) -> None:
    assert shown(value) == expected


def test_quoted_local_part_is_no_other_mailbox() -> None:
    (entry,) = header_addresses('"a@clinic.example"@x.example')
    assert entry.address == Address("a@clinic.example", "x.example")


def test_homographs_are_different_mailboxes() -> None:
    (latin,) = header_addresses("alice@clinic.example")
    (cyrillic,) = header_addresses("\u0430lice@clinic.example")
    assert latin.address is not None
    assert cyrillic.address is not None
    assert latin.address.canonical != cyrillic.address.canonical
    assert Address("a", "cl\u0456nic.example").canonical == "a@xn--clnic-o2e.example"


def test_direction_marks_and_controls_are_visible() -> None:
    assert display("a\u202eb\u2066c\x00d\u200be") == "a[U+202E]b[U+2066]c\ufffdd[U+200B]e"


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        (b'filename="../../etc/passwd"', "passwd"),
        (b'filename="C:\\\\Windows\\\\evil.exe"', "evil.exe"),
        (b"filename*=utf-8''..%2F..%2Fevil.sh", "evil.sh"),
        (b"filename*=utf-8''invoice%E2%80%AEfdp.exe", "invoice_fdp.exe"),
        (b'filename="a\x00b.txt"', "a_b.txt"),
        (b'filename=".."', "attachment-1"),
        (b'filename=""', "attachment-1"),
        (b'filename=".bashrc"', "bashrc"),
        (b"filename*=utf-8''%0D%0AX-Evil%3A%20y", "__X-Evil: y"),
        (b'filename="=?utf-8?q?=2E=2E=2Fevil?="', "evil"),
        (b"filename*0*=utf-8''gr%C3%B6; filename*1=sse.pdf", "gr\u00f6sse.pdf"),
        (b"filename*1=second; filename*0=first", "firstsecond"),
        (b"filename*=bogus''x.txt", "x.txt"),
        (b'filename="' + b"a" * 5_000 + b'.pdf"', "a" * 235 + "." + "a" * 19),
    ],
)
def test_file_name_is_a_plain_name(parameter: bytes, expected: str) -> None:
    content = b"Content-Disposition: attachment; " + parameter + b"\r\n\r\nx"
    (attachment,) = parse(content).attachments
    if len(expected) > 250:
        assert len(attachment.file_name) <= 255
    else:
        assert attachment.file_name == expected


@pytest.mark.parametrize(
    "charset", ["zlib", "base64", "rot13", "idna", "punycode", "unicode_escape", "hex", "bz2", "uu"]
)
def test_charset_that_is_none_of_text_is_not_used(charset: str) -> None:
    assert known_charset(charset) is None
    assert text_of(b"caf\xc3\xa9", charset) == "caf\u00e9"


@pytest.mark.parametrize("charset", ["", "x" * 10_000, "utf-8\x00", "../utf-8", "UTF-8''en", "\ud800"])
def test_evil_charset_labels_still_give_text(charset: str) -> None:
    assert "caf" in text_of(b"caf\xc3\xa9", charset)


def test_type_named_twice_is_told_and_the_first_counts() -> None:
    parsed = parse(b"Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\n<b>x</b>")
    assert [body.kind for body in parsed.bodies] == ["text"]
    assert parsed.problems == ("a part names its type twice; the first counts",)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\r\n",
        b"\n\n\n",
        b"\x00" * 100,
        b"\xff" * 100,
        b":\r\n\r\n",
        b"Content-Type: multipart/mixed\r\n\r\nx",
        b"Content-Type: multipart/mixed; boundary=\r\n\r\nx",
        b'Content-Type: multipart/mixed; boundary="\r\n\r\nx',
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b--",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n--b\r\n--b--",
        b"Content-Type: multipart/\r\n\r\nx",
        b"Content-Type: /\r\nContent-Transfer-Encoding: \xff\r\n\r\nx",
        b"Content-Type: text/plain; charset\r\n\r\nx",
        b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nx",
        "Content-Type: multipart/mixed; boundary=\u00e9\r\n\r\n--\u00e9\r\n\r\nx\r\n--\u00e9--".encode(),
    ],
)
def test_rubbish_is_never_an_exception(content: bytes) -> None:
    parsed = parse(content)
    for attachment in parsed.attachments:
        assert attachment.size_bytes >= 0
