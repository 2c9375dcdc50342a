"""All tables of the row database in one place, for making them and for proving the migrations."""

from __future__ import annotations

import appliance.tables
import archive.tables
import mailstore.tables
import portal.tables

METADATAS = (
    mailstore.tables.METADATA,
    archive.tables.METADATA,
    portal.tables.METADATA,
    appliance.tables.METADATA,
)
"""From the ground floor up."""
