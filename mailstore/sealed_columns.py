"""Core: the columns of a message that only its own key opens: the summary, and what is known of each recipient.

Sealed fields (docs/formats/sealed-object.md) of UTF-8 JSON. The context names message and recipient, so that a
value moved to another row does not open.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from mailstore.errors import TamperedError
from mailstore.key_hierarchy import MessageKey
from mailstore.message import MessageId, MessageSummary
from mailstore.sealed_format import Context, Dictionary, FieldSealer, open_field, packed, seal_field, unpacked

_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_FRAME = b"\x28\xb5\x2f\xfd"
"""How a zstd frame begins (RFC 8878 section 3.1.1), and no JSON does."""

_SUMMARY_LEVEL = 9
_MAX_SUMMARY_BYTES = 1 << 20
SUMMARY_TEXT = Dictionary(
    1 << 32,
    b"JanFebMarAprMayJunJulAugSepOctNovDec.org>.net> GMT MonTueWedThuFriSatSun, 2026 +0000 -0500"
    b'Re: Fwd: @gmail.com>","@outlook.com>","trace_fields":"Received: from ( [])\\r\\n\\tby  with ESMTPSA id ;\\r\\n\\t'
    b'>","references":["<>","<"],"sender":"","recipients":["@","date":" +0000","header_message_id":"<","cc":"'
    b' <@","to":" <@","from_":"{"subject":"',
)
"""What summaries have in common. Part of the format: never changed, another one gets another mark."""

_SUMMARY_LISTS = ("references", "recipients")


@dataclass(frozen=True)
class RecipientDetail:
    """Who a recipient is, why the route was taken, and what their server said last."""

    address: str = field(repr=False)
    reasons: tuple[str, ...] = field(default=(), repr=False)
    last_reply: str = field(default="", repr=False)


_SUMMARY_FIELDS = tuple(each.name for each in fields(MessageSummary))
_DETAIL_FIELDS = tuple(each.name for each in fields(RecipientDetail))


def content_context(message: MessageId) -> Context:
    """Where the sealed object of a message belongs."""
    return ("message", message, 1)


def recipe_context(message: MessageId) -> Context:
    """Where the sealed recipe of a message belongs: what lies in the object store once it was repacked."""
    return ("recipe", message, 1)


class ColumnSealer:
    """Seals the columns of one message. A ``nonce`` is 12 fresh random bytes. Fields that say nothing are left out."""

    def __init__(self, key: MessageKey, message: MessageId) -> None:
        self._sealer = FieldSealer(key)
        self._message = message

    def summary(self, summary: MessageSummary, *, nonce: bytes) -> bytes:
        """The summary column."""
        told = {name: value for name in _SUMMARY_FIELDS if (value := getattr(summary, name))}
        return self._sealer.seal(_json(told), context=("summary", self._message, 1), nonce=nonce)

    def detail(self, detail: RecipientDetail, *, position: int, nonce: bytes) -> bytes:
        """The detail column of a recipient row."""
        told = {name: value for name in _DETAIL_FIELDS if (value := getattr(detail, name))}
        return self._sealer.seal(_json(told), context=_recipient_context(self._message, position), nonce=nonce)


def open_summary(sealed: bytes, *, key: MessageKey, message: MessageId) -> MessageSummary:
    """The summary of that message. ``TamperedError`` when the column is not what was written for it."""
    opened = _unpacked(open_field(sealed, key=key, context=("summary", message, 1)))
    told = _told(opened, f"summary of message {message}")
    for name in _SUMMARY_LISTS:
        told[name] = tuple(told.get(name, ()))
    return MessageSummary(**{name: told[name] for name in _SUMMARY_FIELDS if name in told})


def packed_summary(sealed: bytes, *, key: MessageKey, message: MessageId, nonce: bytes) -> bytes:
    """The same summary in fewer bytes, for a message that has come to rest. Where there is nothing to gain, as it is.

    ``nonce`` is 12 fresh random bytes. ``TamperedError`` as ``open_summary``.
    """
    context: Context = ("summary", message, 1)
    opened = open_field(sealed, key=key, context=context)
    if opened.startswith(_FRAME) or len(opened) > _MAX_SUMMARY_BYTES:
        return sealed
    smaller = packed(opened, level=_SUMMARY_LEVEL, dictionary=SUMMARY_TEXT)
    return seal_field(smaller, key=key, context=context, nonce=nonce) if len(smaller) < len(opened) else sealed


def open_detail(sealed: bytes, *, key: MessageKey, message: MessageId, position: int) -> RecipientDetail:
    """The detail of that recipient. ``TamperedError`` when the column is not what was written for it."""
    opened = open_field(sealed, key=key, context=_recipient_context(message, position))
    told = _told(opened, f"recipient {position} of message {message}")
    return RecipientDetail(
        address=told.get("address", ""),
        reasons=tuple(told.get("reasons", ())),
        last_reply=told.get("last_reply", ""),
    )


def _recipient_context(message: MessageId, position: int) -> Context:
    return ("recipient", f"{message}/{position}", 1)


def _unpacked(opened: bytes) -> bytes:
    if not opened.startswith(_FRAME):
        return opened
    return unpacked(opened, at_most=_MAX_SUMMARY_BYTES, dictionary=SUMMARY_TEXT)


def _json(told: Mapping[str, Any]) -> bytes:
    return _ENCODE(told).encode("utf-8", "surrogatepass")


def _told(opened: bytes, name: str) -> dict[str, Any]:
    told = json.loads(opened.decode("utf-8", "surrogatepass"))
    if not isinstance(told, dict):
        raise TamperedError(f"the {name} is of no known form")
    return told
