"""Backups of a running practice, made by themselves and on command while mail comes in, here and in a bucket."""

from __future__ import annotations

import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyotp
import pytest

from tests import add_only_bucket, running_practice, s3_servers
from tests.add_only_bucket import AddOnlyBucket
from tests.running_practice import RunningPractice

ANN = "ann@clinic.example"
SETTINGS = """
[[backup.target]]
name = "nas"
url = "{nas}"

[[backup.target]]
name = "far"
url = "{far}"
credentials_file = "{credentials}"
"""


@dataclass
class Sender:
    """Sends letters until told to stop, and remembers each that was taken."""

    practice: RunningPractice
    taken: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        number = 0
        while not self.ended.is_set():
            number += 1
            letter = f"From: a@example.net\r\nTo: {ANN}\r\nSubject: letter {number}\r\n\r\nhello {number}\r\n"
            self.practice.deliver(letter.encode(), sender="a@example.net", recipients=[ANN])
            self.taken.append(f"letter {number}")


@pytest.fixture
def bucket(tmp_path: Path) -> AddOnlyBucket:
    return add_only_bucket.made(s3_servers.minio(), tmp_path)


@pytest.fixture
def practice(tmp_path: Path, bucket: AddOnlyBucket) -> RunningPractice:
    made = running_practice.made(tmp_path)
    made.add_user(ANN, "clinician")
    (tmp_path / "nas").mkdir()
    with (made.data / "strongroom.toml").open("a", encoding="utf-8") as settings:
        settings.write(SETTINGS.format(nas=tmp_path / "nas", far=bucket.url, credentials=bucket.credentials_file))
    shutil.copy(made.data / "keys" / "unlock.key", tmp_path / "elsewhere.key")
    return made


def restored(practice: RunningPractice, tmp_path: Path, source: str) -> RunningPractice:
    """What comes back on a new machine from a target and a key file alone."""
    new = RunningPractice(tmp_path / "new", practice.base, practice.people)
    words = ("--key-file", str(tmp_path / "elsewhere.key"))
    answer = new.run("restore", *words, "--from", source)
    assert answer.code == 0, (answer.stdout, answer.stderr)
    return new


def subjects(practice: RunningPractice, tmp_path: Path) -> set[str]:
    words = ("--key-file", str(tmp_path / "elsewhere.key"))
    practice.told("sign-in", ANN, *words, *signing_in(practice))
    items: list[dict[str, Any]] = practice.told("message", "list", ANN, "--as", ANN, *words)["items"]
    return {item["subject"] for item in items}


def signing_in(practice: RunningPractice) -> tuple[str, ...]:
    code = pyotp.TOTP(practice.people[ANN]).now()
    return ("--password-file", str(practice.password_file), "--totp", code)


def test_everything_taken_before_a_backup_is_read_after_a_fire(
    practice: RunningPractice, tmp_path: Path, bucket: AddOnlyBucket
) -> None:
    with practice.serving():
        nas = tmp_path / "nas"
        far = bucket.target()
        practice.until(lambda: any(nas.glob("keys/generations/*")) and any(far.held("keys/generations/")))
        practice.until(lambda: any(nas.glob("data/generations/*")) and any(far.held("data/generations/")))
        sender = Sender(practice)
        load = threading.Thread(target=sender.run)
        load.start()
        try:
            practice.until(lambda: len(sender.taken) >= 5)
            before = set(sender.taken)
            made = practice.told("backup", "create", "--to", "nas")
            assert [each["kind"] for each in made["generations"]] == ["data", "keys"]
            practice.told("backup", "create", "--to", "far")
        finally:
            sender.ended.set()
            load.join()
        listed = practice.told("backup", "list")
        assert {item["target"] for item in listed["items"]} == {str(nas), bucket.url}
        assert practice.told("backup", "verify", "--from", "nas")["problems"] == []
    new = restored(practice, tmp_path, str(nas))
    assert before <= subjects(new, tmp_path) <= set(sender.taken)
    checked = practice.told("backup", "verify")
    assert checked["is_opened"] is True
    assert checked["problems"] == []
    assert not (practice.data / "backup" / "work" / "rows.sqlite3").exists()
