"""Core: the header fields and body parts that delivery reports are made of.

Built byte by byte, not by a general mail library: what strangers supplied (addresses, replies of their
servers) can never fold, end or open a header field here, because every field passes ``header_field``.
"""

from __future__ import annotations

import base64
import quopri
import re
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

CRLF = b"\r\n"
LONGEST_LINE_BYTES = 998
"""RFC 5322 section 2.1.1, without the CRLF."""

ENCODED_WORD_BYTES = 42
"""UTF-8 bytes in one encoded word: 56 characters of base64, under the 75 of RFC 2047 section 2."""

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@dataclass(frozen=True)
class MailPart:
    """One body part: its header fields, without the transfer encoding, and its encoded bytes."""

    fields: bytes
    body: bytes

    def __bytes__(self) -> bytes:
        return self.fields + CRLF + self.body


def one_line(text: str, *, limit: int = 500) -> str:
    """``text`` as one line of at most ``limit`` characters; what is not printable becomes a space."""
    return UNPRINTABLE.sub(" ", text).strip()[:limit]


def printable_ascii(text: str, *, limit: int = 500) -> str:
    """``text`` as one line of printable ASCII, for machine-read fields; anything else becomes ``?``."""
    return one_line(text, limit=limit).encode("ascii", "replace").decode("ascii")


def header_field(name: str, value: str) -> bytes:
    """One header field ending in CRLF. Text beyond ASCII becomes encoded words (RFC 2047 section 2)."""
    clean = one_line(value, limit=LONGEST_LINE_BYTES - len(name) - 2)
    if clean.isascii():
        return f"{name}: {clean}\r\n".encode("ascii")
    return f"{name}: {encoded_words(clean)}\r\n".encode("ascii")


def encoded_words(text: str) -> str:
    """``text`` as folded encoded words; no character is split between two words (RFC 2047 section 5)."""
    words, chunk = [], b""
    for character in text:
        encoded = character.encode("utf-8", "replace")
        if len(chunk) + len(encoded) > ENCODED_WORD_BYTES:
            words.append(chunk)
            chunk = b""
        chunk += encoded
    words.append(chunk)
    return "\r\n ".join(f"=?utf-8?b?{base64.b64encode(word).decode('ascii')}?=" for word in words)


def mailbox_field(name: str, display_name: str, address: str) -> bytes:
    """A field holding one mailbox, ``"Display Name" <address>`` (RFC 5322 section 3.4).

    An address beyond ASCII is written as UTF-8 (RFC 6532 section 3.2).
    """
    phrase = one_line(display_name, limit=200)
    angle = f"<{one_line(address, limit=320)}>"
    if not phrase:
        return f"{name}: {angle}\r\n".encode()
    if not phrase.isascii():
        return f"{name}: {encoded_words(phrase)}\r\n {angle}\r\n".encode()
    quoted = phrase.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name}: "{quoted}" {angle}\r\n'.encode()


def date_field(now: datetime) -> bytes:
    """The origination date (RFC 5322 section 3.6.1)."""
    return header_field("Date", format_datetime(now))


def text_part(text: str, *, content_type: str = "text/plain") -> MailPart:
    """A readable part in UTF-8, quoted-printable, so that no line is too long for any server on the way."""
    lines = text.replace("\r\n", "\n")
    body = quopri.encodestring(lines.encode("utf-8", "replace")).replace(b"\n", CRLF)
    fields = header_field("Content-Type", f"{content_type}; charset=utf-8")
    return MailPart(fields + header_field("Content-Transfer-Encoding", "quoted-printable"), body)


def multipart(subtype: str, parts: tuple[MailPart, ...], *, boundary: str) -> MailPart:
    """A multipart body (RFC 2046 section 5.1); ``boundary`` is random and must occur in no part."""
    quoted = boundary.encode("ascii")
    if any(quoted in part.body for part in parts):
        raise ValueError("the boundary occurs in a part")
    joined = b"".join(b"--" + quoted + CRLF + bytes(part) + CRLF for part in parts)
    fields = f'Content-Type: multipart/{subtype}; boundary="{boundary}"\r\n'.encode("ascii")
    return MailPart(fields, joined + b"--" + quoted + b"--" + CRLF)
