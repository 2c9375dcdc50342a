"""Attachments made to exhaust, hang or take over whoever reads them. The worker goes on and says what was not read."""

from __future__ import annotations

import gzip
import time
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO

import pytest

from archive.extracted_text import ExtractedText, Extraction, Unreadable
from archive.text_extraction import TextExtractor


@pytest.fixture(scope="module")
def extractor() -> Iterator[TextExtractor]:
    with TextExtractor(answer_seconds=60) as warm:
        yield warm


def answer(extractor: TextExtractor, content: bytes, content_type: str = "x/y") -> Extraction:
    found = extractor.extract(content, content_type=content_type, file_name="")
    alive = extractor.extract(b"still here", content_type="text/plain", file_name="")
    assert alive == ExtractedText("still here")
    return found


def office(**entries: bytes) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


def pdf_of(stream: bytes, extra: bytes = b"") -> bytes:
    head = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    page = b"3 0 obj<</Type/Page/Parent 2 0 R/Contents 4 0 R" + extra + b">>endobj\n"
    content = b"4 0 obj<</Filter/FlateDecode/Length %d>>stream\n%b\nendstream endobj\n" % (len(stream), stream)
    return head + page + content + b"trailer<</Root 1 0 R>>\n%%EOF"


def test_a_zip_bomb_in_an_office_document_is_named(extractor: TextExtractor) -> None:
    assert answer(extractor, office(**{"word/document.xml": b" " * 40_000_000})) == Unreadable("bomb")
    assert answer(extractor, office(**{f"word/header{n}.xml": b"" for n in range(6_000)})) == Unreadable("bomb")


def test_a_zip_that_lies_about_its_sizes_is_refused(extractor: TextExtractor) -> None:
    content = bytearray(office(**{"word/document.xml": b"<a>" + b"x" * 100_000 + b"</a>"}))
    directory = content.rfind(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = (10).to_bytes(4, "little")
    found = answer(extractor, bytes(content))
    assert isinstance(found, Unreadable)


def test_xml_entities_do_not_expand_nor_read_files(extractor: TextExtractor) -> None:
    laughs = b'<!DOCTYPE a [<!ENTITY b "ha">' + b"".join(
        b'<!ENTITY b%d "&b%d;&b%d;&b%d;&b%d;">' % (n + 1, n, n, n, n) for n in range(1, 20)
    )
    for dtd in (laughs + b"]>", b'<!DOCTYPE a [<!ENTITY b20 SYSTEM "file:///etc/passwd">]>'):
        found = answer(extractor, office(**{"word/document.xml": dtd + b"<a>&b20;</a>"}))
        assert found == Unreadable("damaged")


def test_a_gzip_bomb_is_not_unpacked(extractor: TextExtractor) -> None:
    assert answer(extractor, gzip.compress(bytes(50_000_000)), "application/gzip") == Unreadable("packed")


def test_a_pdf_stream_bomb_ends_within_its_bounds(extractor: TextExtractor) -> None:
    bomb = zlib.compress(zlib.compress(bytes(900_000_000), 9), 9)
    began = time.monotonic()
    found = answer(extractor, pdf_of(bomb).replace(b"/FlateDecode", b"[/FlateDecode/FlateDecode]"), "application/pdf")
    assert isinstance(found, Unreadable)
    assert time.monotonic() - began < 60


def test_pdf_pages_that_contain_themselves_end(extractor: TextExtractor) -> None:
    looping = pdf_of(zlib.compress(b"")).replace(b"/Kids[3 0 R]", b"/Kids[2 0 R]")
    assert isinstance(answer(extractor, looping, "application/pdf"), Unreadable)


def test_ten_thousand_nested_elements_and_messages_end(extractor: TextExtractor) -> None:
    began = time.monotonic()
    answer(extractor, b"<div>" * 60_000 + b"deep", "text/html")
    answer(extractor, office(**{"word/document.xml": b"<a>" * 100_000 + b"deep"}))
    message = b"deep"
    for _ in range(200):
        message = b"Content-Type: message/rfc822\r\n\r\n" + message
    answer(extractor, message, "message/rfc822")
    assert time.monotonic() - began < 60


def test_a_child_that_hangs_is_killed_and_replaced() -> None:
    with TextExtractor(answer_seconds=0.001) as impatient:
        began = time.monotonic()
        found = impatient.extract(b"<p>x</p>" * 400_000, content_type="text/html", file_name="")
        assert found == Unreadable("timeout")
        assert time.monotonic() - began < 30
        impatient._answer_seconds = 60
        assert isinstance(answer(impatient, b"<p>next</p>", "text/html"), ExtractedText), (
            "the next one has no part in it"
        )


def test_a_million_pieces_of_text_are_cut_and_said_to_be(extractor: TextExtractor) -> None:
    found = answer(extractor, b"ab " * 1_500_000, "text/plain")
    assert isinstance(found, ExtractedText)
    assert not found.is_whole
