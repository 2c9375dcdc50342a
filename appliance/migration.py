"""Brings the row database to the form that this release works with, forward only, in one transaction."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from appliance import schema
from mailstore.database import Database
from mailstore.errors import RefusedError
from mailstore.failpoint import reached

STEPS = Path(__file__).parent / "migrations"


class _UndoneError(Exception):
    """Ends a transaction whose steps were only tried."""


def upgrade(database: Database, *, is_undone: bool = False) -> None:
    """Take every step that is missing, all of them or none. ``RefusedError`` for a database of a later release.

    ``is_undone``: take them and undo them again, to see that they can be taken.
    """
    try:
        if _has_taken(database, is_undone=is_undone):
            reached("migration.after_steps")
    except _UndoneError:
        return


def _has_taken(database: Database, *, is_undone: bool) -> bool:
    with database.write() as connection:
        found = schema.revision(connection)
        if found == schema.HEAD:
            return False
        if found is not None and found not in known_steps():
            raise RefusedError(
                "the row database was made by a later release", fix="start it with the release that wrote it last"
            )
        command.upgrade(configuration(connection), "head")
        if is_undone:
            raise _UndoneError
        reached("migration.before_commit")
    return True


def known_steps() -> tuple[str, ...]:
    """Every step, newest first."""
    return tuple(script.revision for script in ScriptDirectory(STEPS).walk_revisions())


def configuration(connection: Connection) -> Config:
    """What alembic is told: where the steps lie, and over which connection to take them."""
    told = Config()
    told.set_main_option("script_location", str(STEPS).replace("%", "%%"))
    told.set_main_option("file_template", "%%(rev)s")
    told.attributes["connection"] = connection
    return told
