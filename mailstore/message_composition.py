"""Core: mail that we write ourselves: webmail, portal replies, notices and reports, as RFC 5322 bytes.

Every header field is built here from checked pieces. A control character in any of them is refused, not
repaired: whoever sends one tries to write header fields of their own.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache
from urllib.parse import quote

from mailstore.addresses import Address, canonical_domain, parse_mailbox
from mailstore.errors import LimitExceededError, RefusedError

MAX_LINE_OCTETS = 998
"""RFC 5322 section 2.1.1, without the CRLF."""

FOLD_AT = 76
"""Characters of a header line we write; RFC 5322 section 2.1.1 asks for at most 78."""

MAX_SUBJECT = 1_000
MAX_FILE_NAME = 255
MAX_HEADER_RECIPIENTS = 1_000
"""Bounds on what a person may type, in characters and addresses."""

ENCODED_WORD_OCTETS = 42
"""UTF-8 octets in one encoded word, so that it stays under the 75 characters of RFC 2047 section 2."""

_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+\-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+\-]{0,100}\Z")
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,900}>\Z")
_TOKEN_FILE_NAME = re.compile(r"[A-Za-z0-9 ._()+,=@'\-]{1,60}\Z")
_BCC_FIELD = re.compile(rb"^(?:resent-)?bcc[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*", re.IGNORECASE | re.MULTILINE)
_HELO_SAFE = re.compile(r"[^A-Za-z0-9.\-:\[\]_]")


class UnsafeHeaderError(RefusedError):
    """A piece of a header field holds a control character or has a form that could become another field."""

    code = "unsafe_header"


@dataclass(frozen=True)
class ComposedAttachment:
    """One file of a message that we write."""

    file_name: str = field(repr=False)
    content_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class ComposedMessage:
    """What an author wants to send. Blind copies are not here: they exist in the envelope only.

    ``automatic`` marks mail that nobody typed (RFC 3834 section 5), so that no vacation program answers it.
    """

    from_name: str = field(repr=False)
    from_address: Address
    to: tuple[Address, ...]
    subject: str = field(repr=False)
    text: str = field(repr=False)
    cc: tuple[Address, ...] = ()
    html: str | None = field(default=None, repr=False)
    attachments: tuple[ComposedAttachment, ...] = ()
    in_reply_to: str = ""
    references: tuple[str, ...] = ()
    automatic: bool = False


def new_message_id(randomness: bytes, domain: str) -> str:
    """A Message-ID (RFC 5322 3.6.4) that tells nothing: ``<random@domain>``, from 16 random bytes or more."""
    if len(randomness) < 16:  # noqa: PLR2004 - the sentence below says what the number is
        raise ValueError("a Message-ID takes at least 16 random bytes")
    return f"<{base64.b32encode(randomness).decode('ascii').rstrip('=').lower()}@{canonical_domain(domain)}>"


def compose(message: ComposedMessage, *, now: datetime, message_id: str) -> bytes:
    """The message as RFC 5322 bytes with CRLF line ends, MIME 1.0, nothing over 998 octets a line.

    Raises ``UnsafeHeaderError`` for control characters in names, subject, file names or ids,
    ``BadAddressError`` for an address that is none, and ``LimitExceededError`` for what fits into no field.
    """
    boundary = _boundary(message_id)
    body = _body_part(message, boundary + "a")
    if message.attachments:
        parts = (body, *(_attachment_part(attachment) for attachment in message.attachments))
        body = _multipart("mixed", boundary, parts)
    return b"".join(_headers(message, now=now, message_id=message_id)) + b"MIME-Version: 1.0\r\n" + body


def trace_field(*, helo: str, peer_address: str, by: str, protocol: str, now: datetime) -> bytes:
    """A ``Received:`` field (RFC 5321 section 4.4), CRLF included.

    ``protocol`` is one of RFC 3848: ESMTP, ESMTPS, ESMTPSA. There is no FOR clause: it would tell one
    recipient of another (RFC 5321 section 7.6). Mail that came in by a page has no FROM clause.
    """
    if not helo and not peer_address:
        return f"Received: by {by} with {protocol};\r\n\t{_written(now.replace(microsecond=0))}\r\n".encode("ascii")
    name = _HELO_SAFE.sub("?", helo)[:255] or "unknown"
    host = _HELO_SAFE.sub("?", peer_address)[:64] or "unknown"
    lines = f"Received: from {name} ([{host}])\r\n\tby {by} with {protocol};\r\n\t"
    return f"{lines}{_written(now.replace(microsecond=0))}\r\n".encode("ascii")


@lru_cache(maxsize=4)
def _written(second: datetime) -> str:
    """The date of a trace field: many messages come within one second."""
    return format_datetime(second)


def without_bcc(content: bytes) -> bytes:
    """The message as recipients may get it: no ``Bcc`` or ``Resent-Bcc`` fields (RFC 5322 section 3.6.3).

    What we store stays exact. Only what is relayed or shown to a recipient passes through here, because a
    user agent may hand us its Bcc field and every recipient would see it.
    """
    if content.startswith(b"\r\n"):
        return content
    end = content.find(b"\n\r\n")
    head, rest = (content, b"") if end < 0 else (content[: end + 1], content[end + 1 :])
    return _BCC_FIELD.sub(b"", head) + rest


def _headers(message: ComposedMessage, *, now: datetime, message_id: str) -> Iterator[bytes]:
    yield _field("Date", [format_datetime(now)])
    yield _field("From", [f"{_phrase(message.from_name)}{_angle(message.from_address)}"])
    for name, addresses in (("To", message.to), ("Cc", message.cc)):
        if len(addresses) > MAX_HEADER_RECIPIENTS:
            raise LimitExceededError("more than 1000 addresses in one header field")
        if addresses:
            yield _field(name, _listed(addresses))
    yield _field("Message-ID", [_checked_id(message_id)])
    if message.in_reply_to:
        yield _field("In-Reply-To", [_checked_id(message.in_reply_to)])
    if message.references:
        yield _field("References", [_checked_id(reference) for reference in message.references])
    yield _field("Subject", _unstructured(message.subject, limit=MAX_SUBJECT))
    if message.automatic:
        yield b"Auto-Submitted: auto-generated\r\n"


def _field(name: str, words: list[str]) -> bytes:
    """One header field, folded between its words (RFC 5322 section 2.2.3)."""
    lines = [f"{name}:"]
    for word in words:
        if len(lines[-1]) + 1 + len(word) > FOLD_AT and lines[-1] != f"{name}:":
            lines.append("")
        lines[-1] += f" {word}"
    encoded = "\r\n".join(lines).encode()
    if any(len(line) > MAX_LINE_OCTETS for line in encoded.split(b"\r\n")):
        raise LimitExceededError(f"the {name} field has a word that fits on no line")
    return encoded + b"\r\n"


def _listed(addresses: tuple[Address, ...]) -> list[str]:
    return [f"{_angle(address)}," for address in addresses[:-1]] + [_angle(addresses[-1])]


def _angle(address: Address) -> str:
    """An address in brackets; the domain as A-labels, the local part as it is (RFC 6532)."""
    written = Address(address.local, canonical_domain(address.domain)).text
    _refuse_controls(written)
    parse_mailbox(written)
    return f"<{written}>"


def _phrase(name: str) -> str:
    """A display name with its trailing space: a quoted string, or encoded words (RFC 5322 section 3.2.5)."""
    _refuse_controls(name)
    if len(name) > MAX_FILE_NAME:
        raise LimitExceededError("the display name is too long")
    if not name:
        return ""
    if name.isascii() and "=?" not in name:
        return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '" '
    return "\r\n ".join(_encoded_words(name)) + " "


def _unstructured(text: str, *, limit: int) -> list[str]:
    _refuse_controls(text)
    if len(text) > limit:
        raise LimitExceededError(f"longer than {limit} characters")
    words = text.split(" ")
    fits = all(0 < len(word) < FOLD_AT for word in words)
    if text.isascii() and "=?" not in text and (fits or not text):
        return words
    return list(_encoded_words(text))


def _encoded_words(text: str) -> Iterator[str]:
    """RFC 2047 base64 words in UTF-8, cut between characters (section 5)."""
    chunk = b""
    for character in text:
        encoded = character.encode()
        if len(chunk) + len(encoded) > ENCODED_WORD_OCTETS:
            yield f"=?utf-8?b?{base64.b64encode(chunk).decode('ascii')}?="
            chunk = b""
        chunk += encoded
    if chunk:
        yield f"=?utf-8?b?{base64.b64encode(chunk).decode('ascii')}?="


def _refuse_controls(text: str) -> None:
    if any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in text):
        raise UnsafeHeaderError("a control character stands where header text belongs")


def _checked_id(text: str) -> str:
    if not _MESSAGE_ID.match(text):
        raise UnsafeHeaderError("a message id has the form <left@right> in printable ASCII")
    return text


def _boundary(message_id: str) -> str:
    """A boundary no part can hold: no transfer encoding yields ``=_`` and 7bit text with it is not used."""
    return "=_" + hashlib.sha256(_checked_id(message_id).encode()).hexdigest()[:32]


def _multipart(kind: str, boundary: str, parts: tuple[bytes, ...]) -> bytes:
    mark = boundary.encode()
    head = b'Content-Type: multipart/%s;\r\n boundary="%s"\r\n\r\n' % (kind.encode(), mark)
    return head + b"".join(b"--%s\r\n%s\r\n" % (mark, part) for part in parts) + b"--%s--\r\n" % mark


def _body_part(message: ComposedMessage, boundary: str) -> bytes:
    plain = _text_part("plain", message.text)
    if message.html is None:
        return plain
    return _multipart("alternative", boundary, (plain, _text_part("html", message.html)))


def _text_part(kind: str, text: str) -> bytes:
    """A text part: 7bit where the text allows it, quoted-printable otherwise (RFC 2045 section 6)."""
    normal = "\r\n".join(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    normal = normal if normal.endswith("\r\n") else normal + "\r\n"
    octets = normal.encode("utf-8", "replace")
    head = f"Content-Type: text/{kind}; charset=utf-8\r\n".encode()
    if _is_plain_enough(octets):
        return head + b"Content-Transfer-Encoding: 7bit\r\n\r\n" + octets
    return head + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + binascii.b2a_qp(octets, istext=True)


def _is_plain_enough(octets: bytes) -> bool:
    return (
        octets.isascii()
        and b"=_" not in octets
        and re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", octets) is None
        and max(map(len, octets.split(b"\r\n"))) <= MAX_LINE_OCTETS
    )


def _attachment_part(attachment: ComposedAttachment) -> bytes:
    """One base64 part; message/* and multipart/* may not be (RFC 2046 5.2) and go as octet-stream."""
    kind = attachment.content_type.lower()
    if not _MEDIA_TYPE.match(kind) or kind.startswith(("message/", "multipart/")):
        kind = "application/octet-stream"
    head = f"Content-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment;\r\n"
    name = "".join(f"{line}\r\n" for line in _file_name_parameter(attachment.file_name))
    encoded = base64.encodebytes(attachment.content).replace(b"\n", b"\r\n")
    return (head + name).encode("ascii") + b"\r\n" + encoded


def _file_name_parameter(name: str) -> Iterator[str]:
    """The ``filename`` parameter: plain where every reader agrees, RFC 2231 with continuations where not."""
    _refuse_controls(name)
    if len(name) > MAX_FILE_NAME:
        raise LimitExceededError(f"a file name is longer than {MAX_FILE_NAME} characters")
    if _TOKEN_FILE_NAME.match(name):
        yield f' filename="{name}"'
        return
    encoded = "utf-8''" + quote(name or "attachment", safe="")
    pieces = re.findall(r"(?:%[0-9A-F]{2}|[^%]){1,20}", encoded)
    for number, piece in enumerate(pieces):
        end = ";" if number + 1 < len(pieces) else ""
        yield f" filename*{number}*={piece}{end}"
