"""Backups that are due are made, those that are not wait, and a target that fails keeps no other one waiting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from appliance import backup_health, schema
from appliance.backup_schedule import BackupSchedule
from appliance.backup_settings import BackupSettings, BackupTargetSettings, target_place
from appliance.backups import Backups
from appliance.wiring import Appliance
from mailstore import key_copies
from mailstore.errors import RefusedError, StorageUnavailableError
from mailstore.key_hierarchy import CaptureKeyPair
from mailstore.wall_clock import SetClock, SystemClock
from tests import add_only_bucket, database_room, lived_practice, running_practice, s3_servers
from tests.backup_room import ReadData
from tests.lived_practice import LivedPractice


@dataclass
class Clinic:
    """A practice with targets, under a clock of our own."""

    folder: Path
    practice: LivedPractice
    clock: SetClock
    targets: tuple[BackupTargetSettings, ...]

    @contextmanager
    def opened(self) -> Iterator[Appliance]:
        with self.practice.opened() as appliance:
            told = replace(appliance.settings, backup=BackupSettings(target=self.targets, bytes_per_second=0))
            yield replace(appliance, settings=told, clock=self.clock)

    def generations(self, name: str) -> tuple[int, int]:
        found = [list((self.folder / name / kind / "generations").glob("*.json")) for kind in ("data", "keys")]
        return len(found[0]), len(found[1])


def directory(folder: Path, name: str, *, is_there: bool = True) -> BackupTargetSettings:
    if is_there:
        (folder / name).mkdir()
    return BackupTargetSettings(name=name, url=str(folder / name))


@pytest.fixture
def clinic(tmp_path: Path) -> Clinic:
    targets = (directory(tmp_path, "gone", is_there=False), directory(tmp_path, "nas"))
    clock = SetClock(SystemClock().now())
    return Clinic(tmp_path, lived_practice.founded(tmp_path), clock, targets)


def test_what_is_due_is_made_and_a_target_that_fails_keeps_no_other_waiting(clinic: Clinic) -> None:
    with clinic.opened() as appliance:
        schedule = BackupSchedule(appliance, should_stop=lambda: False)
        for _ in range(2):
            schedule.data()
            schedule.keys()
        assert clinic.generations("nas")[0] == 1, "the second is not due yet"
        clinic.clock.advance(timedelta(hours=25))
        schedule.data()
        assert clinic.generations("nas")[0] == 2
        clinic.clock.advance(timedelta(days=-3))
        schedule.data()
        assert clinic.generations("nas")[0] == 3, "a clock that was set back puts nothing off"


def test_a_backup_is_given_up_when_the_appliance_ends(clinic: Clinic) -> None:
    with clinic.opened() as appliance:
        schedule = BackupSchedule(appliance, should_stop=lambda: True)
        schedule.data()
        schedule.keys()
        assert clinic.generations("nas") == (0, 0)
        with pytest.raises(StorageUnavailableError):
            schedule._told("objects", 1, 2)


def test_the_age_of_each_target_is_an_alarm_of_its_own(clinic: Clinic) -> None:
    with clinic.opened() as appliance:
        BackupSchedule(appliance, should_stop=lambda: False).data()
        BackupSchedule(appliance, should_stop=lambda: False).keys()
        found = {each.name: each for each in backup_health.reports(appliance)}
        assert found["backup nas"].failings == ()
        assert len(found["backup gone"].failings) == 2
        assert found["backups"].cautions, "its only key lies in the data directory"
        clinic.clock.advance(timedelta(hours=2))
        found = {each.name: each for each in backup_health.reports(appliance)}
        assert len(found["backup nas"].failings) == 1
        clinic.clock.advance(timedelta(hours=72))
        found = {each.name: each for each in backup_health.reports(appliance)}
        assert len(found["backup nas"].failings) == 2
        clinic.clock.advance(timedelta(days=-7_000))
        found = {each.name: each for each in backup_health.reports(appliance)}
        assert all("dated by a clock that was wrong" in told for told in found["backup nas"].failings)
        assert len(found["backup nas"].failings) == 2


def test_rows_in_a_backup_say_which_step_of_the_tables_they_are(clinic: Clinic) -> None:
    nas = clinic.targets[1]
    with clinic.opened() as appliance:
        made = Backups(appliance).make_data(nas)
        target, _ = Backups(appliance).opened(nas)
    pair = CaptureKeyPair.of(running_practice.ring_of(clinic.practice.data).data_recovery)
    read = ReadData(target, made.generation, pair)
    assert read.contents.engine == database_room.ENGINE.value
    with read.rows(clinic.folder) as rows:
        assert rows.execute("SELECT version_num FROM alembic_version").fetchall() == [(schema.HEAD,)]
        assert rows.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert {"strongroom.toml", "birth.json", "tls/server.key"} <= set(read.files())


def test_an_emptied_target_is_not_begun_anew(clinic: Clinic) -> None:
    nas = clinic.targets[1]
    with clinic.opened() as appliance:
        Backups(appliance).make_keys(nas)
        (clinic.folder / "nas").rename(clinic.folder / "unplugged")
        (clinic.folder / "nas").mkdir()
        with pytest.raises(StorageUnavailableError, match="no record"):
            Backups(appliance).make_keys(nas)
        assert list((clinic.folder / "nas").iterdir()) == []


def test_a_target_in_the_data_directory_is_refused(clinic: Clinic) -> None:
    with clinic.opened() as appliance:
        for place in (appliance.data.path, appliance.data.path / "objects", appliance.data.path / ".." / "data"):
            with pytest.raises(RefusedError, match="data directory"):
                Backups(appliance).make_keys(BackupTargetSettings(name="x", url=str(place)))


def test_places_that_are_none_are_named() -> None:
    for place in ("", "relative/path", "ftp://host/x", "s3+http://store.example/b", "/", "/a\nb"):
        assert target_place(place), place
    for place in ("/mnt/nas", "s3+https://store.example:9000/backups?prefix=clinic"):
        assert target_place(place) == ""


def test_a_bucket_that_does_not_say_that_it_removes_keys_is_told_of(tmp_path: Path) -> None:
    bucket = add_only_bucket.made(s3_servers.minio(), tmp_path)
    told = BackupTargetSettings(name="far", url=bucket.url, credentials_file=str(bucket.credentials_file))
    clinic = Clinic(tmp_path, lived_practice.founded(tmp_path), SetClock(SystemClock().now()), (told,))
    with clinic.opened() as appliance:
        Backups(appliance).make_data(told)
        Backups(appliance).make_keys(told)
        far = {each.name: each for each in backup_health.reports(appliance)}["backup far"]
        assert "does not say" in far.cautions[0]
        with appliance.database.read() as connection:
            assert key_copies.known(connection)[0].is_kept_for_ever
        for days, word in ((3, "before a whole backup"), (60, "promise 30")):
            bucket.expire("keys/", days)
            far = {each.name: each for each in backup_health.reports(appliance)}["backup far"]
            assert word in far.cautions[0]
        bucket.expire("keys/", 30)
        far = {each.name: each for each in backup_health.reports(appliance)}["backup far"]
        assert (far.failings, far.cautions) == ((), ())
