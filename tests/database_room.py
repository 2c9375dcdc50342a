"""Which engine the tests' databases are made on: SQLite files, or PostgreSQL when the session asks for it.

``STRONGROOM_TEST_DATABASE=postgresql`` makes every row database and every keystore of the helper rooms a database on
the session's own server. A directory stands for its databases on both engines: opening it again finds them again.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

from appliance import migration
from mailstore.database import Database, sqlite_url
from mailstore.errors import NotFoundError
from mailstore.keystore import Keystore
from mailstore.keystore_postgresql import PostgresqlKeystore
from mailstore.keystore_sqlite import SqliteKeystore
from tests import postgresql_room


class Engine(StrEnum):
    """What keeps rows and keys."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


ENGINES = tuple(Engine)
ENGINE = Engine(os.environ.get("STRONGROOM_TEST_DATABASE", "sqlite"))
IS_POSTGRESQL = ENGINE is Engine.POSTGRESQL
ROWS = "rows.sqlite3"
KEYSTORE = "keystore.sqlite3"
FURNISHED = "furnished"
TABLE_OF_KEYS = "shelved_keys" if IS_POSTGRESQL else "message_keys"

_made: list[str] = []


def rows_url(directory: Path, *, is_empty: bool = False, engine: Engine = ENGINE) -> str:
    """The row database of a directory. On PostgreSQL the tables may be there already, unless ``is_empty``."""
    if engine is Engine.SQLITE:
        return sqlite_url(directory / ROWS)
    return _url(directory / ROWS, template=postgresql_room.BARE if is_empty else _furnished())


def keystore_url(directory: Path) -> str:
    """The keystore of a directory, on the server."""
    return _url(directory / KEYSTORE, template=postgresql_room.BARE)


def made_keystore(directory: Path, *, engine: Engine = ENGINE) -> Keystore:
    """A new, empty keystore."""
    if engine is Engine.SQLITE:
        return SqliteKeystore.create(directory / KEYSTORE)
    return PostgresqlKeystore.create(keystore_url(directory))


def opened_keystore(directory: Path, *, engine: Engine = ENGINE) -> Keystore:
    """The keystore that was made for a directory."""
    if engine is Engine.SQLITE:
        return SqliteKeystore(directory / KEYSTORE)
    return PostgresqlKeystore(keystore_url(directory))


def init_words(data: Path) -> tuple[str, ...]:
    """What ``strongroom init`` is told besides, to make a practice whose rows and keys this engine keeps."""
    if not IS_POSTGRESQL:
        return ()
    return ("--database", rows_url(data, is_empty=True), "--keystore", keystore_url(data))


def keystore_of(directory: Path, *, engine: Engine = ENGINE) -> Keystore:
    """The keystore of a directory, made at the first call."""
    try:
        return opened_keystore(directory, engine=engine)
    except NotFoundError:
        return made_keystore(directory, engine=engine)


def copied_practice(data: Path, to: Path) -> None:
    """A data directory that nobody has open, with its databases, once more; the copy knows nothing of the first."""
    shutil.copytree(data, to)
    if IS_POSTGRESQL:
        settings = to / "strongroom.toml"
        text = settings.read_text("utf-8")
        for name in (ROWS, KEYSTORE):
            copied(data / name, to / name)
            text = text.replace(database_name(data / name), database_name(to / name))
        settings.write_text(text, "utf-8")


def attack(path: Path, statement: str, *values: object, engine: Engine = ENGINE) -> list[tuple[Any, ...]]:
    """Do to a database what somebody can do who has its file, or is its server's superuser; no reference binds them.

    A ``?`` stands for each value. Answers the rows, if the statement gives any.
    """
    if engine is Engine.SQLITE:
        with closing(sqlite3.connect(path, isolation_level=None)) as raw:
            if not values and ";" in statement and "TRIGGER" not in statement:
                return raw.executescript(statement).fetchall()
            return raw.execute(statement, values).fetchall()
    spoken = re.sub(r"\bx'([0-9a-f]*)'", r"'\\x\1'::bytea", statement)
    with postgresql_room.shared().administering(database_name(path)) as connection:
        connection.execute("SET session_replication_role = replica")
        cursor = connection.execute(spoken.replace("?", "%s").encode(), values or None)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def away(path: Path) -> Iterator[None]:
    """A database that nobody has open cannot be reached for a while."""
    if IS_POSTGRESQL:
        server, name = postgresql_room.shared(), database_name(path)
        server.command("ALTER DATABASE {} ALLOW_CONNECTIONS false", name)
        yield
        server.command("ALTER DATABASE {} ALLOW_CONNECTIONS true", name)
    else:
        moved = path.rename(path.with_suffix(".away"))
        path.mkdir()
        yield
        path.rmdir()
        moved.rename(path)


def copied(path: Path, to: Path) -> None:
    """A database that nobody has open, once more under another path: a backup, or what somebody took away."""
    if IS_POSTGRESQL:
        server = postgresql_room.shared()
        server.drop(database_name(to))
        server.create(database_name(to), template=database_name(path))
        _made.extend({database_name(to)}.difference(_made))
    else:
        shutil.copy(path, to)


def database_name(path: Path) -> str:
    """The database on the server that stands for a file."""
    return "t_" + hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:24]


def made() -> list[str]:
    """Every database that was made in this process and not dropped yet, oldest first."""
    return list(_made)


def drop(names: list[str]) -> None:
    """Remove databases that no test needs any more."""
    for name in names:
        postgresql_room.shared().drop(name)
        _made.remove(name)


def _url(path: Path, *, template: str) -> str:
    name = database_name(path)
    server = postgresql_room.shared()
    if name not in _made:
        server.create(name, template=template)
        _made.append(name)
    return server.url(name)


def _furnished() -> str:
    """A database with all tables, to be copied: making them takes a quarter of a second."""
    if FURNISHED not in _made:
        server = postgresql_room.shared()
        server.create(FURNISHED)
        database = Database(server.url(FURNISHED), bytes(32))
        migration.upgrade(database)
        database.dispose()
        _made.insert(0, FURNISHED)
    return FURNISHED
