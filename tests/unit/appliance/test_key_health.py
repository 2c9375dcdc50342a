"""What the doctor says about ways in and copies of keys, over a real data directory."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from appliance import key_health
from appliance.health_finding import State
from mailstore import key_copies
from mailstore.key_copy import FOREVER, KeyCopy
from mailstore.wall_clock import SystemClock
from tests import lived_practice
from tests.lived_practice import LivedPractice

NOW = SystemClock().now()


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> LivedPractice:
    return lived_practice.founded(tmp_path_factory.mktemp("keys"))


def test_ways_in_are_told_until_each_was_tried(practice: LivedPractice, tmp_path: Path) -> None:
    data = practice.data
    state, told, fix = key_health.slots(data, now=NOW)
    assert (state, "one way in" in told, "shares make" in fix) == (State.WARN, True, True)
    second = tmp_path / "second.key"
    second.write_text("5a" * 32 + "\n", "ascii")
    second.chmod(0o600)
    practice.told("key", "slot", "add", "--new-key-file", str(second))
    assert key_health.slots(data, now=NOW)[0] is State.OK, "the file that lies there is tried at every start"
    elsewhere = tmp_path / "unlock.key"
    data.unlock_key.rename(elsewhere)
    try:
        state, told, fix = key_health.slots(data, now=NOW)
        assert (state, "not tried" in told, "slot test" in fix) == (State.WARN, True, True)
        for secret in (elsewhere, second):
            assert practice.ask("--key-file", str(secret), "key", "slot", "test").code == 0
        assert key_health.slots(data, now=SystemClock().now())[0] is State.OK
        assert key_health.slots(data, now=NOW + timedelta(days=500))[0] is State.WARN
        assert key_health.unlock(data)[0] is State.OK
    finally:
        elsewhere.rename(data.unlock_key)
    assert key_health.unlock(data)[0] is State.WARN


def test_copies_that_nobody_removes_are_told(practice: LivedPractice) -> None:
    with practice.opened() as appliance:
        assert key_health.copies(appliance)[0] is State.OFF
        for name, until in (("nas", NOW + timedelta(days=30)), ("far", FOREVER)):
            copy = KeyCopy(name * 4, name, NOW, until, NOW)
            with appliance.database.write() as connection:
                key_copies.note(connection, copy)
            state, told, _ = key_health.copies(appliance)
            assert state is (State.OK if name == "nas" else State.WARN)
        assert "far" in told
