"""Drills are made by themselves when they are due; one that failed, or is too old, is an alarm."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from appliance import drill_health
from appliance.backup_settings import BackupTargetSettings
from appliance.drill_schedule import DrillSchedule
from appliance.wiring import Appliance
from archive import key_succession
from mailstore.document_signing import SeedSigner
from mailstore.wall_clock import SetClock, SystemClock
from tests.lived_practice import KEPT, taken_in
from tests.restore_room import RestoreRoom

pytestmark = pytest.mark.sqlite_files(reason="it harms files of a backup of a data directory")


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> RestoreRoom:
    room = RestoreRoom(tmp_path_factory.mktemp("scheduled"))
    with room.practice.opened() as appliance:
        taken_in(appliance, KEPT)
    return room


@pytest.fixture
def appliance(room: RestoreRoom) -> Iterator[Appliance]:
    """Whole rings open backups themselves; the clock is the test's."""
    told = BackupTargetSettings(name="nas", url=str(room.target))
    with room.practice.opened() as opened:
        settings = replace(opened.settings, backup=replace(opened.settings.backup, target=(told,)))
        yield replace(opened, settings=settings, clock=SetClock(SystemClock().now()))


def reports_in(room: RestoreRoom) -> list[Path]:
    return sorted(room.practice.data.certificates.glob("drill-*.json"))


def test_drill_is_made_when_due_and_its_age_and_failure_are_alarms(room: RestoreRoom, appliance: Appliance) -> None:
    schedule, clock = DrillSchedule(appliance), appliance.clock
    assert isinstance(clock, SetClock)
    schedule.run()
    assert reports_in(room) == []
    [never] = drill_health.reports(appliance)
    assert (never.failings, bool(never.cautions)) == ((), True)
    room.back_up()
    schedule.run()
    schedule.run()
    assert len(reports_in(room)) == 1
    [good] = drill_health.reports(appliance)
    assert (good.failings, good.cautions) == ((), ())
    clock.advance(timedelta(days=46))
    [old] = drill_health.reports(appliance)
    assert old.failings == ("the newest drill is 46 days old",)
    pieces = [each for each in (room.target / "keys" / "pieces").rglob("*") if each.is_file()]
    for piece in pieces:
        piece.rename(piece.with_suffix(".away"))
    schedule.run()
    for piece in pieces:
        piece.with_suffix(".away").rename(piece)
    assert len(reports_in(room)) == 2
    [failed] = drill_health.reports(appliance)
    assert failed.failings == ("the newest drill failed: 0 of 0 messages opened",)


def test_drill_that_was_signed_before_the_key_was_renewed_counts_and_one_dated_after_it_does_not(
    room: RestoreRoom, appliance: Appliance
) -> None:
    folder, signer = room.practice.data.certificates, appliance.signer
    assert isinstance(signer, SeedSigner)
    [before] = drill_health.reports(appliance)
    newest = max(reports_in(room), key=lambda path: json.loads(path.read_bytes())["ended_at"])
    ended_at = datetime.fromisoformat(json.loads(newest.read_bytes())["ended_at"])
    renewed = replace(appliance, signer=replace(signer, certificate_seed=bytes(range(32))))
    [unknown] = drill_health.reports(renewed)
    assert unknown.told == "not made yet"
    for let_go_at, counts in ((ended_at, True), (ended_at - timedelta(seconds=1), False)):
        key_succession.add(folder, old_seed=signer.certificate_seed, new_seed=bytes(range(32)), at=let_go_at)
        [after] = drill_health.reports(renewed)
        assert (after.told == before.told) is counts
    (folder / key_succession.FILE).unlink()


def test_report_that_somebody_touched_up_counts_for_nothing(room: RestoreRoom, appliance: Appliance) -> None:
    for report in reports_in(room):
        report.write_bytes(report.read_bytes().replace(b'"practice":"L', b'"practice":"l'))
    [never] = drill_health.reports(appliance)
    assert never.told == "not made yet"
