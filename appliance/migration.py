"""Brings the row database to the form that this release works with, forward only.

Each step is one transaction: a release that is cut off goes on with the step that it was at, and whoever waits hears
that work gets on. Tables that are made for a new database come all at once, or none.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from appliance import schema
from mailstore.database import Database
from mailstore.errors import RefusedError
from mailstore.failpoint import reached

STEPS = Path(__file__).parent / "migrations"
TELL_EVERY_SECONDS: Final = 5.0


@dataclass(frozen=True)
class StepNews:
    """Work on ``step`` gets on, since so many ``seconds``; so many ``left`` still follow it."""

    step: str
    left: int
    seconds: float

    @property
    def sentence(self) -> str:
        """For people."""
        return f"rows: step {self.step} for {self.seconds:.0f} s, {self.left} to follow"


Tell = Callable[[StepNews], None]


class _UndoneError(Exception):
    """Ends a transaction whose steps were only tried."""


def upgrade(database: Database, *, is_undone: bool = False, tell: Tell | None = None) -> None:
    """Take every step that is missing. ``RefusedError`` for a database of a later release.

    ``is_undone``: take them in one transaction and undo them again, to see that they can be taken. ``tell``: hears of
    each step when it begins, and every few seconds for as long as it gets on; silence means that nothing happens.
    """
    has_taken = False
    try:
        while _has_taken(database, is_undone=is_undone, tell=tell):
            has_taken = True
    except _UndoneError:
        return
    if has_taken:
        reached("migration.after_steps")


def _has_taken(database: Database, *, is_undone: bool, tell: Tell | None) -> bool:
    """Take the next step; False when there is none."""
    with database.write() as connection:
        found = schema.revision(connection)
        missing = missing_steps(found)
        if not missing:
            return False
        is_whole = is_undone or found is None
        watch = _Watch(missing[0], 0 if is_whole else len(missing) - 1, tell or _to_nobody)
        watch.gets_on()
        with database.watched(connection, watch.gets_on):
            command.upgrade(configuration(connection), "head" if is_whole else missing[0])
        if is_undone:
            raise _UndoneError
        reached("migration.before_commit")
    return True


def missing_steps(found: str | None) -> tuple[str, ...]:
    """The steps that follow the one that was ``found`` last, oldest first. ``RefusedError`` when nobody knows it."""
    known = known_steps()
    if found is not None and found not in known:
        raise RefusedError(
            "the row database was made by a later release", fix="start it with the release that wrote it last"
        )
    return tuple(reversed(known if found is None else known[: known.index(found)]))


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


@dataclass
class _Watch:
    """Hears many times a second that a step gets on, and tells it every few seconds."""

    step: str
    left: int
    tell: Tell
    _begun: float = field(default_factory=time.monotonic)
    _next: float = 0.0

    def gets_on(self) -> None:
        """Tell it, if it is time."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + TELL_EVERY_SECONDS
            self.tell(StepNews(self.step, self.left, now - self._begun))


def _to_nobody(_news: StepNews) -> None:
    """Nobody waits for it."""
