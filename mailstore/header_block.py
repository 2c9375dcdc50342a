"""Core: the header block of a message or part: its fields in order, read in one bounded, linear pass.

The bytes stay as they came. Reading is tolerant (RFC 5322 section 4, obsolete syntax; bare LF in stored mail of
other systems), but whoever decides something by a field can ask whether the block was whole and the field single.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from mailstore.addresses import HeaderAddress, header_addresses
from mailstore.encoded_words import decode_words, header_text, text_of, unfolded

MAX_BLOCK_BYTES = 524_288
MAX_FIELDS = 2_000
MAX_FIELD_BYTES = 65_536
"""What is read of a header block. Real mail measured over 100,000 messages stays under 64 KiB and 300 fields."""

MAX_PARAMETERS = 100
MAX_PARAMETER_TEXT = 16_384
"""What is read of the parameters of one Content-Type or Content-Disposition."""

_FIELD = re.compile(rb"^([!-9;-~]++)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)", re.MULTILINE)
_PARAMETER = re.compile(r';[ \t]*+([^\s=;"]{1,80}+)[ \t]*+=[ \t]*+(?:"((?:[^"\\]|\\.)*+)"|([^;]*+))', re.DOTALL)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_SEGMENT = re.compile(r"([^*]+)\*(?:(\d{1,2})(\*?))?\Z")
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_MESSAGE_ID = re.compile(r"<[^<>\s]{1,250}>")


class HeaderField(NamedTuple):
    """One field: its name in lower case and its value as bytes, folding kept."""

    name: str
    value: bytes

    def __repr__(self) -> str:
        return f"HeaderField({self.name!r})"


@dataclass(frozen=True)
class HeaderBlock:
    """The fields of a header block, in order. ``is_whole`` is False when a limit cut it or a line was no field."""

    fields: tuple[HeaderField, ...]
    is_whole: bool
    size_bytes: int

    def values(self, name: str) -> tuple[bytes, ...]:
        """The raw values of every field of this name (lower case), in order."""
        return tuple(found.value for found in self.fields if found.name == name)

    def count(self, name: str) -> int:
        """How many fields have this name (lower case)."""
        return sum(1 for found in self.fields if found.name == name)

    def raw(self, name: str) -> str:
        """The first field of this name, unfolded but not decoded; empty when there is none."""
        for found in self.fields:
            if found.name == name:
                return unfolded(found.value)
        return ""

    def text(self, name: str) -> str:
        """The first field of this name as people read it: unfolded, encoded words decoded."""
        return header_text(self.raw(name))

    def addresses(self, name: str) -> tuple[HeaderAddress, ...]:
        """The entries of every address field of this name."""
        return tuple(entry for value in self.values(name) for entry in header_addresses(unfolded(value)))

    def message_ids(self, name: str) -> tuple[str, ...]:
        """The ``<left@right>`` identifiers of a field (RFC 5322 section 3.6.4), in order, each once, at most 100."""
        return tuple(dict.fromkeys(_MESSAGE_ID.findall(self.raw(name))))[:100]


def headers_of(content: bytes, start: int = 0, end: int | None = None) -> HeaderBlock:
    """The header block that begins at ``start``. Never raises; costs time in proportion to the block at most."""
    stop = len(content) if end is None else end
    after = _block_end(content, start, stop)
    block = content[start : min(after, start + MAX_BLOCK_BYTES)]
    found = _FIELD.findall(block)
    fields = tuple(
        HeaderField(name.decode("ascii").lower(), value[:MAX_FIELD_BYTES].strip()) for name, value in found[:MAX_FIELDS]
    )
    is_whole = (
        len(block) == after - start
        and len(found) == _lines_that_begin_a_field(block) == len(fields)
        and (len(block) <= MAX_FIELD_BYTES or all(len(value) <= MAX_FIELD_BYTES for _, value in found))
    )
    return HeaderBlock(fields, is_whole=is_whole, size_bytes=after - start)


def _lines_that_begin_a_field(block: bytes) -> int:
    """Lines that are no continuation; a block whose every such line is a field was read without loss."""
    lines = block.count(b"\n") + (bool(block) and not block.endswith(b"\n"))
    return lines - block.count(b"\n ") - block.count(b"\n\t")


def _block_end(content: bytes, start: int, stop: int) -> int:
    """Where the empty line that ends the block begins, or ``stop``."""
    if content.startswith((b"\r\n", b"\n"), start, stop):
        return start
    crlf = content.find(b"\n\r\n", start, stop)
    bare = content.find(b"\n\n", start, stop if crlf < 0 else crlf)
    ends = [found + 1 for found in (crlf, bare) if found >= 0]
    return min(ends, default=stop)


def body_start(content: bytes, block: HeaderBlock, start: int = 0) -> int:
    """Where the body begins behind a block that was read from ``start``."""
    end = start + block.size_bytes
    for gap in (b"\r\n", b"\n"):
        if content.startswith(gap, end):
            return end + len(gap)
    return end


@dataclass(frozen=True)
class Parametrised:
    """A value with parameters, as in Content-Type (RFC 2045 section 5.1). Names and the value are lower case."""

    value: str
    parameters: dict[str, str] = field(repr=False)


def parametrised(raw: str) -> Parametrised:
    """A Content-Type or Content-Disposition taken apart, RFC 2231 continuations and charsets included. Bounded."""
    text = raw[:MAX_PARAMETER_TEXT]
    value = text.partition(";")[0].partition("(")[0]  # RFC 2045 section 5.1: comments may stand there
    plain: dict[str, str] = {}
    segments: dict[str, dict[int, tuple[str, bool]]] = {}
    for count, match in enumerate(_PARAMETER.finditer(text)):
        if count >= MAX_PARAMETERS:
            break
        name = match[1].lower()
        written = match[3].strip() if match[2] is None else _QUOTED_PAIR.sub(r"\1", match[2])
        segment = _SEGMENT.match(name)
        if segment is None:
            plain.setdefault(name, decode_words(written))
        else:
            is_encoded = segment[2] is None or bool(segment[3])
            segments.setdefault(segment[1], {}).setdefault(int(segment[2] or 0), (written, is_encoded))
    extended = {name: _joined(found) for name, found in segments.items()}
    return Parametrised(value.strip().lower(), {**plain, **extended})


def _joined(segments: dict[int, tuple[str, bool]]) -> str:
    """The segments of one RFC 2231 parameter put together (section 4.1); a missing number ends it."""
    charset = "utf-8"
    octets = b""
    for number in range(len(segments)):
        if number not in segments:
            break
        written, is_encoded = segments[number]
        if is_encoded and number == 0 and written.count("'") >= 2:  # noqa: PLR2004 - charset'language'text
            charset, _, written = written.split("'", 2)
        raw = written.encode("utf-8", "replace")
        octets += _PERCENT.sub(lambda match: bytes([int(match[1], 16)]), raw) if is_encoded else raw
    return text_of(octets, charset)
