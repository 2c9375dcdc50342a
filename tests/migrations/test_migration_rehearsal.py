"""The steps of a new release are tried on a copy: the rows stay as they are, and nothing of the copy stays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import text

from appliance import database_wiring, migration, migration_rehearsal, schema
from appliance.data_directory import DataDirectory
from appliance.settings import DatabaseSettings, PracticeSettings, Settings
from mailstore.database import Database
from mailstore.errors import StorageUnavailableError, TamperedError
from tests import database_room
from tests.database_room import ENGINES, Engine

ROW_KEY = bytes(range(32))
OLDEST = migration.known_steps()[-1]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    found: Engine = request.param
    return found


@pytest.fixture
def place(tmp_path: Path, engine: Engine) -> Iterator[tuple[DataDirectory, Settings, Database]]:
    """A directory whose rows have the oldest form that there was."""
    data = DataDirectory(tmp_path)
    settings = Settings(practice=PracticeSettings(name="Juniper", domain="clinic.example"))
    if engine == "postgresql":
        url = database_room.rows_url(tmp_path, is_empty=True, engine=engine)
        settings = replace(settings, database=DatabaseSettings(url=url))
    database = Database(database_wiring.rows_url(data, settings.database), ROW_KEY)
    with database.write() as connection:
        command.upgrade(migration.configuration(connection), OLDEST)
    yield data, settings, database
    database.dispose()


def revision(database: Database) -> str | None:
    with database.read() as connection:
        return schema.revision(connection)


def test_missing_steps_are_tried_and_the_rows_stay_as_they_are(place: tuple[DataDirectory, Settings, Database]) -> None:
    data, settings, database = place
    found = migration_rehearsal.rehearsed(data, settings, ROW_KEY)
    assert found.steps == len(migration.known_steps()) - 1
    assert found.seconds > 0
    assert revision(database) == OLDEST
    assert not data.rehearsal.exists()


def test_steps_that_cannot_be_taken_are_told_and_nothing_of_the_copy_stays(
    place: tuple[DataDirectory, Settings, Database],
) -> None:
    data, settings, database = place
    with database.write() as connection:
        connection.execute(text("CREATE TABLE shared_parts (in_the_way INTEGER)"))
    with pytest.raises((TamperedError, StorageUnavailableError)):
        migration_rehearsal.rehearsed(data, settings, ROW_KEY)
    assert revision(database) == OLDEST
    assert not data.rehearsal.exists()


def test_rows_of_this_release_need_no_rehearsal(place: tuple[DataDirectory, Settings, Database]) -> None:
    data, settings, database = place
    migration.upgrade(database)
    assert migration_rehearsal.rehearsed(data, settings, ROW_KEY).steps == 0
