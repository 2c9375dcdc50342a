"""Drills are made by themselves when they are due; one that failed, or is too old, is an alarm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from appliance import drill_health
from appliance.backup_settings import BackupTargetSettings
from appliance.drill_schedule import DrillSchedule
from appliance.wiring import Appliance
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


def test_report_that_somebody_touched_up_counts_for_nothing(room: RestoreRoom, appliance: Appliance) -> None:
    for report in reports_in(room):
        report.write_bytes(report.read_bytes().replace(b'"practice":"L', b'"practice":"l'))
    [never] = drill_health.reports(appliance)
    assert never.told == "not made yet"
