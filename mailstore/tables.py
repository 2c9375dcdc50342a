"""The tables of the ground floor, and the column types that every floor's tables use.

Every table ends in ``seal_column()``. Plain columns hold ids, roles, states, times and sizes; whatever names
a person or says what a message is about is a blind index or sealed bytes (``docs/formats/sealed-rows.md``).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.engine import Dialect

from mailstore.instants import instant_of, microseconds

SEAL_BYTES = 16
ID_LENGTH = 26


class Instant(TypeDecorator[datetime]):
    """A point in time: an aware datetime in Python, a 64-bit count of microseconds since 1970 in the row."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> int | None:
        """The stored integer for an aware datetime."""
        del dialect
        return None if value is None else microseconds(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """The aware UTC datetime for a stored integer."""
        del dialect
        return None if value is None else instant_of(value)


BIG_NUMBER = BigInteger().with_variant(Integer, "sqlite")
"""64 bits wide everywhere; SQLite lets only the type name INTEGER be the row id."""


def number_column(name: str) -> Column[int]:
    """A primary key that ``SealedRows`` counts up by itself, never giving a number twice."""
    return Column(name, BIG_NUMBER, primary_key=True)


def id_column(name: str, *, primary_key: bool = False, nullable: bool = False) -> Column[str]:
    """A column for a 26-character identifier (``message.identifier_from``)."""
    return Column(name, String(ID_LENGTH), primary_key=primary_key, nullable=nullable)


def seal_column() -> Column[bytes]:
    """The last column of every table: what ``SealedRows`` computes and checks."""
    return Column("seal", LargeBinary(SEAL_BYTES), nullable=False)


def where_set(column: str) -> dict[str, Any]:
    """Makes an index leave out the rows where a column is NULL: most messages have no author here."""
    condition = text(f"{column} IS NOT NULL")
    return {"sqlite_where": condition, "postgresql_where": condition}


METADATA = MetaData()

row_numbers = Table(
    "row_numbers",
    METADATA,
    Column("table", String(64), primary_key=True),
    Column("next", BigInteger, nullable=False),
    seal_column(),
    sqlite_with_rowid=False,
)

messages = Table(
    "messages",
    METADATA,
    number_column("sequence"),
    Column("id", String(ID_LENGTH), nullable=False, unique=True),
    Column("received_at", Instant, nullable=False, index=True),
    Column("origin", String(16), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("conversation", String(ID_LENGTH), nullable=False),
    Column("sender_index", LargeBinary, nullable=False),
    Column("author", String(ID_LENGTH), nullable=True),
    Column("header_id_index", LargeBinary, nullable=True, index=True),
    Column("segment", String(64), nullable=True),
    Column("offset", BigInteger, nullable=False),
    Column("sealed_length", BigInteger, nullable=False),
    Column("sealed_digest", LargeBinary, nullable=False),
    Column("object_name", String(255), nullable=True),
    Column("object_length", BigInteger, nullable=True),
    Column("object_digest", LargeBinary, nullable=True),
    Column("object_dictionary", BigInteger, nullable=True),
    Column("promoted_at", Instant, nullable=True),
    Column("sealed_summary", LargeBinary, nullable=False),
    seal_column(),
    Index("ix_messages_conversation", "conversation", "sequence"),
    Index("ix_messages_author", "author", "sequence", **where_set("author")),
    Index("ix_messages_segment", "segment", **where_set("segment")),
    Index("ix_messages_object_name", "object_name", **where_set("object_name")),
)

recipients = Table(
    "recipients",
    METADATA,
    Column("message", ForeignKey("messages.id"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("address_index", LargeBinary, nullable=False),
    Column("route", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("changed_at", Instant, nullable=False),
    Column("sealed_detail", LargeBinary, nullable=False),
    seal_column(),
    Index("ix_recipients_address", "address_index", "route"),
    sqlite_with_rowid=False,
)

mailboxes = Table(
    "mailboxes",
    METADATA,
    id_column("id", primary_key=True),
    id_column("account"),
    seal_column(),
    Index("ix_mailboxes_account", "account", unique=True),
)

mailbox_addresses = Table(
    "mailbox_addresses",
    METADATA,
    Column("address_index", LargeBinary, primary_key=True),
    Column("mailbox", ForeignKey("mailboxes.id"), nullable=False, index=True),
    seal_column(),
    sqlite_with_rowid=False,
)

mailbox_entries = Table(
    "mailbox_entries",
    METADATA,
    number_column("sequence"),
    Column("mailbox", ForeignKey("mailboxes.id"), nullable=False),
    Column("folder", String(16), nullable=False),
    Column("message", ForeignKey("messages.id"), nullable=False),
    Column("filed_at", Instant, nullable=False),
    Column("seen", Boolean(create_constraint=False), nullable=False, default=False),
    seal_column(),
    UniqueConstraint("message", "mailbox", "folder", name="uq_mailbox_entries_message"),
    Index("ix_mailbox_entries_newest", "mailbox", "folder", "sequence"),
)

outbox = Table(
    "outbox",
    METADATA,
    number_column("id"),
    Column("kind", String(16), nullable=False),
    Column("message", ForeignKey("messages.id"), nullable=True, index=True),
    Column("position", Integer, nullable=True),
    Column("not_before", Instant, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("leased_until", Instant, nullable=True),
    Column("leased_by", String(64), nullable=True),
    Column("why_code", String(64), nullable=True),
    Column("claimable_at", Instant, nullable=False),
    seal_column(),
    Index("ix_outbox_claimable", "kind", "claimable_at", "id"),
)

audit_entries = Table(
    "audit_entries",
    METADATA,
    Column("sequence", BIG_NUMBER, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
    Column("actor", String(64), nullable=False),
    Column("event", String(64), nullable=False),
    Column("object", String(128), nullable=False),
    Column("detail", Text, nullable=False),
    Column("leaf", LargeBinary, nullable=False),
    seal_column(),
    Index("ix_audit_entries_object", "object", "sequence"),
)

audit_state = Table(
    "audit_state",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
    seal_column(),
)

tombstones = Table(
    "tombstones",
    METADATA,
    id_column("message", primary_key=True),
    Column("disposed_at", Instant, nullable=False),
    Column("certificate", String(64), nullable=False),
    seal_column(),
    sqlite_with_rowid=False,
)

trusted_time = Table(
    "trusted_time",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("trusted", Instant, nullable=False),
    Column("boot", String(64), nullable=False),
    Column("uptime", BigInteger, nullable=False),
    Column("frozen_since", Instant, nullable=True),
    id_column("claimed_by", nullable=True),
    Column("claimed_wall", Instant, nullable=True),
    Column("claimed_uptime", BigInteger, nullable=True),
    seal_column(),
)
"""``uptime`` and ``claimed_uptime`` are microseconds since the machine was started."""

scrub = Table(
    "scrub",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("last_read", BigInteger, nullable=False),
    id_column("last_part", nullable=True),
    Column("began_at", Instant, nullable=False),
    Column("bad", Integer, nullable=False),
    Column("finished_at", Instant, nullable=True),
    Column("finished_bad", Integer, nullable=False),
    seal_column(),
)
"""``last_read`` and ``last_part`` are the message and shared part that the round has come to; ``bad`` counts what it
found wrong."""

shared_parts = Table(
    "shared_parts",
    METADATA,
    id_column("id", primary_key=True),
    Column("digest_index", LargeBinary, nullable=True, index=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("object_name", String(255), nullable=False),
    Column("object_length", BigInteger, nullable=False),
    Column("object_digest", LargeBinary, nullable=False),
    Column("uses", Integer, nullable=False),
    seal_column(),
    Index("ix_shared_parts_object_name", "object_name"),
    sqlite_with_rowid=False,
)

part_links = Table(
    "part_links",
    METADATA,
    Column("message", ForeignKey("messages.id"), primary_key=True),
    Column("sealed_parts", LargeBinary, nullable=False),
    seal_column(),
    sqlite_with_rowid=False,
)

mail_dictionaries = Table(
    "mail_dictionaries",
    METADATA,
    number_column("number"),
    Column("id", String(ID_LENGTH), nullable=False, unique=True),
    Column("made_at", Instant, nullable=False),
    Column("messages_then", BigInteger, nullable=False),
    Column("sealed_dictionary", LargeBinary, nullable=False),
    seal_column(),
)

sealed_series = Table(
    "sealed_series",
    METADATA,
    id_column("id", primary_key=True),
    Column("drained", BigInteger, nullable=False),
    seal_column(),
    sqlite_with_rowid=False,
)

sealed_series_missing = Table(
    "sealed_series_missing",
    METADATA,
    Column("series", ForeignKey("sealed_series.id"), primary_key=True),
    Column("begins", BigInteger, primary_key=True, autoincrement=False),
    Column("ends", BigInteger, nullable=False),
    seal_column(),
    sqlite_with_rowid=False,
)

key_copies = Table(
    "key_copies",
    METADATA,
    Column("place", String(32), primary_key=True),
    Column("name", Text, nullable=False),
    Column("shipped_at", Instant, nullable=False),
    Column("kept_until", Instant, nullable=False),
    Column("reached_at", Instant, nullable=False),
    seal_column(),
)
