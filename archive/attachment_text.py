"""What text one attachment holds, whatever its sender called it. Runs only in the limited child process."""

from __future__ import annotations

import codecs
import logging
import re
from collections.abc import Iterator
from io import BytesIO

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from archive.extracted_text import ExtractedText, Extraction, Unreadable
from archive.html_text import decoded_html, html_text
from archive.office_text import OfficeTextError, office_text
from mailstore.encoded_words import text_of
from mailstore.message_parts import Attachment, ParsedMessage, parse

MOST_CHARACTERS = 2_000_000
MOST_PAGES = 5_000
MOST_NESTED = 5
"""Messages in messages that are opened, one in the other."""

_SNIFFED_BYTES = 1_024
_PDF_MARK = b"%PDF-"

_NO_TEXT_TYPES = re.compile(
    r"(image|audio|video|font|model)/.*"
    r"|application/(pkcs7-signature|x-pkcs7-signature|pgp-signature|pgp-keys|pkix-cert)",
)
_ENCRYPTED_TYPES = re.compile(r"application/(x-)?pkcs7-mime|application/pgp-encrypted")
_TEXT_TYPES = re.compile(
    r"text/.*|application/(.*\+)?(json|xml|yaml|x-yaml|toml|sql|javascript|x-ndjson)|message/(?!rfc822).*",
)
_MESSAGE_TYPES = ("message/rfc822", "message/global")
_HTML_TYPES = ("text/html", "application/xhtml+xml")
# Pictures, sound, film and fonts by their first bytes: PNG (ISO/IEC 15948), JPEG (ISO/IEC 10918), GIF, MP3 with its
# tag or its first frame (ISO/IEC 11172-3), MP4 (ISO/IEC 14496-12), WAV and WebP (RIFF), OpenType and WOFF.
_MEDIA = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|ID3[\x02-\x04]|\xff[\xf2\xf3\xfa\xfb][\x10-\xeb]"
    rb"|.{4}ftyp|RIFF.{4}(WAVE|WEBP)|(\x00\x01\x00\x00|OTTO)\x00[\x01-\x40]|ttcf\x00[\x01\x02]\x00\x00|wOF[F2]",
    re.DOTALL,
)
_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!", b"\x28\xb5\x2f\xfd")
_OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NOT_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def text_in(content: bytes, *, content_type: str, file_name: str, charset: str = "", nested: int = 0) -> Extraction:
    """The text of an attachment. What the bytes are counts for more than what they are called."""
    found = _read(content, content_type, file_name.lower(), charset, nested)
    if isinstance(found, ExtractedText) and len(found.text) > MOST_CHARACTERS:
        return ExtractedText(found.text[:MOST_CHARACTERS], is_whole=False)
    return found


def _read(content: bytes, content_type: str, file_name: str, charset: str, nested: int) -> Extraction:
    if _is_pdf(content, content_type, file_name):
        return _pdf(content)
    if content.startswith(b"PK\x03\x04"):
        return _office(content)
    if reason := _known_unreadable(content, content_type):
        return Unreadable(reason)
    if content_type in _MESSAGE_TYPES or file_name.endswith(".eml"):
        return _message(content, nested)
    if content_type in _HTML_TYPES or file_name.endswith((".html", ".htm", ".xhtml", ".svg")):
        return ExtractedText(html_text(decoded_html(content, charset)))
    return _plain(content, content_type, charset)


def _is_pdf(content: bytes, content_type: str, file_name: str) -> bool:
    """PDF by its mark, which real files called PDF also carry a little later (ISO 32000-1 annex H.3.4.1)."""
    head = content[:_SNIFFED_BYTES]
    is_called_so = content_type == "application/pdf" or file_name.endswith(".pdf")
    return head.lstrip().startswith(_PDF_MARK) or (is_called_so and _PDF_MARK in head)


def _known_unreadable(content: bytes, content_type: str) -> str:
    if _ENCRYPTED_TYPES.fullmatch(content_type) or content.startswith(b"-----BEGIN PGP MESSAGE"):
        return "encrypted"
    if content.startswith(_OLD_OFFICE):
        return "old-office"
    if content.startswith(b"{\\rtf"):
        return "rtf"
    return "packed" if content.startswith(_PACKED) else ""


def _plain(content: bytes, content_type: str, charset: str) -> Extraction:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return ExtractedText(content.decode(encoding, "replace"))
    if _TEXT_TYPES.fullmatch(content_type) or not _NOT_TEXT.search(content):
        return ExtractedText(text_of(content, charset))
    if _NO_TEXT_TYPES.fullmatch(content_type) or _MEDIA.match(content):
        return ExtractedText("")
    return Unreadable("unknown-kind")


def _office(content: bytes) -> Extraction:
    try:
        text, is_whole = office_text(content)
    except OfficeTextError as error:
        return Unreadable(str(error))
    return ExtractedText(text, is_whole)


def _pdf(content: bytes) -> Extraction:
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = PdfReader(BytesIO(content))
        if reader.is_encrypted and not reader.decrypt(""):
            return Unreadable("encrypted")
        text = "\n".join(_pages(reader))
        is_whole = len(reader.pages) <= MOST_PAGES and not reader.attachments
    except (PyPdfError, ValueError, TypeError, KeyError, AttributeError, IndexError, OSError, NotImplementedError):
        return Unreadable("damaged")
    return ExtractedText(text, is_whole) if text.strip() else Unreadable("no-text-layer")


def _pages(reader: PdfReader) -> Iterator[str]:
    characters = 0
    for number, page in enumerate(reader.pages):
        if number >= MOST_PAGES or characters > MOST_CHARACTERS:
            return
        text = page.extract_text()
        characters += len(text)
        yield text


def _message(content: bytes, nested: int) -> Extraction:
    """A forwarded message: who, about what, its texts, and the texts of what was attached to it."""
    if nested >= MOST_NESTED:
        return Unreadable("nested-too-deep")
    message = parse(content)
    parts = [_part(attachment, nested) for attachment in message.attachments]
    read = [part for part in parts if isinstance(part, ExtractedText)]
    names = [attachment.file_name for attachment in message.attachments]
    text = "\n".join([*_headers(message), *_bodies(message), *names, *(part.text for part in read)])
    return ExtractedText(
        text, is_whole=len(read) == len(parts) and all(p.is_whole for p in read) and not message.losses
    )


def _part(attachment: Attachment, nested: int) -> Extraction:
    return text_in(
        attachment.content,
        content_type=attachment.content_type,
        file_name=attachment.file_name,
        nested=nested + 1,
    )


def _headers(message: ParsedMessage) -> Iterator[str]:
    for name in ("from", "to", "cc", "subject", "date"):
        yield message.headers.text(name)


def _bodies(message: ParsedMessage) -> Iterator[str]:
    for body in message.bodies:
        yield html_text(body.text) if body.kind == "html" else body.text
