"""Picks the row database and the keystore of a data directory: files in it, or PostgreSQL databases by URL.

Passwords stand in a file that the settings name, in the URL, or in ``~/.pgpass`` of whoever runs this; they are in no
error, no log and no report.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL, make_url

from appliance.data_directory import DataDirectory
from appliance.settings import DatabaseSettings, KeystoreSettings, Settings
from mailstore import durable_file
from mailstore.database import Database, sqlite_url
from mailstore.errors import NotFoundError, RefusedError
from mailstore.keystore import Keystore
from mailstore.keystore_sqlite import SqliteKeystore

Place = DatabaseSettings | KeystoreSettings
OnePlace = TypeVar("OnePlace", DatabaseSettings, KeystoreSettings)


@contextmanager
def opened(data: DataDirectory, settings: Settings, row_key: bytes) -> Iterator[tuple[Database, Keystore]]:
    """Both databases of a data directory; they are closed at the end."""
    with rows(data, settings, row_key) as database:
        keystore = opened_keystore(data, settings)
        try:
            yield database, keystore
        finally:
            keystore.close()


@contextmanager
def rows(data: DataDirectory, settings: Settings, row_key: bytes) -> Iterator[Database]:
    """The row database alone. ``NotFoundError`` when its file is lost.

    It is never made anew: mail, holds and the audit log would be gone without a word.
    """
    if not settings.database.url and not data.rows.exists():
        raise NotFoundError(f"{data.rows.name} is not there", fix="restore it from a backup")
    database = Database(rows_url(data, settings.database), row_key)
    try:
        yield database
    finally:
        database.dispose()


def rows_url(data: DataDirectory, place: DatabaseSettings) -> str:
    """Where the rows are, password and all."""
    return _complete(data, place) if place.url else sqlite_url(data.rows)


def opened_keystore(data: DataDirectory, settings: Settings) -> Keystore:
    """The keystore. ``NotFoundError`` when it is lost: keys are never made anew."""
    if not settings.keystore.url:
        return SqliteKeystore(data.keystore)
    from mailstore.keystore_postgresql import PostgresqlKeystore  # noqa: PLC0415 -- its driver is loaded where used

    return PostgresqlKeystore(_complete(data, settings.keystore))


def made_keystore(data: DataDirectory, place: KeystoreSettings) -> Keystore:
    """A new, empty keystore. ``RefusedError`` where there is one, or where no key could ever be destroyed."""
    if not place.url:
        return SqliteKeystore.create(data.keystore)
    from mailstore.keystore_postgresql import PostgresqlKeystore  # noqa: PLC0415 -- as above

    return PostgresqlKeystore.create(_complete(data, place))


def refuse_one_for_both(database: DatabaseSettings, keystore: KeystoreSettings) -> None:
    """Backups of the data hold no keys: rows and keys never share a database."""
    if database.url and keystore.url and is_same(database.url, keystore.url):
        raise RefusedError(
            "rows and keys would share one database", fix="give the keystore a database, and a backup, of its own"
        )


def is_same(url: str, other: str) -> bool:
    """True when two URLs name one database."""
    return _where(url) == _where(other)


def without_password(url: str) -> tuple[str, str]:
    """A URL as the settings may say it, and the password that was in it."""
    parsed = parsed_url(url)
    password = parsed.password or ""
    return URL.create(
        "postgresql",
        username=parsed.username,
        host=parsed.host,
        port=parsed.port,
        database=parsed.database,
        query=parsed.query,
    ).render_as_string(hide_password=False), str(password)


def with_password_file(data: DataDirectory, place: OnePlace, path: Path) -> OnePlace:
    """The same place with the password that stood in its URL in a file of its own."""
    if not place.url:
        return place
    url, password = without_password(place.url)
    if not password:
        return replace(place, url=url)
    durable_file.replace(path, f"{password}\n".encode())
    return replace(place, url=url, password_file=str(path.relative_to(data.path)))


def shown(place: Place) -> str:
    """Where it is, for a report: server and database, neither password nor options."""
    parsed = parsed_url(place.url)
    host = parsed.query.get("host") or parsed.host or "this machine"
    port = f":{parsed.port}" if parsed.port else ""
    return f"PostgreSQL on {host}{port}, database {parsed.database}"


def parsed_url(url: str) -> URL:
    """A URL's parts. ``RefusedError`` when it is none of PostgreSQL; it is not quoted, for it may hold a password."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in {"postgresql", "postgresql+psycopg", "postgres"}:
        raise RefusedError("this is not the URL of a PostgreSQL database", fix="say postgresql://USER@HOST/DATABASE")
    try:
        parsed = make_url(f"postgresql+psycopg://{rest}")
    except ValueError:
        raise RefusedError("this URL cannot be read", fix="say postgresql://USER@HOST:PORT/DATABASE") from None
    if not parsed.database:
        raise RefusedError("this URL names no database", fix="say postgresql://USER@HOST/DATABASE")
    return parsed


def _complete(data: DataDirectory, place: Place) -> str:
    parsed = parsed_url(place.url)
    if place.password_file:
        parsed = parsed.set(password=_first_line(data.path / place.password_file))
    return parsed.render_as_string(hide_password=False)


def _first_line(path: Path) -> str:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RefusedError(f"the password file {path} cannot be read", fix="check its owner and mode") from error
    if not lines or not lines[0]:
        raise RefusedError(f"the password file {path} is empty", fix="its first line is the password")
    return lines[0]


def _where(url: str) -> tuple[object, ...]:
    parsed = parsed_url(url)
    return (parsed.query.get("host") or parsed.host, parsed.port, parsed.database)
