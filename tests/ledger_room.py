"""Made-up rows and a fresh row database, for the tests of the rooms that keep them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from mailstore.database import Database
from mailstore.message import AccountId, MessageId, Origin, RecipientState, Route, StoredMessage, identifier_from
from mailstore.message_columns import MessageRow, RecipientRow
from tests import database_room

NOW = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
ROW_KEY = b"r" * 32
FILE_NAME = database_room.ROWS


def opened(directory: Path, *, row_key: bytes = ROW_KEY, patience_seconds: float = 30) -> Database:
    return Database(database_room.rows_url(directory), row_key, patience_seconds=patience_seconds)


def created(directory: Path, *, patience_seconds: float = 30) -> Database:
    database = opened(directory, patience_seconds=patience_seconds)
    database.create_all()
    return database


def new_id() -> str:
    return identifier_from(os.urandom(16))


def recipient(position: int = 0, **changes: object) -> RecipientRow:
    values: dict[str, object] = {
        "position": position,
        "address_index": os.urandom(16),
        "route": Route.PORTAL,
        "state": RecipientState.QUEUED,
        "attempts": 0,
        "changed_at": NOW,
        "sealed_detail": os.urandom(60),
        **changes,
    }
    return RecipientRow(**values)  # type: ignore[arg-type]  # the tests that pass changes name real fields


def message(
    *,
    received_at: datetime = NOW,
    conversation: str | None = None,
    author: str | None = None,
    segment: str | None = None,
    offset: int = 16,
    header_id_index: bytes | None = None,
    recipients: Sequence[RecipientRow] = (),
) -> MessageRow:
    stored = StoredMessage(
        id=MessageId(new_id()),
        received_at=received_at,
        origin=Origin.SMTP,
        size_bytes=7_000,
        conversation=conversation or new_id(),
        sender_index=os.urandom(16),
        author=None if author is None else AccountId(author),
        segment=segment or f"{new_id()}.segment",
        offset=offset,
        sealed_length=3_000,
        sealed_digest=os.urandom(32),
        object_name=None,
        sealed_summary=os.urandom(300),
    )
    return MessageRow(stored, header_id_index, tuple(recipients))
