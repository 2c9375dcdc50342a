"""Rows and keys move from files to PostgreSQL: whole, once, whatever cuts the move short."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from appliance import process_file, schema
from appliance.data_directory import DataDirectory
from mailstore import audit_trail
from tests import database_room, lived_practice, postgresql_room
from tests.lived_practice import CANARIES, KEPT, LivedPractice

pytestmark = pytest.mark.sqlite_files(reason="it moves away from them")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> LivedPractice:
    return lived_practice.lived(tmp_path_factory.mktemp("lived"))


@pytest.fixture
def practice(whole: LivedPractice, tmp_path: Path) -> LivedPractice:
    shutil.copytree(whole.path, tmp_path / "data")
    return replace(whole, path=tmp_path / "data")


@pytest.fixture
def targets(practice: LivedPractice) -> tuple[str, str]:
    """Two empty databases, for rows and for keys."""
    return (
        database_room.rows_url(practice.path, is_empty=True, engine=database_room.Engine.POSTGRESQL),
        database_room.keystore_url(practice.path),
    )


def words_of(targets: tuple[str, str]) -> tuple[str, ...]:
    return ("database", "move", "--to", targets[0], "--keystore-to", targets[1])


def rows_of(practice: LivedPractice) -> dict[str, list[list[object]]]:
    """Every row of every table as it is stored, with its seal."""
    with practice.opened() as appliance, appliance.database.read() as connection:
        tables = [table for metadata in schema.METADATAS for table in metadata.sorted_tables]
        read = appliance.database.rows.pages
        return {table.name: [row for page in read(connection, table, 500) for row in page] for table in tables}


def test_everything_is_there_after_the_move_and_the_files_are_not(
    practice: LivedPractice, targets: tuple[str, str]
) -> None:
    before = rows_of(practice)
    answer = practice.ask(*words_of(targets))
    assert answer.code == 0, answer
    told, after = answer.json, rows_of(practice)
    own = {"audit_entries", "audit_state"}  # the move itself is on record
    assert {name: rows for name, rows in after.items() if name not in own} == {
        name: rows for name, rows in before.items() if name not in own
    }
    assert told["moved"] == told["verified"] == sum(map(len, before.values()))
    assert told["tables"] == len(before)
    assert postgresql_room.shared().password not in answer.out.decode() + answer.err
    assert "messages: " in answer.err
    data = DataDirectory(practice.path)
    assert not data.rows.exists()
    assert not data.keystore.exists()
    assert told["old_rows"] == str(data.moved_rows)
    with practice.opened() as appliance:
        assert appliance.retrieval.content(practice.kept)
        report = audit_trail.verify(
            appliance.database,
            public_key=appliance.signer.audit_public,
            checkpoints_path=data.checkpoints,
        )
    assert report.first_bad is None
    assert practice.ask("doctor").json["items"]
    states = {item["state"] for item in practice.ask("doctor").json["items"] if item["check"] != "unlock"}
    assert states <= {"ok", "warn"}


@pytest.mark.parametrize(
    "step",
    [
        "database_move.after_steps",
        "database_copy.after_page:5",
        "database_move.after_some_keys",
        "database_move.after_record",
    ],
)
def test_move_that_was_killed_is_gone_on_with(practice: LivedPractice, targets: tuple[str, str], step: str) -> None:
    before = rows_of(practice)
    name, _, time = step.partition(":")
    killed(practice, targets, f"{name}:kill@{time or 1}")
    assert rows_of(practice) == before, "until the settings are switched the old rows count"
    with practice.opened() as appliance:
        lived_practice.archived(appliance, [lived_practice.taken_in(appliance, KEPT)])
    answer = practice.ask(*words_of(targets))
    assert answer.code == 0, answer
    assert len(rows_of(practice)["messages"]) == len(before["messages"]) + 1


@pytest.mark.parametrize("step", ["after_switch", "after_row_file"])
def test_move_that_was_killed_after_the_switch_has_happened(
    practice: LivedPractice, targets: tuple[str, str], step: str
) -> None:
    before = rows_of(practice)
    killed(practice, targets, f"database_move.{step}:kill")
    assert len(rows_of(practice)["messages"]) == len(before["messages"])
    assert practice.ask("doctor").json["items"]
    answer = practice.ask(*words_of(targets))
    assert answer.code == 0, answer
    data = DataDirectory(practice.path)
    assert not data.keystore.exists()
    assert not data.rows.exists()


def test_nothing_moves_while_serve_runs_or_into_what_is_not_empty(
    practice: LivedPractice, targets: tuple[str, str]
) -> None:
    database = database_room.database_name(practice.path / database_room.ROWS)
    with postgresql_room.shared().administering(database) as administrator:
        administrator.execute("CREATE TABLE x ()")
    answer = practice.ask(*words_of(targets))
    assert "holds tables already" in answer.json["error"]["message"]
    with process_file.held(practice.data):
        answer = practice.ask(*words_of(targets))
        assert answer.json["error"]["code"] == "sealed", "whoever holds the place is asked first, and does not answer"
    answer = practice.ask("database", "move", "--to", targets[0], "--keystore-to", targets[0])
    assert "share one database" in answer.json["error"]["message"]
    answer = practice.ask("database", "move", "--to", "mysql://u:secret@h/d")
    assert answer.code == 1
    assert "secret" not in answer.out.decode() + answer.err
    assert practice.data.rows.exists()


def test_changed_row_stops_the_move_and_is_named(practice: LivedPractice, targets: tuple[str, str]) -> None:
    database_room.attack(practice.data.rows, "UPDATE recipients SET attempts = attempts + 1")
    answer = practice.ask(*words_of(targets))
    assert answer.json["error"]["code"] == "tampered"
    assert "recipients(" in answer.json["error"]["message"]
    assert practice.data.rows.exists()
    assert practice.data.keystore.exists()


def test_erased_row_file_leaves_nothing_aside(practice: LivedPractice, targets: tuple[str, str]) -> None:
    answer = practice.ask(*words_of(targets), "--erase")
    assert answer.json["old_rows"] is None
    assert not list(practice.path.glob("*.sqlite3*"))


def killed(practice: LivedPractice, targets: tuple[str, str], failpoint: str) -> None:
    words = [sys.executable, "-m", "appliance.cli", "--data", str(practice.path), *words_of(targets)]
    done = subprocess.run(
        words, cwd=ROOT, env={**os.environ, "STRONGROOM_FAILPOINT": failpoint}, capture_output=True, check=False
    )
    assert done.returncode == -9, done


def test_no_word_of_a_message_is_in_the_server(practice: LivedPractice, targets: tuple[str, str]) -> None:
    assert practice.ask(*words_of(targets)).code == 0
    contents = postgresql_room.shared().contents()
    assert not any(word.encode() in content for _, content in contents for word in CANARIES)
