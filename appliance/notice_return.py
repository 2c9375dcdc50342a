"""Core: the address that a notice's bounce comes back to, and what such a bounce says.

A server may take a notice and find out later that it cannot deliver it. The report then goes to the reverse-path of
the notice (RFC 5321 section 4.4), which names the copy it told of and carries a keyed mark, so that nobody who did
not get that notice can make it fail.
"""

from __future__ import annotations

import hmac
import re

from appliance.pickup_notice import SENDER_NAME
from mailstore.addresses import Address
from mailstore.header_block import headers_of
from mailstore.key_hierarchy import blind_index
from mailstore.message import MessageId

MARK_BYTES = 10
"""80 bits; with the rest of the local part below the 64 octets of RFC 5321 section 4.5.3.1.1."""

REPORT_BYTES = 262_144
"""How far into a bounce the status fields are looked for."""

_LOCAL = re.compile(SENDER_NAME + r"\+(?P<message>[a-z2-7]{26})\.(?P<position>\d{1,5})\.(?P<mark>[0-9a-f]{20})")
_FAILED = re.compile(rb"^action:[ \t]*failed\b", re.IGNORECASE | re.MULTILINE)
_STATUS = re.compile(rb"^status:[ \t]*(5\.\d{1,3}\.\d{1,3})\b", re.IGNORECASE | re.MULTILINE)


def return_address(sender: Address, message: MessageId, position: int, *, lookup_key: bytes) -> Address:
    """The reverse-path of the notice about one copy."""
    mark = _mark(message, position, lookup_key)
    return Address(f"{SENDER_NAME}+{message}.{position}.{mark}", sender.domain)


def is_return_address(address: Address) -> bool:
    """True for an address that has the form of one, whoever made it."""
    return _LOCAL.fullmatch(address.local.lower()) is not None


def copy_named(address: Address, *, lookup_key: bytes) -> tuple[MessageId, int] | None:
    """Message and position that a return address of ours names; None for one that we did not make."""
    found = _LOCAL.fullmatch(address.local.lower())
    if found is None:
        return None
    message, position = MessageId(found["message"]), int(found["position"])
    is_ours = hmac.compare_digest(found["mark"], _mark(message, position, lookup_key))
    return (message, position) if is_ours else None


def failure_told(content: bytes) -> str | None:
    """The reply that a failure report tells of; None for a delay, a success, an absence note (RFC 3464, RFC 3834)."""
    kind = headers_of(content).text("content-type").lower()
    report = content[:REPORT_BYTES]
    if not kind.startswith("multipart/report") or _FAILED.search(report) is None:
        return None
    status = _STATUS.search(report)
    return f"550 {status[1].decode('ascii') if status else '5.0.0'} the notice came back"


def _mark(message: MessageId, position: int, lookup_key: bytes) -> str:
    return blind_index(lookup_key, "notice return", f"{message} {position}")[:MARK_BYTES].hex()
