from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from fpdf import FPDF

from archive.extracted_text import ExtractedText, Unreadable
from archive.text_extraction import MOST_CONTENT_BYTES, TextExtractor

WORD_XML = (
    '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>'
    "<w:p><w:r><w:rPr><w:b/></w:rPr><w:t>pota</w:t></w:r><w:r><w:t>ssium</w:t></w:r></w:p>"
    "<w:p><w:r><w:t>second</w:t></w:r><w:r><w:tab/><w:t>column</w:t></w:r></w:p></w:body></w:document>"
)
SHEET_XML = (
    '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData><row>'
    '<c t="s"><v>987</v></c><c><v>4.5</v></c><c t="inlineStr"><is><t>inline</t></is></c></row></sheetData></worksheet>'
)
STRINGS_XML = (
    '<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>sodium</t></si>'
    "<si><r><t>cal</t></r><r><t>cium</t></r></si></sst>"
)
ODT_XML = (
    '<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
    'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"><office:body><office:text>'
    "<text:p>glu<text:span>cose</text:span><text:s/>level</text:p><text:h>Heading</text:h>"
    "</office:text></office:body></office:document-content>"
)


def packed(**entries: str) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name.replace("__", "/").replace("_xml", ".xml"), content)
    return file.getvalue()


def docx(**more: str) -> bytes:
    return packed(**{"[Content_Types].xml": "<Types/>", "word/document.xml": WORD_XML} | more)


def pdf(text: str) -> bytes:
    document = FPDF()
    document.add_page()
    document.set_font("helvetica", size=12)
    if text:
        document.cell(text=text)
    return bytes(document.output())


@pytest.fixture(scope="module")
def extractor() -> Iterator[TextExtractor]:
    with TextExtractor() as warm:
        yield warm


def text_of(extractor: TextExtractor, content: bytes, content_type: str, name: str = "", charset: str = "") -> str:
    found = extractor.extract(content, content_type=content_type, file_name=name, charset=charset)
    assert isinstance(found, ExtractedText), found
    return " ".join(found.text.split())


def test_html_words_stay_whole_and_blocks_stay_apart(extractor: TextExtractor) -> None:
    html = (
        b"<title>Lab</title><style>hidden</style><p>po<b>tas</b>sium</p><p>next</p>one<br>two"
        b"<table><tr><td>a</td><td>b</td></tr></table><img alt='scan of knee'><script>code()</script>"
        b"<span style='display:none'>unseen</span>"
    )
    found = text_of(extractor, html, "text/html")
    assert found == "Lab potassium next one two a b unseen scan of knee"


@pytest.mark.parametrize(
    ("content", "content_type", "expected"),
    [
        (docx(), "application/octet-stream", "potassium second column"),
        (packed(**{"[Content_Types].xml": "", "xl/sharedStrings.xml": STRINGS_XML}), "x/y", "sodium calcium"),
        (packed(**{"[Content_Types].xml": "", "xl/worksheets/sheet1.xml": SHEET_XML}), "x/y", "4.5 inline"),
        (
            packed(mimetype="application/vnd.oasis.opendocument.text", content_xml=ODT_XML),
            "x/y",
            "glucose level Heading",
        ),
        (pdf("The knee is fine"), "application/octet-stream", "The knee is fine"),
        ("Käse".encode("utf-16"), "text/plain", "Käse"),
        ("Käse".encode(), "text/csv", "Käse"),
        ("Käse".encode("cp1252"), "text/plain", "Käse"),
        (b"plain words", "application/octet-stream", "plain words"),
        (b"words in a picture's clothes", "image/png", "words in a picture's clothes"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "image/png", ""),
        (b"he said %PDF-1.4 is old", "text/plain", "he said %PDF-1.4 is old"),
    ],
)
def test_text_is_found_whatever_the_sender_calls_it(
    extractor: TextExtractor, content: bytes, content_type: str, expected: str
) -> None:
    assert text_of(extractor, content, content_type) == expected


MEDIA = {
    "png": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
    "jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00",
    "gif": b"GIF89a\x01\x00\x01\x00",
    "mp3 with a tag": b"ID3\x03\x00\x00\x00\x00",
    "mp3 without": b"\xff\xfb\x90\x44\x00\x00",
    "mp4": b"\x00\x00\x00\x20ftypisom\x00\x00",
    "wav": b"RIFF\x24\x08\x00\x00WAVEfmt ",
    "truetype": b"\x00\x01\x00\x00\x00\x0f\x00\x80",
    "opentype": b"OTTO\x00\x0a\x00\x80",
    "woff2": b"wOF2\x00\x01\x00\x00",
}


@pytest.mark.parametrize("name", MEDIA)
def test_media_hold_no_text_whatever_they_are_called(extractor: TextExtractor, name: str) -> None:
    found = extractor.extract(MEDIA[name], content_type="application/octet-stream", file_name="data.bin")
    assert found == ExtractedText("")


def test_text_that_begins_like_a_picture_is_read(extractor: TextExtractor) -> None:
    assert text_of(extractor, b"GIF89a of the knee", "image/gif") == "GIF89a of the knee"


def test_a_forwarded_message_is_read_with_its_attachments(extractor: TextExtractor) -> None:
    inner = (
        b"From: Dr <dr@clinic.example>\r\nSubject: =?utf-8?q?Befund_K=C3=A4se?=\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: text/html\r\n\r\n<p>potas<b>sium</b>\r\n"
        b"--b\r\nContent-Disposition: attachment; filename=lab.txt\r\n\r\nsodium\r\n--b--\r\n"
    )
    found = text_of(extractor, inner, "message/rfc822")
    for words in ("dr@clinic.example", "Befund Käse", "potassium", "lab.txt", "sodium"):
        assert words in found


@pytest.mark.parametrize(
    ("content", "content_type", "reason"),
    [
        (packed(**{"letter.txt": "words"}), "application/zip", "packed"),
        (b"\x1f\x8b\x08\x00", "application/gzip", "packed"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1rest", "application/msword", "old-office"),
        (b"{\\rtf1 words}", "application/rtf", "rtf"),
        (b"-----BEGIN PGP MESSAGE-----", "application/octet-stream", "encrypted"),
        (b"0\x82", "application/pkcs7-mime", "encrypted"),
        (b"\x00\x01\x02", "application/octet-stream", "unknown-kind"),
        (b"%PDF-1.4 and nothing more", "application/pdf", "damaged"),
        (b"PK\x03\x04 and nothing more", "x/y", "damaged"),
        (pdf(""), "application/pdf", "no-text-layer"),
        (docx(**{"word/header1.xml": "<a><b></a>"}), "x/y", "damaged"),
    ],
)
def test_what_may_hold_text_and_gives_none_is_said(
    extractor: TextExtractor, content: bytes, content_type: str, reason: str
) -> None:
    assert extractor.extract(content, content_type=content_type, file_name="") == Unreadable(reason)


def test_a_document_with_others_in_it_is_not_wholly_read(extractor: TextExtractor) -> None:
    found = extractor.extract(docx(**{"word/embeddings/sheet.xlsx": "x"}), content_type="x/y", file_name="")
    assert isinstance(found, ExtractedText)
    assert not found.is_whole


def test_one_child_serves_many_and_another_follows_a_dead_one(extractor: TextExtractor) -> None:
    assert extractor._child
    before = extractor._child._process.pid
    text_of(extractor, b"a", "text/plain")
    assert extractor._child._process.pid == before
    os.kill(before, 9)
    os.waitid(os.P_PID, before, os.WEXITED | os.WNOWAIT)
    assert text_of(extractor, b"b", "text/plain") == "b"
    assert extractor._child._process.pid != before


def test_the_child_has_no_files_no_network_and_cannot_write(extractor: TextExtractor) -> None:
    text_of(extractor, b"a", "text/plain")
    assert extractor._child
    proc = Path("/proc") / str(extractor._child._process.pid)
    assert sorted(path.name for path in (proc / "fd").iterdir()) == ["0", "1", "2"]
    limits = {line[:26].strip(): line[26:].split()[:2] for line in (proc / "limits").read_text().splitlines()[1:]}
    assert limits["Max open files"] == ["3", "3"]
    assert limits["Max file size"] == ["0", "0"]
    assert limits["Max core file size"] == ["0", "0"]
    assert int(limits["Max address space"][0]) <= 1 << 30
    assert (proc / "environ").read_bytes() == b""


def test_what_is_larger_than_the_bound_is_not_even_sent(extractor: TextExtractor) -> None:
    found = extractor.extract(bytes(MOST_CONTENT_BYTES + 1), content_type="text/plain", file_name="")
    assert found == Unreadable("too-large")
