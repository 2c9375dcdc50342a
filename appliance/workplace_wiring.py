"""Puts together the claim of a data directory to what it shares with the world outside."""

from __future__ import annotations

from appliance import object_store_wiring, workplace
from appliance.data_directory import DataDirectory
from appliance.front_door_wiring import RANDOMNESS
from appliance.settings import Settings
from appliance.workplace import Claim, SharedRecord
from mailstore.database import Database


def claim(data: DataDirectory, settings: Settings, database: Database, row_key: bytes) -> Claim | None:
    """The claim of this directory. None when nothing lies outside it: then a copy has everything of its own."""
    if not is_shared(settings):
        return None
    return Claim(
        database,
        _record(data, settings),
        place=workplace.place_of(data.path, row_key=row_key),
        row_key=row_key,
        randomness=RANDOMNESS,
    )


def require_ours(data: DataDirectory, settings: Settings, database: Database, row_key: bytes) -> None:
    """Raise ``WorksElsewhereError`` in a copy of a directory that shares something with the original."""
    if is_shared(settings):
        with database.read() as connection:
            workplace.require_ours(connection, workplace.place_of(data.path, row_key=row_key))


def is_shared(settings: Settings) -> bool:
    """True when rows, keys or objects lie outside the data directory."""
    return bool(settings.object_store.url or settings.database.url or settings.keystore.url)


def _record(data: DataDirectory, settings: Settings) -> SharedRecord | None:
    if not settings.object_store.url:
        return None
    from mailstore.store_record import StoreRecord  # noqa: PLC0415 - half a second that a local store does not pay

    return StoreRecord(object_store_wiring.bucket(data, settings), workplace.RECORD_NAME)
