"""``strongroom key`` on a whole practice: ways in, shares, and a rotation while mail flows."""

from __future__ import annotations

import stat
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from appliance.data_directory import DataDirectory
from tests import running_practice
from tests.running_practice import RunningPractice, ring_of

ANN = "ann@clinic.example"
_number = count(1)


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> RunningPractice:
    made = running_practice.made(tmp_path_factory.mktemp("keys"))
    made.add_user(ANN, "clinician")
    made.sign_in(ANN)
    return made


def deliver(practice: RunningPractice) -> str:
    subject = f"letter {next(_number)}"
    content = f"From: a@example.net\r\nSubject: {subject}\r\n\r\nhello there\r\n".encode()
    practice.deliver(content, sender="a@example.net", recipients=[ANN])
    return subject


def subjects(practice: RunningPractice) -> set[str]:
    return {item["subject"] for item in practice.told("message", "list", ANN, "--as", ANN)["items"]}


def test_shares_of_several_people_open_the_practice_and_too_few_do_not(
    practice: RunningPractice, tmp_path: Path
) -> None:
    pages = tmp_path / "pages"
    made = practice.told("key", "shares", "make", "--need", "2", "--of", "3", "--into", str(pages))
    assert made["kind"] == "shares"
    assert len(made["files"]) == 6
    assert stat.S_IMODE(pages.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(Path(file).stat().st_mode) == 0o600 for file in made["files"])
    assert (pages / "share-2-of-3.pdf").read_bytes().startswith(b"%PDF")
    typed = tmp_path / "typed.txt"
    typed.write_bytes(b"\n\n".join((pages / f"share-{number}-of-3.txt").read_bytes() for number in (3, 1)))
    tested = practice.told("key", "slot", "test", "--shares", str(typed))
    assert tested["id"] == made["id"]
    assert tested["tested_at"]
    typed.write_bytes((pages / "share-2-of-3.txt").read_bytes())
    assert "takes 2 different shares" in practice.refused("key", "slot", "test", "--shares", str(typed))["message"]
    assert "not empty" in practice.refused(
        "key", "shares", "make", "--need", "2", "--of", "3", "--into", str(pages)
    )["message"]  # fmt: skip


def test_a_way_in_is_added_tried_and_removed(practice: RunningPractice, tmp_path: Path) -> None:
    key = tmp_path / "spare.key"
    key.write_text("5" * 64 + "\n")
    added = practice.told("key", "slot", "add", "--new-key-file", str(key), "--label", "the safe")
    assert practice.told("key", "slot", "test", "--key-file", str(key))["id"] == added["id"]
    listed = {item["id"]: item for item in practice.told("key", "slot", "list")["items"]}
    assert (listed[added["id"]]["label"], listed[added["id"]]["kind"]) == ("the safe", "key_file")
    assert "shall go" in practice.refused("key", "slot", "remove", added["id"], "--key-file", str(key))["message"]
    practice.told("key", "slot", "remove", added["id"])
    assert practice.refused("key", "slot", "test", "--key-file", str(key))["code"] == "wrong_key"
    assert practice.refused("key", "slot", "add")["message"].startswith("one new secret")


def test_a_running_practice_goes_on_while_its_keys_are_renewed(practice: RunningPractice) -> None:
    with practice.serving():
        before = ring_of(DataDirectory(practice.data))
        sent = {deliver(practice), deliver(practice)}
        assert sent <= subjects(practice)
        rotation = practice.told("key", "rotate")
        assert rotation["rewrapped"] >= 2
        assert rotation["unopened"] == []
        after = ring_of(DataDirectory(practice.data))
        assert after.capture != before.capture
        practice.until(lambda: can_deliver(practice, sent), seconds=60)
        practice.until(lambda: sent <= subjects(practice), seconds=60)
    assert practice.told("key", "rotate")["left"] == 0
    assert len(sent) == 3
    assert sent <= subjects(practice)


def can_deliver(practice: RunningPractice, sent: set[str]) -> bool:
    """Roles are started again with what they may have of the new ring: a server that comes just then tries again."""
    try:
        sent.add(deliver(practice))
    except OSError:
        return False
    return True


def test_a_message_is_taken_out_sealed_and_read_without_us(practice: RunningPractice, tmp_path: Path) -> None:
    item = practice.told("message", "list", ANN, "--as", ANN)["items"][0]
    line = ("message", "export", item["id"], "--into", str(tmp_path / "out"), "--as", ANN)
    told = practice.told(*line)
    read = [sys.executable, "-I", told["reader"], told["sealed"], told["key"]]
    content = subprocess.run(read, check=True, capture_output=True).stdout
    assert f"Subject: {item['subject']}".encode() in content
    assert stat.S_IMODE(Path(told["key"]).stat().st_mode) == 0o600
    assert "exported to there before" in practice.refused(*line)["message"]
    assert practice.told("key", "copies")["total"] == 0


def test_what_was_done_to_the_keys_stands_in_the_record(practice: RunningPractice) -> None:
    events = {entry["event"] for entry in practice.told("audit", "tail", "-n", "200")["items"]}
    assert {"key.rotated", "key.slot_added", "key.slot_removed", "key.slot_tested", "message.exported"} <= events
