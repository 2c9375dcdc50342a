"""Core: what the columns of message and recipient rows hold, as our nouns, and back.

Runs for every row of a message that is written or read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mailstore.message import AccountId, MessageId, Origin, RecipientState, Route, StoredMessage


@dataclass(frozen=True)
class RecipientRow:
    """One recipient as recorded. ``sealed_detail`` (address, reasons, last reply) needs the message key."""

    position: int
    address_index: bytes = field(repr=False)
    route: Route
    state: RecipientState
    attempts: int
    changed_at: datetime
    sealed_detail: bytes = field(repr=False)


@dataclass(frozen=True)
class MessageRow:
    """A message to be recorded with its recipients. ``header_id_index``: blind index of its Message-ID field."""

    message: StoredMessage
    header_id_index: bytes | None = field(repr=False)
    recipients: Sequence[RecipientRow]


def message_values(row: MessageRow) -> dict[str, Any]:
    """The columns of a message that is recorded."""
    message = row.message
    return {
        "id": message.id,
        "received_at": message.received_at,
        "origin": message.origin.value,
        "size_bytes": message.size_bytes,
        "conversation": message.conversation,
        "sender_index": message.sender_index,
        "author": message.author,
        "header_id_index": row.header_id_index,
        "segment": message.segment,
        "offset": message.offset,
        "sealed_length": message.sealed_length,
        "sealed_digest": message.sealed_digest,
        "object_name": message.object_name,
        "object_length": message.object_length,
        "object_digest": message.object_digest,
        "object_dictionary": message.object_dictionary,
        "promoted_at": message.promoted_at,
        "sealed_summary": message.sealed_summary,
    }


def recipient_values(message: MessageId, row: RecipientRow) -> dict[str, Any]:
    """The columns of a recipient that is recorded."""
    return {
        "message": message,
        "position": row.position,
        "address_index": row.address_index,
        "route": row.route.value,
        "state": row.state.value,
        "attempts": row.attempts,
        "changed_at": row.changed_at,
        "sealed_detail": row.sealed_detail,
    }


def stored_message(row: Mapping[str, Any]) -> StoredMessage:
    """The message that a verified row tells of."""
    author = row["author"]
    return StoredMessage(
        id=MessageId(row["id"]),
        received_at=row["received_at"],
        origin=Origin(row["origin"]),
        size_bytes=row["size_bytes"],
        conversation=row["conversation"],
        sender_index=row["sender_index"],
        author=None if author is None else AccountId(author),
        segment=row["segment"],
        offset=row["offset"],
        sealed_length=row["sealed_length"],
        sealed_digest=row["sealed_digest"],
        object_name=row["object_name"],
        sealed_summary=row["sealed_summary"],
        object_length=row["object_length"],
        object_digest=row["object_digest"],
        object_dictionary=row["object_dictionary"],
        promoted_at=row["promoted_at"],
    )


def recipient_of(row: Mapping[str, Any]) -> RecipientRow:
    """The recipient that a verified row tells of."""
    return RecipientRow(
        position=row["position"],
        address_index=row["address_index"],
        route=Route(row["route"]),
        state=RecipientState(row["state"]),
        attempts=row["attempts"],
        changed_at=row["changed_at"],
        sealed_detail=row["sealed_detail"],
    )
