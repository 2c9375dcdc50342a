"""The portal's tables. Who somebody is lies sealed; plain columns hold ids, roles, states and times."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table

from mailstore.tables import ID_LENGTH, Instant, id_column, seal_column

METADATA = MetaData()

accounts = Table(
    "accounts",
    METADATA,
    id_column("id", primary_key=True),
    Column("role", String(16), nullable=False, index=True),
    Column("state", String(16), nullable=False),
    Column("email_index", LargeBinary, nullable=False, unique=True),
    Column("sealed_person", LargeBinary, nullable=False),
    Column("sealed_secrets", LargeBinary, nullable=False),
    Column("last_code_step", BigInteger, nullable=False, default=-1),
    Column("created_at", Instant, nullable=False),
    seal_column(),
)
"""``last_code_step``: the newest one-time code that was used, so that none is used twice."""

credentials = Table(
    "credentials",
    METADATA,
    id_column("id", primary_key=True),
    id_column("account"),
    Column("kind", String(16), nullable=False),
    Column("lookup", LargeBinary, nullable=False, unique=True),
    Column("sealed_detail", LargeBinary, nullable=True),
    Column("sign_count", BigInteger, nullable=False, default=0),
    Column("created_at", Instant, nullable=False),
    Column("last_used_at", Instant, nullable=True),
    seal_column(),
    Index("ix_credentials_account", "account", "kind"),
)
"""App passwords and passkeys. ``lookup`` is a keyed digest: of the password, or of the passkey's credential id."""

codes = Table(
    "codes",
    METADATA,
    id_column("account", primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("issued_at", Instant, nullable=False),
    Column("issued_by", String(ID_LENGTH), nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("wrong_tries", Integer, nullable=False, default=0),
    Column("used_at", Instant, nullable=True),
    seal_column(),
)
"""Enrolment codes: at most one a person; a new one takes the place of the old."""

sessions = Table(
    "sessions",
    METADATA,
    Column("id_digest", LargeBinary, primary_key=True),
    id_column("account", nullable=True),
    Column("step", String(24), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("proved_at", Instant, nullable=False),
    Column("sealed_pending", LargeBinary, nullable=True),
    seal_column(),
    Index("ix_sessions_account", "account"),
    Index("ix_sessions_expires_at", "expires_at"),
)
"""``id_digest`` is all we keep of the cookie. ``proved_at``: when the person last showed a factor."""

throttles = Table(
    "throttles",
    METADATA,
    Column("subject", LargeBinary, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("wait_until", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    seal_column(),
)

drafts = Table(
    "drafts",
    METADATA,
    id_column("id", primary_key=True),
    id_column("account"),
    Column("about", String(ID_LENGTH), nullable=True),
    Column("state", String(16), nullable=False),
    Column("message", String(ID_LENGTH), nullable=True),
    Column("sealed_text", LargeBinary, nullable=True),
    Column("changed_at", Instant, nullable=False),
    seal_column(),
    Index("ix_drafts_account", "account", "state"),
)
"""What somebody is writing. The id is the form's idempotency key: one draft is sent at most once."""
