"""The doctor's lines about the machine, on files that say what a machine would."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance import machine_health
from appliance.data_directory import DataDirectory
from appliance.health_finding import State
from appliance.settings import Settings
from mailstore import time_witnesses

NOW = datetime(2026, 3, 4, 5, 0, tzinfo=UTC)


def aged(path: Path, age: timedelta) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.touch()
    moment = (NOW - age).timestamp()
    os.utime(path, (moment, moment))
    return path


def test_update_that_waits_for_a_restart_is_told(tmp_path: Path) -> None:
    mark = tmp_path / "reboot-required"
    assert machine_health.restart(mark)[0] is State.OK
    mark.touch()
    assert machine_health.restart(mark)[0] is State.WARN


@pytest.mark.parametrize(("days", "state"), [(1, State.OK), (8, State.OK), (9, State.WARN)])
def test_security_updates_that_stopped_coming_are_told(tmp_path: Path, days: int, state: State) -> None:
    stamp = aged(tmp_path / "stamp", timedelta(days=days, hours=1))
    assert machine_health.security_updates(stamp, now=NOW)[0] is state
    assert machine_health.security_updates(tmp_path / "none", now=NOW)[0] is State.OFF


def test_worker_that_looks_around_no_more_is_told_and_one_that_is_starting_is_not(tmp_path: Path) -> None:
    data, settings = DataDirectory(tmp_path), Settings()
    assert machine_health.worker(data, settings, now=NOW)[0] is State.OK
    aged(data.alerts, timedelta(hours=2))
    assert machine_health.worker(data, settings, now=NOW)[0] is State.FAIL
    aged(data.process_file, timedelta(minutes=1))
    assert machine_health.worker(data, settings, now=NOW)[0] is State.OK, "serve has just been started"
    aged(data.process_file, timedelta(hours=2))
    aged(data.alerts, timedelta(minutes=14))
    assert machine_health.worker(data, settings, now=NOW)[0] is State.OK


def test_time_server_is_told_as_the_kernel_or_systemd_says(tmp_path: Path) -> None:
    mark = tmp_path / "synchronized"
    state, _, fix = machine_health.time_server(mark)
    assert (state is State.OK) == bool(time_witnesses.kernel_witness()) == (not fix)
    mark.touch()
    assert machine_health.time_server(mark)[0] is State.OK


def test_copy_of_keys_that_an_upgrade_left_is_told(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path / "practice")
    assert machine_health.set_aside_copies(data)[0] is State.OK
    (tmp_path / "practice.before-upgrade.unfinished").mkdir()
    state, told, fix = machine_health.set_aside_copies(data)
    assert state is State.FAIL
    assert "practice.before-upgrade.unfinished" in told
    assert "strongroom-set-aside drop" in fix
