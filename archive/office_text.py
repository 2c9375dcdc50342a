"""The words of office documents: OOXML (ECMA-376) and OpenDocument (ISO/IEC 26300), which are XML in a zip file.

One walk serves both: it keeps every text, and ends a word where a paragraph, a cell or a line ends. Entries and
sizes are counted while unpacking, whatever the zip directory claims. Given only to the limited child process.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from io import BytesIO
from typing import Any
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import XMLParser

MOST_ENTRIES = 5_000
MOST_ENTRY_BYTES = 32 * 1024 * 1024
MOST_BYTES = 64 * 1024 * 1024
MOST_RATIO = 200
"""A text entry that packs better than this, and is not small, is a bomb and not a letter."""

_SMALL_BYTES = 1024 * 1024

_TEXT_ENTRIES = re.compile(
    r"word/(document|header\d*|footer\d*|footnotes|endnotes|comments|glossary/document)\.xml"
    r"|xl/(sharedStrings|worksheets/sheet\d+|comments\d*|threadedComments/[^/]+)\.xml"
    r"|ppt/(slides|notesSlides|comments|diagrams)/[^/]+\.xml"
    r"|docProps/(core|app|custom)\.xml|content\.xml|styles\.xml|meta\.xml",
)
_EMBEDDED = re.compile(r"(word|xl|ppt)/embeddings/|Object \d+/content\.xml|ObjectReplacements/")
_ENDING_A_WORD = (
    "p h si c row tr tc table-cell br cr line-break tab s noBreakHyphen comment text "
    "title subject creator description keywords keyword category lastModifiedBy initial-creator user-defined "
    "Company Manager lpwstr"
)
_BREAKS = frozenset(_ENDING_A_WORD.split())
"""Local names of elements that end a word; runs and spans do not, so that a word with one bold letter stays one."""

_SHARED_STRING = "s"


class OfficeTextError(Exception):
    """The document gives no text; the message is one plain word for why."""


class _Walk:
    """Collects the text of one XML document; what defusedxml's parser reports to."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._is_number_of_string = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins. The value of a cell of shared strings is only a number into their table."""
        name = _local(tag)
        if name in _BREAKS:
            self.pieces.append("\n")
        if name == "c":
            self._is_number_of_string = attributes.get("t") == _SHARED_STRING

    def end(self, tag: str) -> None:
        """An element ends."""
        name = _local(tag)
        if name in _BREAKS:
            self.pieces.append("\n")
        if name == "c":
            self._is_number_of_string = False

    def data(self, text: str) -> None:
        """A stretch of text."""
        if not self._is_number_of_string:
            self.pieces.append(text)

    def close(self) -> str:
        """All of it."""
        return "".join(self.pieces)


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def is_office(archive: zipfile.ZipFile) -> bool:
    """True for a package of OOXML or OpenDocument."""
    names = set(archive.namelist())
    return "[Content_Types].xml" in names or ("mimetype" in names and "content.xml" in names)


def has_embedded(archive: zipfile.ZipFile) -> bool:
    """True when other documents lie in this one; their text is not read."""
    return any(_EMBEDDED.match(name) for name in archive.namelist())


def office_text(content: bytes) -> tuple[str, bool]:
    """The text of a document, and whether it is all of it. Raises ``OfficeTextError``."""
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            if len(archive.infolist()) > MOST_ENTRIES:
                raise OfficeTextError("bomb")
            if not is_office(archive):
                raise OfficeTextError("packed")
            return "\n".join(_texts(archive)), not has_embedded(archive)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError, OSError, ValueError):
        raise OfficeTextError("damaged") from None
    except (ParseError, DefusedXmlException):
        raise OfficeTextError("damaged") from None


def _texts(archive: zipfile.ZipFile) -> Iterator[str]:
    room = MOST_BYTES
    for entry in archive.infolist():
        if not _TEXT_ENTRIES.fullmatch(entry.filename):
            continue
        if entry.flag_bits & 1:
            raise OfficeTextError("encrypted")
        data = _unpacked(archive, entry, min(room, MOST_ENTRY_BYTES))
        room -= len(data)
        yield _xml_text(data)


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, room: int) -> bytes:
    with archive.open(entry) as stream:
        data = stream.read(room + 1)
    if len(data) > room or (len(data) > _SMALL_BYTES and len(data) > MOST_RATIO * max(entry.compress_size, 1)):
        raise OfficeTextError("bomb")
    return data


def _xml_text(data: bytes) -> str:
    parser: Any = XMLParser(target=_Walk(), forbid_dtd=True)
    parser.feed(data)
    text: str = parser.close()
    return text
