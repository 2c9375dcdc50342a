"""``strongroom check`` over a whole life, damaged on purpose, from the outside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mailstore import message_records
from mailstore.object_layout import new_object_name
from tests import answered_fields, database_room, lived_practice
from tests.check_room import spoil
from tests.lived_practice import LivedPractice


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> LivedPractice:
    return lived_practice.lived(tmp_path_factory.mktemp("lived"))


@pytest.fixture
def practice(lived: LivedPractice, tmp_path: Path) -> LivedPractice:
    database_room.copied_practice(lived.path, tmp_path / "data")
    return replace(lived, path=tmp_path / "data")


WHOLE = {"checked": 3, "problems": [], "to_come": 0, "to_come_first": []}


def checked(practice: LivedPractice, *words: str) -> tuple[int, dict[str, Any]]:
    answer = practice.ask("check", *words)
    answered_fields.check(("check",), answer.json)
    return answer.code, answer.json


def kinds(told: dict[str, Any]) -> list[tuple[str, bool]]:
    return [(problem["kind"], problem["repaired"]) for problem in told["problems"]]


def test_directory_after_a_whole_life_has_no_problem(lived: LivedPractice) -> None:
    assert checked(lived) == (0, WHOLE)
    assert checked(lived, "--quick") == (0, WHOLE)


def test_left_over_is_told_and_then_swept(practice: LivedPractice) -> None:
    name = new_object_name(lambda count: bytes(range(count)))
    with practice.opened() as appliance:
        appliance.objects.put(name, b"sealed")
    code, told = checked(practice)
    assert (code, kinds(told), told["problems"][0]["object"]) == (1, [("object_without_message", False)], name)
    code, told = checked(practice, "--repair")
    assert (code, kinds(told)) == (0, [("object_without_message", True)])
    assert checked(practice)[0] == 0


def test_altered_object_is_made_anew_and_one_without_a_second_copy_is_left_and_named(practice: LivedPractice) -> None:
    with practice.opened() as appliance, appliance.database.read() as connection:
        kept, held = message_records.stored_many(connection, [practice.kept, practice.held])
    spoil(practice.data.objects / str(kept.object_name), 40)
    assert checked(practice, "--repair")[1]["problems"][0]["repaired"] is True
    spoil(practice.data.objects / str(held.object_name), 40)
    spoil(practice.data.spool / str(held.segment), held.offset + 40)
    code, told = checked(practice, "--repair")
    assert (code, kinds(told)) == (1, [("bytes_altered", False)])
    (problem,) = told["problems"]
    assert problem["message"] == practice.held
    assert problem["object"] == held.segment
    assert "restore" in problem["fix"]


def test_checkpoint_from_elsewhere_is_held_against_the_log(practice: LivedPractice, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text(practice.data.checkpoints.read_text("utf-8").rstrip("\n"), "utf-8")
    assert checked(practice, "--quick", "--checkpoint", str(kept))[0] == 0
    other = lived_practice.founded(tmp_path / "other")
    code, told = checked(other, "--quick", "--checkpoint", str(kept))
    assert (code, kinds(told)) == (1, [("checkpoint_contradicted", False)])
    kept.write_text("\n", "utf-8")
    assert practice.ask("check", "--checkpoint", str(kept)).json["error"]["code"] == "refused"
