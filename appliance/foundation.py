"""What ``init`` makes and every later start relies on: the key ring and the two databases."""

from __future__ import annotations

from pathlib import Path

from appliance import migration
from appliance.data_directory import DataDirectory
from appliance.front_door_wiring import RANDOMNESS
from mailstore import audit_trail, key_custody
from mailstore.audit_entry import AuditFact
from mailstore.database import Database, sqlite_url
from mailstore.key_custody import KeyFile, PassphraseFile
from mailstore.key_hierarchy import KeyRing
from mailstore.keystore import Keystore
from mailstore.time_witnesses import ThisMachine
from mailstore.trusted_clock import TrustedClock
from mailstore.wall_clock import Clock


def make_keys(data: DataDirectory, *, passphrase_file: Path | None, key_file: Path | None) -> KeyRing:
    """Make the key ring of a new directory, with a key file inside it unless a secret was named.

    A key file that is not there yet is made where it was named.
    """
    if passphrase_file is not None:
        return key_custody.create(data.keys, PassphraseFile(passphrase_file), RANDOMNESS)
    path = key_file or data.unlock_key
    secret = KeyFile(path) if path.exists() else key_custody.create_key_file(path, RANDOMNESS)
    return key_custody.create(data.keys, secret, RANDOMNESS)


def make_databases(data: DataDirectory, ring: KeyRing, clock: Clock) -> None:
    """Make the two databases of a new directory, with the first audit entry."""
    Keystore.create(data.keystore).close()
    database = Database(sqlite_url(data.rows), ring.row_key)
    try:
        migration.upgrade(database)
        with database.write() as connection:
            fact = AuditFact("appliance.made", "system", "appliance", {})
            audit_trail.append(connection, [fact], now=clock.now())
            TrustedClock(database, ThisMachine(clock)).begin(connection)
    finally:
        database.dispose()
