"""The tables of the archive: what was captured, by which schedule, held by whom, how it ended, and searches kept.

Plain columns hold ids, states, counts, times and the names of record categories. What a hold or a schedule
says may name people: it is sealed under the archive key (``*_sealed``). Rows of a disposal outlive the messages
they name and hold digests only.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table

from mailstore.tables import Instant, id_column, seal_column

CATEGORY_LENGTH = 64
STATE_LENGTH = 24
WHY_LENGTH = 64
DIGEST_BYTES = 32

METADATA = MetaData()

archive_entries = Table(
    "archive_entries",
    METADATA,
    id_column("message", primary_key=True),
    Column("received_at", Instant, nullable=False, index=True),
    Column("captured_at", Instant, nullable=False),
    Column("category", String(CATEGORY_LENGTH), nullable=False),
    id_column("schedule", nullable=True),
    Column("indexed_at", Instant, nullable=True, index=True),
    Column("problem", String(WHY_LENGTH), nullable=True, index=True),
    Column("unread_parts", Integer, nullable=False, default=0),
    seal_column(),
)

doubted_captures = Table(
    "doubted_captures",
    METADATA,
    id_column("message", primary_key=True),
    Column("proved_at", Instant, nullable=False),
    seal_column(),
)

unread_parts = Table(
    "unread_parts",
    METADATA,
    id_column("message", primary_key=True),
    Column("reason", String(WHY_LENGTH), primary_key=True),
    Column("parts", Integer, nullable=False),
    seal_column(),
)

schedules = Table(
    "schedules",
    METADATA,
    id_column("id", primary_key=True),
    Column("state", String(STATE_LENGTH), nullable=False),
    Column("text_sealed", LargeBinary, nullable=False),
    id_column("proposed_by"),
    Column("proposed_at", Instant, nullable=False),
    id_column("approved_by", nullable=True),
    Column("approved_at", Instant, nullable=True),
    Column("retired_at", Instant, nullable=True),
    seal_column(),
    Index("ix_schedules_state", "state"),
)

holds = Table(
    "holds",
    METADATA,
    id_column("id", primary_key=True),
    Column("state", String(STATE_LENGTH), nullable=False),
    Column("details_sealed", LargeBinary, nullable=False),
    id_column("placed_by"),
    Column("placed_at", Instant, nullable=False),
    Column("evaluated_at", Instant, nullable=True),
    id_column("release_requested_by", nullable=True),
    Column("release_requested_at", Instant, nullable=True),
    Column("release_reason_sealed", LargeBinary, nullable=True),
    id_column("released_by", nullable=True),
    Column("released_at", Instant, nullable=True),
    seal_column(),
)

hold_messages = Table(
    "hold_messages",
    METADATA,
    Column("hold", ForeignKey("holds.id"), primary_key=True),
    id_column("message", primary_key=True),
    Column("joined_at", Instant, nullable=False),
    Column("at_placement", Boolean(create_constraint=False), nullable=False),
    Column("is_certain", Boolean(create_constraint=False), nullable=False),
    seal_column(),
    Index("ix_hold_messages_message", "message"),
)

disposals = Table(
    "disposals",
    METADATA,
    id_column("id", primary_key=True),
    Column("state", String(STATE_LENGTH), nullable=False),
    id_column("schedule"),
    Column("set_hash", LargeBinary, nullable=False),
    Column("messages", Integer, nullable=False),
    Column("held", Integer, nullable=False),
    id_column("proposed_by"),
    Column("proposed_at", Instant, nullable=False),
    id_column("approved_by", nullable=True),
    Column("approved_at", Instant, nullable=True),
    Column("cooled_off_at", Instant, nullable=True),
    id_column("run_by", nullable=True),
    Column("started_at", Instant, nullable=True),
    Column("completed_at", Instant, nullable=True),
    id_column("certificate", nullable=True),
    seal_column(),
)

disposal_items = Table(
    "disposal_items",
    METADATA,
    Column("disposal", ForeignKey("disposals.id"), primary_key=True),
    id_column("message", primary_key=True),
    Column("state", String(STATE_LENGTH), nullable=False),
    Column("sealed_digest", LargeBinary, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("category", String(CATEGORY_LENGTH), nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("why", String(WHY_LENGTH), nullable=True),
    Column("salt", LargeBinary, nullable=True),
    Column("destroyed_at", Instant, nullable=True),
    seal_column(),
    Index("ix_disposal_items_message", "message"),
)

certificates = Table(
    "certificates",
    METADATA,
    id_column("id", primary_key=True),
    Column("disposal", ForeignKey("disposals.id"), nullable=False, unique=True),
    Column("issued_at", Instant, nullable=False),
    Column("document", LargeBinary, nullable=False),
    seal_column(),
)

saved_searches = Table(
    "saved_searches",
    METADATA,
    id_column("id", primary_key=True),
    id_column("owner"),
    Column("details_sealed", LargeBinary, nullable=False),
    Column("is_daily", Boolean(create_constraint=False), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("looked_until", Instant, nullable=False),
    Column("ran_at", Instant, nullable=True),
    Column("new_messages", Integer, nullable=False),
    Column("is_counted_whole", Boolean(create_constraint=False), nullable=False),
    seal_column(),
    Index("ix_saved_searches_owner", "owner"),
)

search_engines = Table(
    "search_engines",
    METADATA,
    Column("purpose", String(STATE_LENGTH), primary_key=True),
    Column("engine", String(STATE_LENGTH), nullable=False),
    Column("changed_at", Instant, nullable=False),
    seal_column(),
)
