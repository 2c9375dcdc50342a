"""Where rows and keys are kept, and what their servers must be set to and are not: for the doctor."""

from __future__ import annotations

from collections.abc import Sequence

from appliance import database_wiring
from appliance.health_finding import Seen, State
from appliance.wiring import Appliance
from mailstore.keystore_sqlite import SqliteKeystore

FIX = "see docs/decisions/postgresql.md"


def of_rows(appliance: Appliance) -> Seen:
    """The row database, and row files that the settings no longer name."""
    data, settings = appliance.data, appliance.settings
    if not settings.database.url:
        return State.OK, f"{data.rows.name} in the data directory", ""
    left = [path for path in (data.rows, data.moved_rows) if path.exists()]
    cautions = [f"old rows lie in {path}: remove the file once the practice runs well" for path in left]
    return _seen(database_wiring.shown(settings.database), appliance.database.shortcomings(), cautions)


def of_keys(appliance: Appliance) -> Seen:
    """The keystore, and what stands in the way of destroying keys for good there."""
    data, settings = appliance.data, appliance.settings
    if isinstance(appliance.keystore, SqliteKeystore):
        return State.OK, f"{data.keystore.name} in the data directory", ""
    failings = appliance.keystore.shortcomings()
    if data.keystore.exists():
        failings.append(f"old keys lie in {data.keystore}: say the move again, it erases them")
    return _seen(database_wiring.shown(settings.keystore), failings, appliance.keystore.cautions())


def _seen(place: str, failings: Sequence[str], cautions: Sequence[str]) -> Seen:
    """``failings`` break a promise, ``cautions`` are to be known. The place says no password."""
    if failings:
        return State.FAIL, f"{place}: {'; '.join(failings)}", FIX
    if cautions:
        return State.WARN, f"{place}; {'; '.join(cautions)}", FIX
    return State.OK, place, ""
