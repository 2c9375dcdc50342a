"""The box is gone: from a target and a secret alone another one takes mail again, and reads what there was."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from tests import running_practice
from tests.running_practice import RunningPractice

pytestmark = pytest.mark.sqlite_files(reason="it destroys a data directory of files; servers keep their own")

DESK = "desk@clinic.example"
LETTER = b"From: a@elsewhere.example\r\nTo: desk@clinic.example\r\nSubject: the quokka\r\n\r\nhello\r\n"
HOUR = 3600.0


@pytest.mark.timeout(300)
def test_new_box_accepts_and_reads_mail_within_the_hour_of_a_total_loss(tmp_path: Path) -> None:
    practice = running_practice.made(tmp_path)
    practice.add_user(DESK, "frontdesk")
    target, elsewhere = tmp_path / "target", tmp_path / "elsewhere.key"
    target.mkdir()
    shutil.copy(practice.data / "keys" / "unlock.key", elsewhere)
    with practice.serving():
        for _ in range(3):
            practice.deliver(LETTER, sender="a@elsewhere.example", recipients=[DESK])
        practice.until(lambda: practice.told("archive", "status")["archived"] == 3)
        practice.until(lambda: practice.told("store", "status")["promoted"] == 3)
        practice.told("backup", "create", "--to", str(target))
        drilled = practice.told("backup", "drill", "--from", str(target))
        assert (drilled["passed"], drilled["opened"]) == (True, 3)
    shutil.rmtree(practice.data)
    begun = time.monotonic()
    new = RunningPractice(tmp_path / "new", practice.base, practice.people)
    told = new.told("restore", "--objects-later", "--from", str(target), "--key-file", str(elsewhere))
    assert (told["messages"], told["keys"], told["without_key"], told["problems"]) == (3, told["keys"], [], [])
    assert told["objects_to_come"] > 0
    assert not [path for path in (new.data / "objects").rglob("*") if path.is_file()]
    with new.serving("--key-file", str(elsewhere)):
        new.deliver(LETTER, sender="a@elsewhere.example", recipients=[DESK])
        assert time.monotonic() - begun < HOUR
        new.until(lambda: not list(new.data.glob(".restore-plan*")))
        new.until(lambda: new.told("archive", "status")["indexed"] == 4, seconds=90)
        new.sign_in(DESK)
        assert len(new.told("message", "list", DESK, "--as", DESK)["items"]) == 4
        found = {each["check"]: each["state"] for each in new.run("doctor").json["items"]}
    assert found["audit"] == found["keys"] == found["objects"] == "ok", found


def test_restored_box_begins_a_target_of_its_own_beside_the_old_one(tmp_path: Path) -> None:
    practice = running_practice.made(tmp_path)
    old, own, elsewhere = tmp_path / "target", tmp_path / "own", tmp_path / "elsewhere.key"
    old.mkdir()
    own.mkdir()
    shutil.copy(practice.data / "keys" / "unlock.key", elsewhere)
    practice.told("backup", "create", "--to", str(old))
    new = RunningPractice(tmp_path / "new", practice.base)
    new.told("restore", "--from", str(old), "--key-file", str(elsewhere))
    assert new.told("backup", "create", "--to", str(own), "--key-file", str(elsewhere))["problems"] == []
    words = ("restore", "--from", str(own), "--key-file", str(elsewhere))
    assert RunningPractice(tmp_path / "third", practice.base).told(*words)["problems"] == []
