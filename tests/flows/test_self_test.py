"""The self-test of a running appliance, as an upgrade relies on it."""

from __future__ import annotations

from pathlib import Path

from tests import running_practice

STEPS = ["accepted", "stored", "opened", "in the archive", "in the index", "in the object store"]


def test_self_test_follows_one_message_through_the_whole_path(tmp_path: Path) -> None:
    practice = running_practice.made(tmp_path)
    practice.add_user("ida@clinic.example", "admin")
    with practice.serving():
        told = practice.told("self-test")
    assert told["passed"]
    assert [item["step"] for item in told["items"]] == STEPS


def test_self_test_of_an_appliance_that_does_not_run_fails_and_says_where(tmp_path: Path) -> None:
    practice = running_practice.made(tmp_path)
    answer = practice.run("self-test", "--wait", "1")
    assert answer.code == 1
    assert answer.json["passed"] is False
    assert [item["step"] for item in answer.json["items"]] == ["failed"]
