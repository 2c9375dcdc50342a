"""The first run refuses to be finished until recovery shares were typed back and opened the practice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance.data_directory import DataDirectory
from appliance.first_run_mark import Latch
from mailstore import slot_shares, ways_in
from tests import answered_fields, command_stage

PRACTICE = {"name": "Lakeside Clinic", "domain": "clinic.example"}
ADA = {"email": "ada@clinic.example", "name": "Ada Quinn", "password": "seventeen brave otters"}
TWO_OF_THREE = {"need": 2, "of": 3}
EVERYTHING = {"practice": PRACTICE, "administrator": ADA, "shares": TWO_OF_THREE}


@dataclass(frozen=True)
class Machine:
    """One machine on which the command is given, with a key file that lies apart from the data."""

    place: Path

    @property
    def data(self) -> DataDirectory:
        return DataDirectory(self.place / "data")

    def said(self, answers: object, *words: str, secret: Sequence[str] | None = None) -> tuple[int, Any]:
        """The exit code and the answer of ``strongroom setup --json``."""
        named = ["--key-file", str(self.place / "unlock.key")] if secret is None else list(secret)
        line = ["--data", str(self.data.path), *named, "setup", "--json", *words]
        done = command_stage.run(line, stdin=json.dumps(answers).encode(), seconds=60)
        told = json.loads(done.stdout)
        if done.code == 0 or "error" not in told:
            answered_fields.check(["setup"], told)
        return done.code, told


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    (tmp_path / "unlock.key").write_text("5a" * 32 + "\n", "utf-8")
    return Machine(tmp_path)


def test_before_anything_was_told_everything_is_missing(machine: Machine) -> None:
    for words in ([], ["--look"]):
        code, told = machine.said({}, *words)
        assert (code, told["finished"]) == (1, False)
        assert told["missing"] == ["practice", "administrator", "shares", "read_back"]
    assert not machine.data.path.exists()


def test_practice_is_finished_when_enough_shares_were_read_back(machine: Machine) -> None:
    code, told = machine.said(EVERYTHING)
    assert (code, told["missing"]) == (1, ["read_back"])
    assert told["administrator"]["totp_secret"]
    words = told["shares"]["words"]
    assert len(words) == 3
    assert machine.data.first_run.exists()
    assert machine.said({"read_back": words[1:]})[1]["finished"]
    assert not machine.data.first_run.exists()
    (shares,) = [slot for slot in ways_in.listed(machine.data.keys) if slot.kind == "shares"]
    assert shares.tested_at is not None
    assert machine.said({}, "--look") == (
        0,
        {"data": str(machine.data.path), "finished": True, "missing": []},
    )


def test_words_that_do_not_open_the_practice_finish_nothing(machine: Machine) -> None:
    words = machine.said(EVERYTHING)[1]["shares"]["words"]
    other = slot_shares.split(b"x" * 32, need=2, of=3)
    first, second = words[0].split(), words[1]
    wrong = [
        [words[0]],
        [words[0], words[0]],
        other[:2],
        [words[0], other[0]],
        [" ".join([first[1], first[0], *first[2:]]), second],
        [" ".join(["zebra", *first[1:]]), second],
        ["", ""],
        [words[0] + " academic", second],
    ]
    for each in wrong:
        code, told = machine.said({"read_back": each})
        assert code == 1
        assert told["error"]["code"] in ("wrong_key", "refused"), told
    assert machine.said({}, "--look")[1]["missing"] == ["read_back"]


def test_run_that_was_cut_off_goes_on_where_it_was(machine: Machine) -> None:
    assert machine.said({"practice": PRACTICE})[1]["missing"] == ["administrator", "shares", "read_back"]
    assert machine.said({"administrator": ADA})[1]["missing"] == ["shares", "read_back"]
    again = machine.said(EVERYTHING)[1]
    assert "administrator" not in again
    assert again["missing"] == ["read_back"]
    assert machine.said({"read_back": again["shares"]["words"][:2]})[0] == 0


def test_new_set_takes_the_place_of_one_that_nobody_read_back(machine: Machine) -> None:
    lost = machine.said(EVERYTHING)[1]["shares"]["words"]
    new = machine.said({"shares": TWO_OF_THREE})[1]["shares"]["words"]
    assert [slot.kind for slot in ways_in.listed(machine.data.keys)] == ["key_file", "shares"]
    assert machine.said({"read_back": lost[:2]})[0] == 1
    assert machine.said({"read_back": new[:2]})[0] == 0


def test_share_words_are_in_no_file(machine: Machine) -> None:
    words = machine.said(EVERYTHING)[1]["shares"]["words"]
    machine.said({"read_back": words[:2]})
    files = [path.read_bytes() for path in machine.place.rglob("*") if path.is_file()]
    for share in words:
        few = share.split()[4:8]
        assert not any(glue.join(few).encode() in content for content in files for glue in (" ", "\n", '","'))


def test_passphrase_opens_what_it_made_and_lies_nowhere(machine: Machine) -> None:
    passphrase = "orbit lantern velvet thunder maple"
    refused = machine.said({"practice": PRACTICE, "passphrase": "short"}, secret=[])[1]
    assert "too short" in refused["error"]["message"]
    told = machine.said({"practice": PRACTICE, "passphrase": passphrase}, secret=[])[1]
    assert told["missing"] == ["administrator", "shares", "read_back"]
    wrong = machine.said({"administrator": ADA, "passphrase": passphrase + "s"}, secret=[])[1]
    assert wrong["error"]["code"] == "wrong_key"
    assert machine.said({"administrator": ADA}, secret=[])[1]["error"]["code"] == "refused"
    files = [path.read_bytes() for path in machine.place.rglob("*") if path.is_file()]
    assert not any(passphrase.encode() in content for content in files)


def test_practice_that_nobody_named_a_secret_for_is_not_made(machine: Machine) -> None:
    code, told = machine.said(EVERYTHING, secret=[])
    assert code == 1
    assert "no secret" in told["error"]["message"]
    assert not machine.data.path.exists()


def test_going_without_shares_is_said_on_purpose(machine: Machine) -> None:
    assert machine.said({"practice": PRACTICE, "administrator": ADA})[1]["missing"] == ["shares", "read_back"]
    assert machine.said({}, "--without-shares")[1]["finished"]
    assert not machine.data.first_run.exists()


@pytest.mark.parametrize(
    "answers",
    [
        [],
        {"practise": PRACTICE},
        {"practice": {"name": "X"}},
        {"practice": {**PRACTICE, "more": 1}},
        {"shares": {"need": "2", "of": 3}},
        {"shares": {"need": True, "of": 3}},
        {"read_back": "words"},
        {"read_back": ["a " * 2000]},
        {"passphrase": ""},
    ],
)
def test_answers_that_nobody_asked_for_are_refused_whole(machine: Machine, answers: object) -> None:
    code, told = machine.said(answers)
    assert (code, told["error"]["code"]) == (1, "refused")
    assert not machine.data.path.exists()


def test_mail_of_other_machines_waits_until_the_mark_is_gone(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)
    data.first_run.write_text("{}", "utf-8")
    latch = Latch(data)
    assert latch.keeps_out("192.0.2.7")
    assert latch.keeps_out("2001:db8::1")
    assert latch.keeps_out("")
    assert not latch.keeps_out("127.0.0.1")
    assert not latch.keeps_out("::ffff:127.0.0.1")
    data.first_run.unlink()
    assert not latch.keeps_out("192.0.2.7")
    data.first_run.write_text("{}", "utf-8")
    assert not latch.keeps_out("192.0.2.7"), "it is not looked at again"
