"""The appliance's own tables: who has signed in on the command line, and where the appliance works."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, MetaData, String, Table

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

workplaces = Table(
    "workplaces",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("place", String(64), nullable=False),
    Column("starts", BigInteger, nullable=False),
    id_column("token"),
    Column("since", Instant, nullable=False),
    Column("is_begun", Boolean(create_constraint=False), nullable=False),
    seal_column(),
)
"""One row: the data directory that may work on this database (``appliance.workplace``)."""
