"""Two appliances on one store: the copy of a living practice refuses, until a person moves the practice there."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

import pytest

from tests import running_practice, s3_servers
from tests.running_practice import RunningPractice

DESK = "desk@clinic.example"
RECORDS = "ruth@clinic.example"
LETTER = b"From: a@elsewhere.example\r\nTo: desk@clinic.example\r\nSubject: x\r\n\r\nhello\r\n"


@pytest.fixture
def practice(tmp_path: Path) -> RunningPractice:
    server = s3_servers.minio()
    url = server.url("places", prefix=secrets.token_hex(6))
    words = ("--object-store", url, "--object-store-credentials", str(server.credentials_file))
    made = running_practice.made(tmp_path, init_words=words)
    made.add_user(DESK, "frontdesk")
    made.add_user(RECORDS, "records")
    return made


def refused_start(practice: RunningPractice) -> dict[str, str]:
    """What ``serve`` says when it does not start."""
    told = practice.ready_line(practice.start("--json"))
    assert "ready" not in told, told
    error: dict[str, str] = told["error"]
    return error


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_copy_is_refused_and_take_over_moves_the_practice(practice: RunningPractice, tmp_path: Path) -> None:
    with practice.serving():
        practice.deliver(LETTER, sender="a@elsewhere.example", recipients=[DESK])
        practice.until(lambda: practice.told("store", "status")["promoted"] == 1)
        assert practice.refused("store", "take-over")["message"].startswith("process ")
    practice.sign_in(RECORDS)
    shutil.copytree(practice.data, tmp_path / "copy", ignore=shutil.ignore_patterns("*.sock"))
    copy = RunningPractice(tmp_path / "copy", practice.base)
    error = refused_start(copy)
    assert (error["code"], "this is a copy" in error["message"]) == ("works_elsewhere", True)
    assert "strongroom store take-over" in error["fix"]
    for words in (("store", "status"), ("archive", "status"), ("message", "list", DESK, "--as", DESK)):
        assert copy.refused(*words)["code"] == "works_elsewhere"
    with practice.serving():
        assert practice.told("store", "status")["store"] == "ok"
    copy.told("store", "take-over")
    assert practice.refused("disposal", "run", "a" * 26, "--as", RECORDS)["code"] == "works_elsewhere"
    with copy.serving():
        assert copy.told("store", "status") | {"spool_bytes": 0} == {
            "spooled": 0,
            "promoted": 1,
            "oldest_spooled_seconds": 0,
            "store": "ok",
            "enforces": copy.told("store", "status")["enforces"],
            "spool_bytes": 0,
            "cap_bytes": 21_474_836_480,
            "problem": "",
            "fix": "",
        }
    assert refused_start(practice)["code"] == "works_elsewhere"
