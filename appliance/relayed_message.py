"""Core: a stored message as it goes to another server, and what that server must be able to take.

What we keep stays exact; this is the copy that travels: line ends made canonical, so that no end-of-data can be
smuggled to a server that reads bare CR or LF as one (RFC 5321 sections 2.3.8 and 4.1.1.4); blind-copy fields
left out (RFC 5322 section 3.6.3); our trace field in front (RFC 5321 section 4.4).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from typing import TypeVar

from mailstore.addresses import Address, canonical_domain
from mailstore.header_block import headers_of
from mailstore.message_composition import without_bcc

Copy = TypeVar("Copy")
LINE_END = re.compile(rb"\r\n|\r|\n")
MAX_RECIPIENTS = 100
"""Recipients of one transaction that every server must take (RFC 5321 section 4.5.3.1.8)."""

POSSIBLE_DUPLICATE = b"X-Possible-Duplicate: yes; an earlier attempt ended without an answer\r\n"
"""Marks the one copy more that a crash between the final dot and its answer can cause (RFC 1047)."""


@dataclass(frozen=True)
class RelayedMessage:
    """The bytes to send, and which extensions they call for (RFC 6152, RFC 6531)."""

    content: bytes = field(repr=False)
    has_8bit: bool
    has_utf8_fields: bool


@dataclass(frozen=True)
class Transmission:
    """One mail transaction: who it is from, whom it is for, and what is sent."""

    sender: Address | None
    recipients: tuple[Address, ...]
    message: RelayedMessage


def missing_fields(content: bytes, *, message_id: str, accepted_at: datetime) -> bytes:
    """The Date and Message-ID fields that a message lacks, CRLF included (RFC 6409 sections 8.2 and 8.3)."""
    block = headers_of(content)
    date = b"" if block.count("date") else f"Date: {format_datetime(accepted_at)}\r\n".encode("ascii")
    return date + (b"" if block.count("message-id") else f"Message-ID: {message_id}\r\n".encode("ascii"))


def prepared(content: bytes, *, trace_field: bytes, is_possible_duplicate: bool, added: bytes = b"") -> RelayedMessage:
    """The message as it travels. ``trace_field`` and ``added`` fields end in CRLF."""
    canonical = content if _is_canonical(content) else LINE_END.sub(b"\r\n", content)
    if not canonical.endswith(b"\r\n"):
        canonical += b"\r\n"
    mark = POSSIBLE_DUPLICATE if is_possible_duplicate else b""
    whole = trace_field + mark + added + without_bcc(canonical)
    fields = whole.partition(b"\r\n\r\n")[0]
    return RelayedMessage(whole, has_8bit=not whole.isascii(), has_utf8_fields=not fields.isascii())


def _is_canonical(content: bytes) -> bool:
    """True when every CR and every LF is half of a CRLF."""
    return content.count(b"\r\n") == content.count(b"\r") == content.count(b"\n")


def by_domain(
    copies: Iterable[Copy], address_of: Callable[[Copy], Address], limit: int
) -> Iterator[tuple[str, tuple[Copy, ...]]]:
    """Copies of one message grouped by the domain they go to, at most ``limit`` in a group."""
    groups: dict[str, list[Copy]] = {}
    for copy in copies:
        groups.setdefault(canonical_domain(address_of(copy).domain), []).append(copy)
    for domain, group in groups.items():
        for start in range(0, len(group), limit):
            yield domain, tuple(group[start : start + limit])


def path(address: Address | None) -> bytes:
    """A reverse-path or forward-path with its angle brackets; None is the null path (RFC 5321 section 4.1.2)."""
    if address is None:
        return b"<>"
    return f"<{Address(address.local, canonical_domain(address.domain)).text}>".encode()


def mail_parameters(transmission: Transmission, offered: Mapping[str, str]) -> tuple[bytes, ...] | str:
    """The parameters of MAIL FROM, or why this server cannot be given the message.

    ``offered`` maps the extensions of the EHLO reply, in lower case, to their parameters.
    """
    message = transmission.message
    addresses = (*transmission.recipients, *filter(None, (transmission.sender,)))
    needs_utf8 = not all(address.is_ascii for address in addresses)
    if needs_utf8 and "smtputf8" not in offered:
        return "its server cannot take internationalised addresses"
    if message.has_8bit and "8bitmime" not in offered:
        return "its server cannot take 8-bit messages"
    if is_over(len(message.content), offered.get("size", "")):
        return "the message is larger than its server takes"
    parameters = [b"SIZE=%d" % len(message.content)] if "size" in offered else []
    if message.has_8bit:
        parameters.append(b"BODY=8BITMIME")
    if needs_utf8 or (message.has_utf8_fields and "smtputf8" in offered):
        parameters.append(b"SMTPUTF8")
    return tuple(parameters)


def is_over(size_bytes: int, announced: str) -> bool:
    """True when the SIZE that a server announced is a limit below this size; 0 is no limit (RFC 1870 section 3)."""
    digits = announced.strip()
    if not (digits.isascii() and digits.isdigit()):
        return False
    return 0 < int(digits[:20]) < size_bytes
