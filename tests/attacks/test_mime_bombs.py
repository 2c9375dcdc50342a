"""MIME bombs: a hostile message costs at most 2 s of CPU and 256 MB, says what could not be read, and stays whole."""

from __future__ import annotations

import base64
import time
import tracemalloc

import pytest

from mailstore.addresses import header_addresses
from mailstore.header_block import MAX_FIELDS, headers_of
from mailstore.message_parts import LIMITS, ParsedMessage, parse

MAX_CPU_SECONDS = 2.0
MAX_MEMORY_BYTES = 256 * 1024 * 1024


def nested(depth: int) -> bytes:
    opening = b"".join(
        b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (level, level) for level in range(depth)
    )
    closing = b"".join(b"\r\n--b%d--\r\n" % level for level in reversed(range(depth)))
    return b"Subject: deep\r\n" + opening + b"Content-Type: text/plain\r\n\r\ncore\r\n" + closing


def nested_in_one_boundary(depth: int) -> bytes:
    return b'Content-Type: multipart/mixed; boundary="same"\r\n\r\n--same\r\n' * depth


def wide(parts: int) -> bytes:
    return (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        + b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n" * parts
        + b"--b--\r\n"
    )


def wide_and_deep() -> bytes:
    level = b"x"
    for number in range(18):
        mark = b"m%d" % number
        level = b"Content-Type: multipart/mixed; boundary=%s\r\n\r\n" % mark + (
            (b"--%s\r\n" % mark) + level + b"\r\n" if number % 2 else (b"--%s\r\n" % mark + level + b"\r\n") * 2
        )
    return level


BOMBS: dict[str, bytes] = {
    "nested parts": nested(10_000),
    "nested parts under one boundary": nested_in_one_boundary(10_000),
    "wide": wide(100_000),
    "wide and deep": wide_and_deep(),
    "million header fields": b"X: y\r\n" * 1_000_000 + b"\r\nx",
    "one endless header field": b"Subject: " + b"a" * 20_000_000 + b"\r\n\r\nx",
    "endless folded header field": b"Subject: a\r\n" + b" b\r\n" * 3_000_000 + b"\r\nx",
    "header lines without a colon": b"x" * 70 + (b"\r\n" + b"y" * 200) * 50_000 + b"\r\n\r\nx",
    "headers without an end": b"X-Y: z\r\n" * 2_000_000,
    "content type with parameters": b"Content-Type: text/plain" + b"; a=b" * 2_800 + b"\r\n\r\nx",
    "content type of quotes": b'Content-Type: text/plain; x="' + b'\\"' * 7_000 + b"\r\n\r\nx",
    "content type of half quotes": b"Content-Type: text/plain" + b';a="\\' * 3_500 + b"\r\n\r\nx",
    "content type of spaces": b"Content-Type: text/plain;" + b" " * 14_000 + b"=\r\n\r\nx",
    "content type of comments": b"Content-Type: " + b"(" * 14_000 + b"\r\n\r\nx",
    "continued parameters": b"Content-Type: text/plain"
    + b"".join(b"; name*%d*=%%41" % number for number in range(3_000))
    + b"\r\n\r\nx",
    "boundary that nearly occurs": b"Content-Type: multipart/mixed; boundary="
    + b"a" * 900
    + b"\r\n\r\n"
    + (b"--" + b"a" * 899 + b"\r\n") * 20_000,
    "delimiters with trailing text": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--bx\r\n" * 2_000_000,
    "delimiters in one line": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b" * 5_000_000,
    "encoded words": b"Subject: " + b"=?utf-8?b?YQ==?= " * 100_000 + b"\r\n\r\nx",
    "open encoded words": b"Subject: " + b"=?utf-8?q?" * 100_000 + b"\r\n\r\nx",
    "brackets": b"To: " + b"<" * 60_000 + b"\r\nCc: " + b"(" * 60_000 + b'\r\nFrom: "' + b"\\" * 60_000 + b"\r\n\r\nx",
    "addresses": b"To: " + b"a@b.example," * 1_000_000 + b"\r\n\r\nx",
    "address fields": b"To: a@b.example, c@d.example\r\n" * 100_000 + b"\r\nx",
    "base64 rubbish": b"Content-Transfer-Encoding: base64\r\n\r\n" + b"=" * 20_000_000,
    "base64 one short": b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.b64encode(b"x" * 15_000_000) + b"A",
    "quoted printable": b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + b"=3D=\r\n" * 3_000_000,
    "seven bit utf": b"Content-Type: text/plain; charset=utf-7\r\n\r\n" + b"+AGE-" * 4_000_000,
    "shift states": b"Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n" + b"\x1b$B\x1b(B" * 3_000_000,
    "wide characters": b"Content-Type: text/plain; charset=utf-32\r\n\r\n" + b"\x00\x00\xfe\xff" * 5_000_000,
    "long text": b"\r\n" + b"a" * 33_000_000,
    "line ends": b"\r\n" + b"\r\n" * 16_000_000,
}


def looked_at(content: bytes) -> ParsedMessage:
    """Everything a page, the archive or a list asks of a message."""
    parsed = parse(content)
    parsed.headers.text("subject")
    for name in ("from", "to", "cc"):
        parsed.headers.addresses(name)
    parsed.headers.message_ids("references")
    for attachment in parsed.attachments:
        assert attachment.size_bytes == len(attachment.content)
    return parsed


@pytest.mark.parametrize("name", BOMBS)
def test_bomb_costs_little_and_is_read_as_far_as_it_can_be(name: str) -> None:
    started = time.process_time()
    parsed = looked_at(BOMBS[name])
    assert time.process_time() - started < MAX_CPU_SECONDS
    assert len(parsed.bodies) + len(parsed.attachments) <= LIMITS.parts


@pytest.mark.parametrize("name", ["wide", "million header fields", "long text", "wide characters", "addresses"])
def test_bomb_stays_within_its_memory(name: str) -> None:
    tracemalloc.start()
    try:
        looked_at(BOMBS[name])
        assert tracemalloc.get_traced_memory()[1] < MAX_MEMORY_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nested parts", "nested deeper than 20"),
        ("wide", "more than 1000 parts"),
        ("million header fields", "damaged or larger"),
        ("long text", "longer than is shown"),
        ("boundary that nearly occurs", "does not contain its boundary"),
    ],
)
def test_what_was_not_read_is_said(name: str, problem: str) -> None:
    assert any(problem in found for found in parse(BOMBS[name]).problems)


def test_the_parts_within_the_limits_are_all_there() -> None:
    parsed = parse(wide(999))
    assert len(parsed.bodies) == 999
    assert parsed.problems == ()
    assert len(parse(wide(5_000)).bodies) == LIMITS.parts - 1


def test_fields_beyond_the_limit_are_not_kept() -> None:
    block = headers_of(BOMBS["million header fields"])
    assert len(block.fields) == MAX_FIELDS
    assert not block.is_whole


def test_addresses_are_read_in_linear_time() -> None:
    started = time.process_time()
    for evil in (
        "<" * 65_536,
        "<>" * 32_000,
        '"' * 65_535,
        "(" * 65_536,
        '"\\' * 32_000,
        ":;" * 32_000,
        ",a@b" * 16_000,
    ):
        header_addresses(evil)
    assert time.process_time() - started < MAX_CPU_SECONDS
