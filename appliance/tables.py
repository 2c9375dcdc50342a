"""The appliance's own table: who has signed in on the command line."""

from __future__ import annotations

from sqlalchemy import Column, Integer, LargeBinary, MetaData, Table

from mailstore.tables import Instant, id_column, seal_column

METADATA = MetaData()

command_sessions = Table(
    "command_sessions",
    METADATA,
    Column("token_digest", LargeBinary, primary_key=True),
    id_column("account"),
    Column("system_user", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    seal_column(),
)
"""``system_user`` is the numeric user id of the operating system that signed in; nobody else can use the row."""
