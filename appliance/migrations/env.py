"""What alembic runs for every step: over the connection it was handed, inside the caller's transaction."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from sqlalchemy import MetaData

from appliance import schema
from mailstore.tables import Instant


def render_item(kind: str, item: Any, _autogenerate: Any) -> str | Literal[False]:
    """A step is frozen: it names plain column types, never ours, which may change."""
    return "sa.BigInteger()" if kind == "type" and isinstance(item, Instant) else False


def run() -> None:
    """Take the steps that are missing."""
    whole = MetaData()
    for metadata in schema.METADATAS:
        for table in metadata.sorted_tables:
            table.to_metadata(whole)
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=whole,
        render_item=render_item,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
