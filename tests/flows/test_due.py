"""``strongroom due``, as a timer calls it: what is due is done once, and what could not be done is said."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from appliance.backup_schedule import BackupSchedule
from appliance.commands import due
from appliance.data_directory import DataDirectory
from appliance.wiring import Appliance
from mailstore.errors import StorageUnavailableError
from tests import running_practice
from tests.running_practice import RunningPractice


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> RunningPractice:
    made = running_practice.made(tmp_path_factory.mktemp("due"))
    (made.data.parent / "nas").mkdir()
    with (made.data / "strongroom.toml").open("a") as settings:
        settings.write(f'\n[[backup.target]]\nname = "nas"\nurl = "{made.data.parent / "nas"}"\n')
    return made


def generations(practice: RunningPractice) -> list[Path]:
    return sorted((practice.data.parent / "nas").glob("*/generations/*.json"))


def test_backup_that_is_due_is_made_once(practice: RunningPractice) -> None:
    assert practice.told("due", "backup") == {"under_way": False, "still_due": []}
    made = generations(practice)
    assert {path.parts[-3] for path in made} == {"data", "keys"}
    assert practice.told("due", "backup") == {"under_way": False, "still_due": []}
    assert generations(practice) == made


def test_drill_that_is_due_is_made_once(practice: RunningPractice) -> None:
    for _ in range(2):
        assert practice.told("due", "drill") == {"under_way": False, "still_due": []}
    assert len(list((practice.data / "certificates").glob("drill-*.json"))) == 1


def test_scrub_and_retention_say_what_they_found(practice: RunningPractice) -> None:
    assert practice.told("due", "scrub") == {"under_way": False, "bad": 0}
    assert practice.told("due", "retention") == {"holds": 0, "past_period": 0, "open_disposals": 0}


def test_backup_that_could_not_be_made_fails_the_timer(practice: RunningPractice) -> None:
    settings = practice.data / "strongroom.toml"
    missing = practice.data.parent / "missing"
    settings.write_text(
        settings.read_text("utf-8") + f'\n[[backup.target]]\nname = "usb"\nurl = "{missing}"\n', "utf-8"
    )
    answer = practice.run("due", "backup")
    assert (answer.code, answer.json) == (1, {"under_way": False, "still_due": ["usb"]})


def test_work_of_hours_is_given_up_when_the_appliance_is_sealed(practice: RunningPractice) -> None:
    """The process of a timer has keys too, which would outlive the sealing by as long as its work takes."""
    with practice.serving(), Appliance.opened(DataDirectory(practice.data)) as appliance:
        is_sealed = due.sealed_meanwhile(appliance)
        time.sleep(due.ASKED_AGAIN_SECONDS)
        assert not is_sealed()
        assert practice.told("seal")["was_open"] is True
        practice.until(is_sealed)
        with pytest.raises(StorageUnavailableError):
            BackupSchedule(appliance, should_stop=is_sealed)._told("objects", 1, 2)


def test_who_opened_the_practice_alone_is_not_sealed(practice: RunningPractice) -> None:
    with Appliance.opened(DataDirectory(practice.data)) as appliance:
        assert not due.sealed_meanwhile(appliance)()
