"""Where rows and keys are kept, and what their servers must be set to and are not: for the doctor."""

from __future__ import annotations

from dataclasses import dataclass

from appliance import database_wiring
from appliance.wiring import Appliance
from mailstore.keystore_sqlite import SqliteKeystore


@dataclass(frozen=True)
class PlaceReport:
    """``place`` in words; ``failings`` break a promise, ``cautions`` are to be known. Neither says a password."""

    place: str
    failings: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()


def of_rows(appliance: Appliance) -> PlaceReport:
    """The row database, and row files that the settings no longer name."""
    data, settings = appliance.data, appliance.settings
    if not settings.database.url:
        return PlaceReport(f"{data.rows.name} in the data directory")
    left = [path for path in (data.rows, data.moved_rows) if path.exists()]
    cautions = tuple(f"old rows lie in {path}: remove the file once the practice runs well" for path in left)
    return PlaceReport(database_wiring.shown(settings.database), tuple(appliance.database.shortcomings()), cautions)


def of_keys(appliance: Appliance) -> PlaceReport:
    """The keystore, and what stands in the way of destroying keys for good there."""
    data, settings = appliance.data, appliance.settings
    if isinstance(appliance.keystore, SqliteKeystore):
        return PlaceReport(f"{data.keystore.name} in the data directory")
    failings = appliance.keystore.shortcomings()
    if data.keystore.exists():
        failings.append(f"old keys lie in {data.keystore}: say the move again, it erases them")
    cautions = tuple(appliance.keystore.cautions())
    return PlaceReport(database_wiring.shown(settings.keystore), tuple(failings), cautions)
