"""The form of the row database that this release works with: all tables, and the name of the last step to them."""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text

import appliance.tables
import archive.tables
import mailstore.tables
import portal.tables
from mailstore.errors import RefusedError

METADATAS = (
    mailstore.tables.METADATA,
    archive.tables.METADATA,
    portal.tables.METADATA,
    appliance.tables.METADATA,
)
"""From the ground floor up."""

HEAD = "20261122_doubted_captures"
"""The newest step in ``migrations/versions``."""


def revision(connection: Connection) -> str | None:
    """The last step that was taken; None for a database without tables."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return str(found) if found else None


def require(connection: Connection) -> None:
    """``RefusedError`` unless the database has the form that this release works with."""
    found = revision(connection)
    if found != HEAD:
        raise RefusedError(
            f"the row database has the form {found}, and this release works with {HEAD}",
            fix="start serve of this release once: it brings the database up to date",
        )
