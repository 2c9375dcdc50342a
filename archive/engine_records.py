"""Which search engine is in use and which is being built: the only module that touches ``search_engines``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection

from archive.tables import search_engines as table
from mailstore.sealed_rows import rows_of


class Engine(StrEnum):
    """What can keep the search index. A practice starts with the first."""

    WHOOSH = "whoosh"
    SQLITE = "sqlite"


@dataclass(frozen=True)
class Engines:
    """The engine that answers, since when, and the one that is being built beside it."""

    living: Engine = Engine.WHOOSH
    since: datetime | None = None
    building: Engine | None = None


_LIVING = "living"
_BUILDING = "building"


def engines(connection: Connection) -> Engines:
    """What the rows say now. No row: the engine that every archive begins with."""
    found = {row["purpose"]: row for row in rows_of(connection).select(connection, table)}
    living, building = found.get(_LIVING), found.get(_BUILDING)
    return Engines(
        living=Engine(living["engine"]) if living else Engine.WHOOSH,
        since=living["changed_at"] if living else None,
        building=Engine(building["engine"]) if building else None,
    )


def begin(connection: Connection, engine: Engine, *, now: datetime) -> None:
    """This one is being built: from now on both get what changes."""
    _put(connection, _BUILDING, engine, now)


def swap(connection: Connection, engine: Engine, *, now: datetime) -> None:
    """This one answers from now on, and nothing is being built."""
    _put(connection, _LIVING, engine, now)
    give_up(connection)


def give_up(connection: Connection) -> None:
    """Nothing is being built any more."""
    rows_of(connection).delete(connection, table, table.c.purpose == _BUILDING)


def _put(connection: Connection, purpose: str, engine: Engine, now: datetime) -> None:
    rows = rows_of(connection)
    rows.delete(connection, table, table.c.purpose == purpose)
    rows.insert(connection, table, {"purpose": purpose, "engine": engine.value, "changed_at": now})
