"""What ``init`` makes and every later start relies on: the key ring and the two databases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from sqlalchemy import inspect

from appliance import database_wiring, dkim_wiring, migration, schema
from appliance.data_directory import DataDirectory
from appliance.front_door_wiring import RANDOMNESS
from appliance.settings import DatabaseSettings, KeystoreSettings, Settings
from mailstore import audit_trail, key_custody
from mailstore.audit_entry import AuditFact
from mailstore.database import Database
from mailstore.errors import RefusedError
from mailstore.key_hierarchy import KeyRing
from mailstore.slot_key_file import KeyFile, create_key_file
from mailstore.slot_passphrase import PassphraseFile
from mailstore.time_witnesses import ThisMachine
from mailstore.trusted_clock import TrustedClock
from mailstore.wall_clock import Clock


def make_keys(data: DataDirectory, *, passphrase_file: Path | None, key_file: Path | None, now: datetime) -> KeyRing:
    """Make the key ring of a new directory, with a key file inside it unless a secret was named.

    A key file that is not there yet is made where it was named.
    """
    if passphrase_file is not None:
        return key_custody.create(data.keys, PassphraseFile(passphrase_file), RANDOMNESS, now=now)
    path = key_file or data.unlock_key
    secret = KeyFile(path) if path.exists() else create_key_file(path, RANDOMNESS)
    return key_custody.create(data.keys, secret, RANDOMNESS, now=now)


def database_settings(database_url: str | None, keystore_url: str | None) -> tuple[DatabaseSettings, KeystoreSettings]:
    """Where rows and keys shall be kept, passwords still in the URLs. ``RefusedError`` for URLs that cannot be used."""
    database, keystore = DatabaseSettings(url=database_url or ""), KeystoreSettings(url=keystore_url or "")
    for url in (database.url, keystore.url):
        if url:
            database_wiring.parsed_url(url)
    database_wiring.refuse_one_for_both(database, keystore)
    return database, keystore


def with_password_files(data: DataDirectory, settings: Settings) -> Settings:
    """The same settings with passwords in files of their own, which the settings name."""
    return replace(
        settings,
        database=database_wiring.with_password_file(data, settings.database, data.database_password),
        keystore=database_wiring.with_password_file(data, settings.keystore, data.keystore_password),
    )


@contextmanager
def databases_made(data: DataDirectory, settings: Settings, ring: KeyRing, clock: Clock) -> Iterator[None]:
    """Make the two databases of a new directory, with the first audit entry.

    ``RefusedError`` when one of them holds anything already. When the block fails, those on a server are left as empty
    as they were found; files go with their directory.
    """
    _refuse_used(data, settings, ring)
    database_wiring.made_keystore(data, settings.keystore).close()
    try:
        with _rows(data, settings, ring) as database:
            _make_rows(database, clock)
            dkim_wiring.begin(database, settings, ring, now=clock.now())
        yield
    except BaseException:
        _unmake(data, settings, ring)
        raise


def _unmake(data: DataDirectory, settings: Settings, ring: KeyRing) -> None:
    """Files go with their directory; what is on a server is emptied."""
    if settings.keystore.url:
        keystore = database_wiring.opened_keystore(data, settings)
        keystore.unmake()
        keystore.close()
    if settings.database.url:
        with _rows(data, settings, ring) as database:
            database.drop_all(*schema.METADATAS)


@contextmanager
def _rows(data: DataDirectory, settings: Settings, ring: KeyRing) -> Iterator[Database]:
    database = Database(database_wiring.rows_url(data, settings.database), ring.row_key)
    try:
        yield database
    finally:
        database.dispose()


def _refuse_used(data: DataDirectory, settings: Settings, ring: KeyRing) -> None:
    with _rows(data, settings, ring) as database, database.read() as connection:
        found = inspect(connection).get_table_names()
    if found:
        raise RefusedError("the row database holds tables already", fix="name an empty database")


def _make_rows(database: Database, clock: Clock) -> None:
    migration.upgrade(database)
    with database.write() as connection:
        fact = AuditFact("appliance.made", "system", "appliance", {})
        audit_trail.append(connection, [fact], now=clock.now())
        TrustedClock(database, ThisMachine(clock)).begin(connection)
