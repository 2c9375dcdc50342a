"""Ways to write a message so that a search, a hold or a rule would overlook it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from archive.document_reading import read_document
from archive.index_document import IndexDocument
from archive.search_query import matches, parse
from archive.text_extraction import TextExtractor
from mailstore.addresses import parse_mailbox
from mailstore.message import Envelope, MessageId

HEAD = b"From: a@elsewhere.example\r\nMIME-Version: 1.0\r\n"


@pytest.fixture(scope="module")
def extractor() -> Iterator[TextExtractor]:
    with TextExtractor() as warm:
        yield warm


def read(extractor: TextExtractor, content: bytes, *recipients: str) -> IndexDocument:
    return read_document(
        content,
        message=MessageId("a" * 26),
        received_at=datetime(2026, 1, 1, tzinfo=UTC),
        envelope=Envelope(None, tuple(map(parse_mailbox, recipients))),
        extractor=extractor,
    ).document


@pytest.mark.parametrize(
    "content",
    [
        "Content-Type: text/plain; charset=utf-8\r\n\r\nDIABETES",
        "Content-Type: text/plain; charset=utf-8\r\n\r\ndia\u00adbetes",
        "Content-Type: text/plain; charset=utf-8\r\n\r\ndia\u200bbe\u2060tes",
        "Content-Type: text/plain; charset=utf-8\r\n\r\n\U0001d41d\U0001d422\U0001d41abetes",
        "Content-Type: text/html; charset=utf-8\r\n\r\n<i>d</i>iabe<!-- x -->t<span>es</span>",
        "Content-Type: text/html; charset=utf-8\r\n\r\ndiab&#101;tes &shy;",
        "Content-Type: text/html; charset=utf-8\r\n\r\ndia&shy;bet<wbr>es",
        "Content-Type: text/html; charset=utf-8\r\n\r\n<img src=x alt=diabetes>",
        "Content-Type: text/html; charset=utf-8\r\n\r\n<div style='display:none'>diabetes</div>",
        "Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\nZGlhYmV0ZXM=",
        "Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\ndia=\r\nbetes",
        "Subject: hello\r\nSubject: diabetes\r\n\r\nx",
        "Subject: =?utf-8?q?dia?= =?utf-8?q?betes?=\r\n\r\nx",
        "Content-Type: application/octet-stream; name=x.bin\r\n\r\ndiabetes",
        "Content-Type: image/jpeg; name=x.jpg\r\n\r\ndiabetes",
        "Content-Type: text/plain\r\nContent-Disposition: attachment; filename*=utf-8''diab%65tes.txt\r\n\r\nx",
    ],
)
def test_a_word_cannot_be_dressed_up(extractor: TextExtractor, content: str) -> None:
    assert matches(parse("diabetes"), read(extractor, HEAD + content.encode()))


@pytest.mark.parametrize(
    ("header", "query"),
    [
        (b"To: undisclosed:;", "bcc:pat@mail.example"),
        (b"To: PAT@MAIL.EXAMPLE", "to:pat@mail.example"),
        (b"To: x@y.example\r\nTo: pat@mail.example", "to:pat@mail.example"),
        (b"To: x@y.example", "participant:pat@mail.example"),
        (b'To: "x@y.example" <pat@mail.example>', "to:pat@mail.example"),
        (b"Reply-To: pat@mail.example", "participant:pat@mail.example"),
        (b"Resent-To: pat@mail.example", "participant:pat@mail.example"),
    ],
)
def test_a_participant_cannot_hide(extractor: TextExtractor, header: bytes, query: str) -> None:
    assert matches(parse(query), read(extractor, HEAD + header + b"\r\n\r\nx", "Pat@Mail.example"))


def test_an_address_within_another_is_not_mistaken_for_it(extractor: TextExtractor) -> None:
    found = read(extractor, HEAD + b"To: not.pat@mail.example.elsewhere\r\n\r\nx")
    assert not matches(parse("to:pat@mail.example"), found)
    assert not matches(parse("participant:pat@mail.example"), found)
