"""The appliance's own tables: sign-ins of the command line, its place, what signs mail, what other domains ask."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, MetaData, String, Table, UniqueConstraint

from mailstore.key_hierarchy import BLIND_INDEX_BYTES
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

dkim_keys = Table(
    "dkim_keys",
    METADATA,
    id_column("id", primary_key=True),
    Column("domain", String(253), nullable=False),
    Column("selector", String(63), nullable=False),
    Column("algorithm", String(24), nullable=False),
    Column("state", String(16), nullable=False),
    Column("public", LargeBinary, nullable=False),
    Column("sealed_private", LargeBinary, nullable=True),
    Column("made_at", Instant, nullable=False),
    Column("signs_since", Instant, nullable=True),
    Column("retired_at", Instant, nullable=True),
    seal_column(),
    UniqueConstraint("domain", "selector"),
)
"""Keys that sign mail which leaves; ``sealed_private`` holds nothing once one is retired (``appliance.dkim_keys``)."""

mta_sts_policies = Table(
    "mta_sts_policies",
    METADATA,
    Column("domain_index", LargeBinary(BLIND_INDEX_BYTES), primary_key=True),
    Column("fetched_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("sealed_policy", LargeBinary, nullable=False),
    seal_column(),
)
"""Policies of other domains about their mail servers (``appliance.policy_records``)."""
