"""After a whole life one byte is changed, anywhere: it is refused and named, and never read as something else (I7)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from appliance import schema
from mailstore import message_records
from mailstore.sealed_rows import DamagedRow
from tests import database_room, lived_practice
from tests.lived_practice import ANN, KEPT, RUTH, LivedPractice, taken_in

Change = Callable[[LivedPractice], str]
"""Changes a byte and answers what has to be named."""

READING = (
    ("message", "list", ANN, "--as", ANN),
    ("archive", "search", "quokka", "--as", RUTH),
    ("hold", "list"),
    ("audit", "tail", "-n", "5"),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> LivedPractice:
    return lived_practice.lived(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def practice(whole: LivedPractice, tmp_path: Path) -> LivedPractice:
    database_room.copied_practice(whole.path, tmp_path / "data")
    return replace(whole, path=tmp_path / "data", certificate=tmp_path / "data/certificates" / whole.certificate.name)


def spoil(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def failing(practice: LivedPractice) -> str:
    """What the doctor says has failed; an error of the whole command counts as well."""
    answer = practice.ask("doctor")
    assert answer.code == 1, answer.out
    assert "went wrong here" not in answer.err
    told = answer.json
    found = [item["message"] for item in told.get("items", []) if item["state"] == "fail"]
    return "\n".join([*found, told.get("error", {}).get("message", "")])


def refusal(practice: LivedPractice, *words: str) -> str:
    answer = practice.ask(*words)
    assert answer.code == 1, (words, answer.out)
    error = answer.json["error"]
    assert error["code"] != "internal", answer.err
    return str(error["message"])


def test_nothing_fails_before_anything_is_changed(practice: LivedPractice) -> None:
    assert practice.ask("doctor").code == 0
    assert all(practice.ask(*words).code == 0 for words in READING)


@pytest.mark.parametrize("part", range(4))
def test_sealed_object(practice: LivedPractice, part: int) -> None:
    with practice.opened() as appliance, appliance.database.read() as connection:
        name = str(message_records.stored(connection, practice.kept).object_name)
    path = practice.data.objects / name
    spoil(path, part * (path.stat().st_size - 1) // 3)
    assert name in failing(practice)
    for reader in (ANN, RUTH):
        assert name in refusal(practice, "message", "show", practice.kept, "--as", reader)
    assert practice.ask("message", "show", practice.held, "--as", ANN).code == 0


def test_spool_segment(practice: LivedPractice) -> None:
    with practice.opened() as appliance, appliance.database.read() as connection:
        stored = message_records.stored(connection, practice.spooled)
    spoil(practice.data.spool / str(stored.segment), stored.offset + stored.sealed_length // 2)
    assert str(stored.segment) in failing(practice)
    assert str(stored.segment) in refusal(practice, "message", "show", practice.spooled, "--as", ANN)


@pytest.mark.sqlite_files(reason="PostgreSQL keeps keys on shelves; their contract suite changes them there")
@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("batches", "batch"),
        ("batches", "sealed_for"),
        ("batches", "wrapped"),
        ("message_keys", "message"),
        ("message_keys", "batch"),
        ("message_keys", "wrapped"),
        ("destroyed", "message"),
    ],
)
def test_row_of_the_keystore(practice: LivedPractice, table: str, column: str) -> None:
    living = {"batches": practice.kept, "message_keys": practice.kept, "destroyed": practice.doomed[0]}[table]
    raw = sqlite3.connect(practice.data.keystore, isolation_level=None)
    key = "batch" if table == "batches" else "message"
    asked = "SELECT batch FROM message_keys WHERE message = ?" if table == "batches" else "SELECT ?"
    (name,) = raw.execute(asked, (living,)).fetchone()
    (value,) = raw.execute(f"SELECT {column} FROM {table} WHERE {key} = ?", (name,)).fetchone()  # noqa: S608 - constants
    changed = (
        bytes([value[0] ^ 1]) + value[1:] if isinstance(value, bytes) else ("b" if value[0] == "a" else "a") + value[1:]
    )
    raw.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (changed, name))  # noqa: S608 - constants
    raw.close()
    assert living in failing(practice)
    if table != "destroyed":
        assert "row" in refusal(practice, "message", "show", living, "--as", ANN) or column == "message"
    else:
        assert refusal(practice, "message", "show", living, "--as", ANN)


def test_row_of_every_table_in_every_column(practice: LivedPractice) -> None:
    """Each column of each table in turn: the row is named, by its table."""
    tried = set()
    with practice.opened() as appliance:
        for table in {table.name: table for each in schema.METADATAS for table in each.sorted_tables}.values():
            names = [column.name for column in table.columns]
            columns = ", ".join(f'"{name}"' for name in names)
            asked = f"SELECT {columns} FROM {table.name} LIMIT 1"  # noqa: S608 - our own names
            found = database_room.attack(practice.data.rows, asked)
            values = dict(zip(names, found[0] if found else (), strict=False))
            for column, value in values.items():
                if value is None or value == "":
                    continue
                new, seal = other(value), values["seal"]
                change = f'UPDATE {table.name} SET "{column}" = ? WHERE seal = ? RETURNING 1'  # noqa: S608 - as above
                assert database_room.attack(practice.data.rows, change, new, seal) == [(1,)]
                with appliance.database.read() as connection:
                    rows = list(appliance.database.rows.examine(connection, table))
                named = [row.name for row in rows if isinstance(row, DamagedRow)]
                assert [name.partition("(")[0] for name in named] == [table.name], f"{table.name}.{column}"
                database_room.attack(practice.data.rows, change, value, new if column == "seal" else seal)
                tried.add(table.name)
    assert len(tried) >= 18, tried


def other(value: object) -> object:
    match value:
        case bytes():
            return bytes([value[0] ^ 1]) + value[1:]
        case bool():
            return not value
        case int():
            return value + 1_000_003
        case str():
            return ("b" if value[0] == "a" else "a") + value[1:]
    raise AssertionError(type(value))


def test_row_that_was_changed_makes_commands_say_so_and_never_stumble(practice: LivedPractice) -> None:
    for name in (table.name for each in schema.METADATAS for table in each.sorted_tables):
        database_room.attack(practice.data.rows, f"UPDATE {name} SET seal = ?", bytes(32))  # noqa: S608 - as above
    found = failing(practice)
    assert "messages" in found
    for words in READING:
        assert refusal(practice, *words)
    assert "audit" in refusal(practice, "audit", "verify")


@pytest.mark.sqlite_files(reason="PostgreSQL's pages lie with its server")
def test_page_of_the_row_database(practice: LivedPractice) -> None:
    content = practice.data.rows.read_bytes()
    used = [at for at in range(100, len(content), 37) if content[at]]
    for at in used[:: max(1, len(used) // 4)]:
        spoil(practice.data.rows, at)
        for words in (("doctor", "--quick"), *READING):
            answer = practice.ask(*words)
            assert answer.code in {0, 1}
            assert "went wrong here" not in answer.err, (at, words, answer.err)
        spoil(practice.data.rows, at)


def test_file_of_the_index(practice: LivedPractice) -> None:
    for path in sorted(practice.data.index.glob("*.sealed")):
        spoil(path, path.stat().st_size // 2)
        assert path.name in refusal(practice, "archive", "search", "quokka", "--as", RUTH)
        spoil(path, path.stat().st_size // 2)
    assert practice.ask("archive", "search", "quokka", "--as", RUTH).json["total"] == 2


def test_audit_checkpoint(practice: LivedPractice) -> None:
    spoil(practice.data.checkpoints, practice.data.checkpoints.stat().st_size // 2)
    assert "checkpoint" in failing(practice)
    assert "checkpoint" in refusal(practice, "audit", "verify")


def test_certificate_and_its_key(practice: LivedPractice) -> None:
    path = practice.certificate
    for changed in (path, path.parent / "disposal.pem"):
        spoil(changed, changed.stat().st_size // 2)
        assert changed.name in failing(practice)
        answer = practice.ask("certificate", "verify", str(path))
        assert (answer.code, answer.json.get("valid", False)) == (1, False)
        spoil(changed, changed.stat().st_size // 2)
    assert practice.ask("certificate", "verify", str(path)).json["valid"]


def test_key_beside_the_practices_own_does_not_count(practice: LivedPractice) -> None:
    (practice.certificate.parent / "a.pem").write_text("a stranger's", "utf-8")
    assert practice.ask("certificate", "verify", str(practice.certificate)).json["valid"]


@pytest.mark.parametrize("name", ["slots.json", "keyring.json", "capture.pub", "unlock.key"])
def test_file_of_keys(practice: LivedPractice, name: str) -> None:
    path = practice.data.keys / name
    for at in (1, path.stat().st_size // 2, path.stat().st_size - 3):
        spoil(path, at)
        named = "slots.json" if name == "unlock.key" else name
        told = failing(practice)
        assert named in told or "key" in told
        assert refusal(practice, "message", "show", practice.kept, "--as", ANN)
        spoil(path, at)


@pytest.mark.parametrize("name", ["server.pem", "server.key", "ca.pem"])
def test_file_of_tls(practice: LivedPractice, name: str) -> None:
    for at in (2, 60, 85, 86, 100):
        spoil(practice.data.tls / name, at)
        assert "tls/" in failing(practice)
        spoil(practice.data.tls / name, at)


def test_birth_record(practice: LivedPractice) -> None:
    spoil(practice.data.birth_record, 30)
    assert "birth.json" in failing(practice)


def test_mail_is_still_taken_in_while_what_is_here_is_damaged(practice: LivedPractice) -> None:
    for path in (*practice.data.objects.rglob("*"), *practice.data.index.glob("*.sealed")):
        if path.is_file():
            spoil(path, path.stat().st_size // 2)
    with practice.opened() as appliance:
        new = taken_in(appliance, KEPT)
        assert appliance.retrieval.content(new) == KEPT
