"""Core: mail that comes while nothing can be opened, as groups of bytes (docs/formats/sealed-spool.md).

A group is sealed to the capture public key alone, with its envelopes: whoever writes it cannot read it again, and
what lies on the disk tells neither from whom nor for whom nor how much there is, but for a rough size.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from mailstore.addresses import Address
from mailstore.errors import LimitExceededError, TamperedError
from mailstore.instants import instant_of, microseconds
from mailstore.key_hierarchy import (
    BATCH_ID_BYTES,
    FINGERPRINT_BYTES,
    BatchKey,
    MessageKey,
    fingerprint,
    wrap_batch_key,
    wrap_message_key,
)
from mailstore.message import ID_BYTES, Envelope, MessageId, Origin, Peer, ReceivedMessage, Scan, identifier_from
from mailstore.sealed_format import (
    KEY_BYTES,
    MAX_PLAIN_BYTES,
    NONCE_BYTES,
    Context,
    Randomness,
    open_field,
    open_sealed,
    seal,
    seal_field,
)

MAGIC: Final = b"SRSG"
SEGMENT_HEADER: Final = b"SRSS\x01" + bytes(11)
"""What a segment of groups begins with."""

_FIXED = struct.Struct(f">4sIQ26s{BATCH_ID_BYTES}s{FINGERPRINT_BYTES}s80s60s")
_CHECK_BYTES = 10
HEAD_BYTES: Final = _FIXED.size + _CHECK_BYTES

LEAST_INDEX_BYTES: Final = 1_024
LEAST_CONTENT_BYTES: Final = 4_096
MOST_INDEX_BYTES: Final = 1 << 26
MOST_CONTENT_BYTES: Final = MAX_PLAIN_BYTES + (MAX_PLAIN_BYTES >> 2)
_VERSION = 1


@dataclass(frozen=True)
class GroupHead:
    """What stands in plain before a group: how long its two parts are, and its key, which only the ring opens."""

    name: MessageId
    index_bytes: int
    content_bytes: int
    batch: bytes
    sealed_for: bytes
    wrapped_batch_key: bytes = field(repr=False)
    wrapped_key: bytes = field(repr=False)

    @property
    def total_bytes(self) -> int:
        """The group with its head."""
        return HEAD_BYTES + self.index_bytes + self.content_bytes


@dataclass(frozen=True)
class Standing:
    """A group's place in its series: which writer wrote it, and how many messages that one had written before."""

    series: str
    before: int


@dataclass(frozen=True)
class Announced:
    """One message of a group but for its content: envelope, time of receipt and peer."""

    envelope: Envelope
    received_at: datetime
    peer: Peer
    start: int
    end: int
    scan: Scan = Scan.OFF

    def received(self, content: bytes) -> ReceivedMessage:
        """The message, with its share of the group's content."""
        return ReceivedMessage(
            self.envelope, content[self.start : self.end], self.received_at, Origin.SMTP, self.peer, self.scan
        )


@dataclass(frozen=True)
class GroupIndex:
    """What a group holds, opened."""

    standing: Standing
    sealed_content_bytes: int
    messages: tuple[Announced, ...]


def sealed_group(
    messages: Sequence[ReceivedMessage], *, standing: Standing, capture_public: bytes, randomness: Randomness
) -> bytes:
    """A group as it goes to the disk. Its key is forgotten with the end of this call.

    ``LimitExceededError`` when the contents are longer together than one sealed object may be.
    """
    name = MessageId(identifier_from(randomness(ID_BYTES)))
    key, batch_key = MessageKey(randomness(KEY_BYTES)), BatchKey(randomness(KEY_BYTES))
    batch = randomness(BATCH_ID_BYTES)
    content = seal(
        b"".join(each.content for each in messages), key=key, context=_content_context(name), randomness=randomness
    )
    told = _index_text(messages, standing, len(content))
    index = seal_field(told, key=key, context=_index_context(name), nonce=randomness(NONCE_BYTES))
    if len(index) > MOST_INDEX_BYTES:
        raise LimitExceededError("a group names too many recipients")
    content += randomness(padded(len(content), least=LEAST_CONTENT_BYTES) - len(content))
    fixed = _FIXED.pack(
        MAGIC,
        len(index),
        len(content),
        name.encode(),
        batch,
        fingerprint(capture_public),
        wrap_batch_key(batch_key, capture_public=capture_public, batch=batch),
        wrap_message_key(key, batch_key=batch_key, batch=batch, message=name, nonce=randomness(NONCE_BYTES)),
    )
    return fixed + _check(fixed) + index + content


def read_head(data: bytes) -> GroupHead:
    """The head in the first ``HEAD_BYTES`` of a group. ``TamperedError`` when these are none."""
    fixed, check = data[: _FIXED.size], data[_FIXED.size : HEAD_BYTES]
    if len(data) < HEAD_BYTES or not fixed.startswith(MAGIC) or check != _check(fixed):
        raise TamperedError("no group of sealed mail begins here")
    _, index_bytes, content_bytes, name, batch, sealed_for, wrapped_batch_key, wrapped_key = _FIXED.unpack(fixed)
    if index_bytes > MOST_INDEX_BYTES or content_bytes > MOST_CONTENT_BYTES:
        raise TamperedError("a group of sealed mail claims to be longer than any may be")
    return GroupHead(
        name=MessageId(name.decode("ascii", "replace")),
        index_bytes=index_bytes,
        content_bytes=content_bytes,
        batch=batch,
        sealed_for=sealed_for,
        wrapped_batch_key=wrapped_batch_key,
        wrapped_key=wrapped_key,
    )


def open_index(sealed: bytes, *, head: GroupHead, key: MessageKey) -> GroupIndex:
    """What the group holds. ``TamperedError`` when it is not what was written."""
    told = open_field(sealed, key=key, context=_index_context(head.name))
    try:
        return _index(json.loads(told))
    except (ValueError, KeyError, TypeError):
        raise TamperedError(f"group {head.name} of sealed mail tells nothing that we know") from None


def open_content(sealed: bytes, *, head: GroupHead, index: GroupIndex, key: MessageKey) -> bytes:
    """The contents of all messages, one behind the other. ``TamperedError`` when they are not what was written."""
    content = open_sealed(sealed[: index.sealed_content_bytes], key=key, context=_content_context(head.name))
    if len(content) != sum(each.end - each.start for each in index.messages):
        raise TamperedError(f"group {head.name} of sealed mail holds another number of bytes than it tells")
    return content


def padded(length: int, *, least: int) -> int:
    """The length that is shown instead: Padmé, at most an eighth longer, so that few lengths exist at all.

    K. Nikitin and others, "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs" (2019).
    """
    if length <= least:
        return least
    exponent = length.bit_length() - 1
    kept_bits = exponent.bit_length()
    mask = (1 << (exponent - kept_bits)) - 1
    return (length + mask) & ~mask


def _check(fixed: bytes) -> bytes:
    return hashlib.sha256(fixed).digest()[:_CHECK_BYTES]


def _index_context(name: MessageId) -> Context:
    return ("sealed arrivals", name, _VERSION)


def _content_context(name: MessageId) -> Context:
    return ("sealed arrivals content", name, _VERSION)


def _index_text(messages: Sequence[ReceivedMessage], standing: Standing, sealed_content_bytes: int) -> bytes:
    text = json.dumps(
        {
            "series": standing.series,
            "before": standing.before,
            "content": sealed_content_bytes,
            "messages": [_told(each) for each in messages],
        }
    ).encode()
    return text.ljust(padded(len(text), least=LEAST_INDEX_BYTES))


def _told(message: ReceivedMessage) -> dict[str, Any]:
    envelope, peer = message.envelope, message.peer
    return {
        "at": microseconds(message.received_at),
        "from": None if envelope.sender is None else [envelope.sender.local, envelope.sender.domain],
        "to": [[each.local, each.domain] for each in envelope.recipients],
        "peer": [peer.address, peer.helo, peer.tls],
        "bytes": len(message.content),
        **({"scan": message.scan.value} if message.scan is not Scan.OFF else {}),
    }


def _index(told: Any) -> GroupIndex:
    messages, start = [], 0
    for each in told["messages"]:
        end = start + int(each["bytes"])
        sender = None if each["from"] is None else _address(each["from"])
        envelope = Envelope(sender, tuple(_address(pair) for pair in each["to"]))
        address, helo, tls = map(str, each["peer"])
        scan = Scan(each.get("scan", Scan.OFF))
        messages.append(Announced(envelope, instant_of(int(each["at"])), Peer(address, helo, tls), start, end, scan))
        start = end
    return GroupIndex(Standing(str(told["series"]), int(told["before"])), int(told["content"]), tuple(messages))


def _address(pair: Any) -> Address:
    local, domain = map(str, pair)
    return Address(local, domain)
