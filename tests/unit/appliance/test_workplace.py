"""Two appliances on one store: the copy, the restored one and the twin are refused, and only a person moves it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from appliance import schema, workplace
from appliance.workplace import TAKEN_OVER_EVENT, Claim, WorksElsewhereError
from mailstore import audit_trail
from mailstore.database import Database
from mailstore.errors import StorageUnavailableError
from tests import database_room
from tests.vault_room import NOW

ROW_KEY = bytes(range(32))


class FileRecord:
    """A record beside the objects of a store that is a directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    fails_at = ""

    def read(self) -> bytes | None:
        self._require_store()
        return self.path.read_bytes() if self.path.exists() else None

    def write(self, content: bytes) -> None:
        self._require_store()
        if self.fails_at != "before":
            self.path.write_bytes(content)
        if self.fails_at:
            raise StorageUnavailableError("the answer did not come")

    def _require_store(self) -> None:
        if not self.path.parent.is_dir():
            raise StorageUnavailableError("the store is away")


class House:
    """A data directory, with rows of its own, on a store that it shares."""

    def __init__(self, directory: Path, store: Path) -> None:
        directory.mkdir(exist_ok=True)
        store.mkdir(exist_ok=True)
        self.directory = directory
        (directory / "birth.json").touch()
        self.database = Database(database_room.rows_url(directory), ROW_KEY)
        self.database.create_all(*schema.METADATAS)
        self.record = FileRecord(store / "workplace")
        self.place = workplace.place_of(directory, row_key=ROW_KEY)

    @property
    def claim(self) -> Claim:
        return Claim(self.database, self.record, place=self.place, row_key=ROW_KEY, randomness=os.urandom)

    def copied(self, to: Path) -> House:
        self.database.truncate_journal()
        self.database.dispose()
        shutil.copytree(self.directory, to)
        database_room.copied(self.directory / database_room.ROWS, to / database_room.ROWS)
        return House(to, self.record.path.parent)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path / "data", tmp_path / "store")


def test_one_directory_starts_again_and_again(house: House) -> None:
    for day in range(3):
        house.claim.begin(now=NOW + timedelta(days=day))
        assert house.claim.is_ours(house.claim.token())


def test_copy_beside_the_living_one_is_refused_and_says_what_to_do(house: House, tmp_path: Path) -> None:
    house.claim.begin(now=NOW)
    copy = house.copied(tmp_path / "copy")
    with pytest.raises(WorksElsewhereError, match="this is a copy") as refused:
        copy.claim.begin(now=NOW)
    assert "strongroom store take-over" in refused.value.fix
    house.claim.begin(now=NOW)


def test_copy_made_before_the_first_start_is_refused_by_the_store(house: House, tmp_path: Path) -> None:
    copy = house.copied(tmp_path / "copy")
    house.claim.begin(now=NOW)
    with pytest.raises(WorksElsewhereError, match="this is a copy"):
        copy.claim.begin(now=NOW)


def test_rows_put_back_in_their_own_place_are_refused(house: House, tmp_path: Path) -> None:
    house.claim.begin(now=NOW)
    rows = house.directory / database_room.ROWS
    house.database.truncate_journal()
    house.database.dispose()
    database_room.copied(rows, tmp_path / "backup")
    house.claim.begin(now=NOW)
    house.database.dispose()
    database_room.copied(tmp_path / "backup", rows)
    restored = House(house.directory, house.record.path.parent)
    with pytest.raises(WorksElsewhereError, match="older than the last start"):
        restored.claim.begin(now=NOW)
    restored.claim.take_over(now=NOW)
    restored.claim.begin(now=NOW)


def test_take_over_moves_the_appliance_and_the_old_place_is_refused(house: House, tmp_path: Path) -> None:
    house.claim.begin(now=NOW)
    token = house.claim.token()
    copy = house.copied(tmp_path / "copy")
    copy.claim.take_over(now=NOW)
    copy.claim.begin(now=NOW)
    assert not house.claim.is_ours(token), "the living one notices within a minute"
    with pytest.raises(WorksElsewhereError):
        house.claim.begin(now=NOW)
    with copy.database.read() as connection:
        assert [entry.event for entry in audit_trail.of_events(connection, [TAKEN_OVER_EVENT])] == [TAKEN_OVER_EVENT]


def test_twin_with_the_same_place_makes_the_first_one_notice(house: House) -> None:
    house.claim.begin(now=NOW)
    token = house.claim.token()
    house.claim.begin(now=NOW)
    assert not house.claim.is_ours(token)


def test_store_that_is_away_keeps_nobody_from_starting(house: House) -> None:
    house.claim.begin(now=NOW)
    store = house.record.path.parent
    store.rename(store.with_name("away"))
    house.claim.begin(now=NOW)
    store.with_name("away").rename(store)
    house.claim.begin(now=NOW)


def test_lost_record_and_foreign_record_are_refused(house: House) -> None:
    house.claim.begin(now=NOW)
    written = house.record.path.read_bytes()
    house.record.path.unlink()
    with pytest.raises(WorksElsewhereError, match="lost its record"):
        house.claim.begin(now=NOW)
    for forged in (b"", b"{}", b"[]", written.replace(b'"starts": 1', b'"starts": 9'), os.urandom(50)):
        house.record.path.write_bytes(forged)
        with pytest.raises(WorksElsewhereError, match="not one of ours"):
            house.claim.begin(now=NOW)
    house.claim.take_over(now=NOW)
    house.claim.begin(now=NOW)


def test_place_is_kept_by_a_move_and_changed_by_a_copy_and_by_another_machine(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "birth.json").write_text("{}")
    (tmp_path / "one").write_text("machine one")
    (tmp_path / "two").write_text("machine two")

    def place(name: str, machine: str = "one") -> str:
        return workplace.place_of(tmp_path / name, row_key=ROW_KEY, machine_id=tmp_path / machine)

    first = place("a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert place("b") != first
    assert place("a", "two") != first
    assert place("a", "none") != first
    (tmp_path / "a").rename(tmp_path / "c")
    assert place("c") == first


CHILD = """
import sys
from pathlib import Path
from tests.unit.appliance.test_workplace import House, NOW
House(Path(sys.argv[1]), Path(sys.argv[2])).claim.begin(now=NOW)
"""


@pytest.mark.parametrize("step", ["after_announcement", "after_record", "after_rows"])
def test_start_that_was_killed_can_be_done_again(house: House, step: str) -> None:
    house.claim.begin(now=NOW)
    environment = {**os.environ, "STRONGROOM_FAILPOINT": f"workplace.{step}:kill", "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-c", CHILD, str(house.directory), str(house.record.path.parent)]
    assert subprocess.run(command, env=environment, check=False, timeout=60).returncode == -9
    house.claim.begin(now=NOW)
    assert house.claim.is_ours(house.claim.token())


@pytest.mark.parametrize("moment", ["before", "after"])
def test_record_that_was_written_or_not_with_no_answer_is_ours_all_the_same(house: House, moment: str) -> None:
    house.claim.begin(now=NOW)
    house.record.fails_at = moment
    house.claim.begin(now=NOW)
    house.record.fails_at = ""
    assert house.claim.is_ours(house.claim.token())
    house.claim.begin(now=NOW)
    assert house.claim.is_ours(house.claim.token())


def test_two_twins_that_start_at_once_do_not_both_stay(house: House, tmp_path: Path) -> None:
    """Machines cloned with their disks: same place, rows of their own."""
    house.claim.begin(now=NOW)
    twin = house.copied(tmp_path / "twin")
    twin.place = house.place
    first = house.claim
    twin.claim.begin(now=NOW)
    assert not first.is_ours(first.token())
    assert twin.claim.is_ours(twin.claim.token())
    with pytest.raises(WorksElsewhereError, match="older than the last start"):
        first.begin(now=NOW)
