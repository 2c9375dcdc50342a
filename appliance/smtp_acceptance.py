"""Core: what the SMTP ports take, decided on bytes alone: commands, recipients, message form and authorship.

Every function answers a value or the ``Reply`` that refuses. References are to RFC 5321 unless named otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from appliance import smtp_replies
from appliance.delivery_plan import Located, Place
from appliance.smtp_replies import Reply
from mailstore.addresses import Address, BadAddressError, parse_path, strict_header_addresses
from mailstore.encoded_words import unfolded
from mailstore.header_block import headers_of
from portal.front_door import Refused

MAX_LINE_OCTETS = 65_536
"""Longest line taken. Section 4.5.3.1.6 states 1000; real senders stray far beyond, and nothing here minds."""

_PATH = re.compile(rb'<(?:[^"<>]|"(?:[^"\\]|\\.)*+")*+>')
_MAIL = re.compile(rb"from:[ \t]*+", re.IGNORECASE)
_RCPT = re.compile(rb"to:[ \t]*+", re.IGNORECASE)
_PARAMETER = re.compile(rb"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~]+))?\Z")
_AUTHOR_FIELDS = ("from", "sender", "resent-from", "resent-sender")
_RELAY_MARKS = frozenset("%!@:")
MAX_PARAMETERS = 20
MAX_SIZE_DIGITS = 20
"""RFC 1870 section 6."""


@dataclass(frozen=True)
class AcceptanceLimits:
    """What one message may be: its bytes after dot-unstuffing, its recipients, its ``Received:`` fields."""

    message_bytes: int
    recipients: int = 1_000
    hops: int = 100


@dataclass(frozen=True)
class MailCommand:
    """A MAIL command that was understood. ``sender`` is None for the null reverse-path."""

    sender: Address | None
    allows_utf8: bool = field(default=False)


def parse_mail(
    argument: bytes, *, is_extended: bool, message_bytes: int, is_submission: bool = False
) -> MailCommand | Reply:
    """``FROM:<path> [parameters]`` (section 4.1.1.2; SIZE RFC 1870, BODY RFC 6152, SMTPUTF8 RFC 6531).

    Where people sign in, other servers of theirs may name an author by AUTH (RFC 4954 section 5): nobody goes by it.
    """
    parts = _path_and_parameters(_MAIL, argument)
    if isinstance(parts, Reply):
        return parts
    path, parameters = parts
    if parameters and not is_extended:
        return smtp_replies.NO_SUCH_PARAMETER
    known = {b"SIZE", b"BODY", b"SMTPUTF8"} | ({b"AUTH"} if is_submission else set())
    if any(name not in known for name in parameters):
        return smtp_replies.NO_SUCH_PARAMETER
    problem = _size_problem(parameters, message_bytes)
    if problem is not None:
        return problem
    if parameters.get(b"BODY", b"7BIT").upper() not in {b"7BIT", b"8BITMIME"} or parameters.get(b"SMTPUTF8"):
        return smtp_replies.BAD_SYNTAX
    allows_utf8 = b"SMTPUTF8" in parameters
    sender = _address(path, allows_utf8=allows_utf8)
    return sender if isinstance(sender, Reply) else MailCommand(sender, allows_utf8)


def parse_rcpt(argument: bytes, *, allows_utf8: bool, postmaster_domain: str) -> Address | Reply:
    """``TO:<path>`` (section 4.1.1.3). ``<postmaster>`` alone is ours (section 4.5.1)."""
    parts = _path_and_parameters(_RCPT, argument)
    if isinstance(parts, Reply):
        return parts
    path, parameters = parts
    if parameters:
        return smtp_replies.NO_SUCH_PARAMETER
    if path.lower() == b"<postmaster>":
        return Address("postmaster", postmaster_domain)
    if path.startswith(b"<@") or (b"@" not in path and b"!" in path):
        return smtp_replies.RELAYING_DENIED
    address = _address(path, allows_utf8=allows_utf8)
    return smtp_replies.BAD_ADDRESS if address is None else address


def _path_and_parameters(keyword: re.Pattern[bytes], argument: bytes) -> tuple[bytes, dict[bytes, bytes]] | Reply:
    start = keyword.match(argument)
    path = _PATH.match(argument, start.end()) if start else None
    if path is None:
        return smtp_replies.BAD_SYNTAX
    rest = argument[path.end() :]
    if rest and not rest.startswith(b" "):
        return smtp_replies.BAD_SYNTAX
    parameters: dict[bytes, bytes] = {}
    for word in rest.split():
        match = _PARAMETER.match(word)
        if match is None or match[1].upper() in parameters or len(parameters) >= MAX_PARAMETERS:
            return smtp_replies.BAD_SYNTAX
        parameters[match[1].upper()] = match[2] or b""
    return path[0], parameters


def _size_problem(parameters: dict[bytes, bytes], message_bytes: int) -> Reply | None:
    size = parameters.get(b"SIZE")
    if size is None:
        return None
    if not size.isdigit() or len(size) > MAX_SIZE_DIGITS:
        return smtp_replies.BAD_SYNTAX
    return smtp_replies.TOO_LARGE if int(size) > message_bytes else None


def _address(path: bytes, *, allows_utf8: bool) -> Address | Reply | None:
    if not path.isascii() and not allows_utf8:
        return smtp_replies.UTF8_NOT_ANNOUNCED
    try:
        return parse_path(path, smtputf8=allows_utf8)
    except BadAddressError:
        return smtp_replies.BAD_ADDRESS


def recipient_problem(located: Located, *, may_leave_the_practice: bool) -> Reply | None:
    """Why this recipient is not taken: we relay for our own people only (section 7.7 allows refusing)."""
    match located.place:
        case Place.HERE:
            return None
        case Place.OUTSIDE:
            return None if may_leave_the_practice else smtp_replies.RELAYING_DENIED
        case Place.UNKNOWN_HERE:
            asks_for_relay = not _RELAY_MARKS.isdisjoint(located.address.local)
            return smtp_replies.RELAYING_DENIED if asks_for_relay else smtp_replies.UNKNOWN_MAILBOX


def content_problem(content: bytes, limits: AcceptanceLimits) -> Refused | None:
    """Why a message cannot be taken as it stands.

    A bare CR or LF anywhere is refused (section 2.3.8): it is how one message is smuggled inside another, and a
    header line is hidden from one reader and shown to the next.
    """
    if len(content) > limits.message_bytes:
        return Refused("too_large", f"The message is larger than {limits.message_bytes} bytes.")
    if has_bare_line_ending(content):
        return Refused("bare_line_ends", "The message has line ends other than CR LF.")
    if has_line_over(content, MAX_LINE_OCTETS):
        return Refused("long_lines", f"The message has a line longer than {MAX_LINE_OCTETS} bytes.")
    if received_fields(content) > limits.hops:
        return Refused("too_many_hops", "The message is going in circles.")
    return None


def has_bare_line_ending(content: bytes) -> bool:
    """True when some CR or LF is not half of a CR LF."""
    rest = content.replace(b"\r\n", b"")
    return b"\n" in rest or b"\r" in rest


def has_line_over(content: bytes, octets: int) -> bool:
    """True when a line is longer, its CR LF not counted. Looks only at every ``octets``-th stretch."""
    start = 0
    while len(content) - start > octets + 2:
        last = content.rfind(b"\n", start, start + octets + 2)
        if last < 0:
            return True
        start = last + 1
    return len(content) - start > octets and content.find(b"\n", start) < 0


def received_fields(content: bytes) -> int:
    """How many ``Received:`` fields the header block has (section 6.3)."""
    if content.startswith(b"\r\n"):
        return 0
    end = content.find(b"\r\n\r\n")
    head = content[: end if end >= 0 else len(content)].lower()
    return head.count(b"\nreceived:") + head.startswith(b"received:")


def author_problem(content: bytes, *, is_own: Callable[[Address], bool]) -> Refused | None:
    """Why a submitted message speaks in a name that is not its sender's (RFC 6409 section 6.1).

    There must be exactly one From field, readable in one way only, and every address in it, in Sender and in
    the Resent fields must be the sender's own. A header block that readers could cut differently is refused.
    """
    block = headers_of(content)
    is_plain = block.is_whole and block.count("from") == 1 and block.count("sender") <= 1
    values = [value for name in _AUTHOR_FIELDS for value in block.values(name)]
    if is_plain and all(_all_own(value, is_own) for value in values):
        return None
    return Refused("false_author", "The From field must hold your own address, once and plainly.")


def _all_own(value: bytes, is_own: Callable[[Address], bool]) -> bool:
    try:
        addresses = strict_header_addresses(unfolded(value))
    except BadAddressError:
        return False
    return bool(addresses) and all(map(is_own, addresses))
