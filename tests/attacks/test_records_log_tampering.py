"""Someone edits, forks, shortens or rewrites the audit log: with the file only, with the row key, or with a backup."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mailstore import audit_trail
from mailstore.audit_entry import AuditFact, placed
from mailstore.audit_trail import AuditReport
from mailstore.audit_tree import Checkpoint, Frontier, checkpoint_from, signed_checkpoint
from mailstore.database import Database
from mailstore.document_signing import SeedSigner, signing_public
from mailstore.errors import DuplicateRowError, TamperedError
from mailstore.tables import audit_entries, audit_state
from tests import database_room
from tests.ledger_room import FILE_NAME, NOW, created, opened

SEED = b"s" * 32
SIGNER = SeedSigner(audit_seed=SEED, certificate_seed=bytes(32))
SIZE = 30


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of thirty entries with a checkpoint after every ten."""
    directory = tmp_path_factory.mktemp("log")
    database = created(directory)
    for step in range(3):
        facts = [AuditFact("message.opened", "system", f"m{step}", {"n": number}) for number in range(10)]
        with database.write() as connection:
            audit_trail.append(connection, facts, now=NOW + timedelta(minutes=step))
        audit_trail.write_checkpoint(database, directory / "checkpoints.jsonl", signer=SIGNER, now=NOW)
    database.truncate_journal()
    database.dispose()
    return directory


@pytest.fixture
def place(template: Path, tmp_path: Path) -> Path:
    database_room.copied(template / FILE_NAME, tmp_path / FILE_NAME)
    shutil.copy(template / "checkpoints.jsonl", tmp_path / "checkpoints.jsonl")
    return tmp_path


@pytest.fixture
def database(place: Path) -> Iterator[Database]:
    made = opened(place)
    yield made
    made.dispose()


def report(database: Database, place: Path) -> AuditReport:
    return audit_trail.verify(database, public_key=signing_public(SEED), checkpoints_path=place / "checkpoints.jsonl")


def edit(place: Path, statement: str) -> None:
    database_room.attack(place / FILE_NAME, statement)


def checkpoints(place: Path) -> list[Checkpoint]:
    return [checkpoint_from(line) for line in (place / "checkpoints.jsonl").read_text().splitlines()]


def rewrite(place: Path, work: Callable[[list[str]], list[str]]) -> None:
    path = place / "checkpoints.jsonl"
    path.write_text("".join(f"{line}\n" for line in work(path.read_text().splitlines())))


def test_untouched_log_holds(database: Database, place: Path) -> None:
    found = report(database, place)
    assert (found.entries, found.first_bad) == (SIZE, None)


@pytest.mark.parametrize("column", ["at", "actor", "event", "object", "detail", "leaf", "seal"])
@pytest.mark.parametrize("sequence", [0, 17, SIZE - 1])
def test_edited_entry_is_the_first_bad_one(database: Database, place: Path, column: str, sequence: int) -> None:
    edit(place, f"UPDATE audit_entries SET {column} = '0' WHERE sequence = {sequence}")  # noqa: S608 -- our own words
    found = report(database, place)
    assert found.first_bad is not None
    assert found.first_bad.sequence == sequence
    assert str(sequence) in found.first_bad.problem
    assert found.entries == sequence


@pytest.mark.parametrize(
    ("statement", "first"),
    [
        ("DELETE FROM audit_entries WHERE sequence = 12", 12),
        ("DELETE FROM audit_entries WHERE sequence = 0", 0),
        ("DELETE FROM audit_entries WHERE sequence >= 25", 25),
        ("DELETE FROM audit_entries", 0),
        ("UPDATE audit_entries SET sequence = 99 WHERE sequence = 3", 3),
        ("UPDATE audit_entries SET sequence = -1 WHERE sequence = 29", 0),
        (
            """UPDATE audit_entries SET sequence = 99 WHERE sequence = 3;
            UPDATE audit_entries SET sequence = 3 WHERE sequence = 4;
            UPDATE audit_entries SET sequence = 4 WHERE sequence = 99""",
            3,
        ),
        (
            """INSERT INTO audit_entries
            SELECT 30, at, actor, event, object, detail, leaf, seal FROM audit_entries LIMIT 1""",
            30,
        ),
    ],
)
def test_removed_moved_or_added_entry_is_noticed_at_its_place(
    database: Database, place: Path, statement: str, first: int
) -> None:
    edit(place, statement)
    found = report(database, place).first_bad
    assert found is not None
    assert found.sequence == first


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_state SET size = 29",
        "UPDATE audit_state SET frontier = x''",
        f"UPDATE audit_state SET frontier = x'{'00' * 128}'",  # noqa: S608 -- our own words
        "DELETE FROM audit_state",
    ],
)
def test_edited_end_of_the_log_is_noticed_and_nothing_is_added_to_it(
    database: Database, place: Path, statement: str
) -> None:
    edit(place, statement)
    assert report(database, place).first_bad is not None
    with pytest.raises((TamperedError, DuplicateRowError)), database.write() as connection:
        audit_trail.append(connection, [AuditFact("message.opened", "system")], now=NOW)
    assert report(database, place).entries == SIZE


def rewritten(database: Database, facts: list[AuditFact]) -> None:
    """What someone with the row key can do: a log that is sound in itself."""
    with database.write() as connection:
        database.rows.delete(connection, audit_entries, audit_entries.c.sequence >= 0)
        database.rows.delete(connection, audit_state, audit_state.c.id >= 0)
        audit_trail.append(connection, facts, now=NOW)


def test_log_rewritten_with_the_row_key_does_not_fit_its_checkpoints(database: Database, place: Path) -> None:
    rewritten(database, [AuditFact("message.sent", "system", "m")] * SIZE)
    found = report(database, place).first_bad
    assert found is not None
    assert "the log was rewritten" in found.problem


def test_log_shortened_with_the_row_key_is_shorter_than_its_checkpoints(database: Database, place: Path) -> None:
    rewritten(database, [])
    found = report(database, place).first_bad
    assert found is not None
    assert found.problem == "checkpoint 1 speaks of 10 entries, the log has 0"


def test_row_database_put_back_to_an_older_one_is_noticed(database: Database, place: Path) -> None:
    database.truncate_journal()
    database.dispose()
    database_room.copied(place / FILE_NAME, place / "old")
    with database.write() as connection:
        audit_trail.append(connection, [AuditFact("message.opened", "system")] * 5, now=NOW)
    audit_trail.write_checkpoint(database, place / "checkpoints.jsonl", signer=SIGNER, now=NOW)
    database.truncate_journal()
    database.dispose()
    for path in place.glob(f"{FILE_NAME}*"):
        path.unlink()
    database_room.copied(place / "old", place / FILE_NAME)
    again = opened(place)
    found = report(again, place).first_bad
    again.dispose()
    assert found is not None
    assert found.problem == "checkpoint 4 speaks of 35 entries, the log has 30"


def test_checkpoint_of_another_signer_is_refused(database: Database, place: Path) -> None:
    frontier = Frontier()
    frontier.append(placed(AuditFact("x", "system"), sequence=0, at=NOW).leaf())
    forged = signed_checkpoint(frontier, at=NOW, signer=SeedSigner(os.urandom(32), SEED))
    rewrite(place, lambda lines: [forged.line(), *lines])
    found = report(database, place).first_bad
    assert found is not None
    assert found.problem == "checkpoint 1 is not signed by this archive"


def test_forked_log_cannot_satisfy_both_checkpoints(database: Database, place: Path) -> None:
    """Two branches of the same size, each once signed: one log cannot be both."""
    other = Frontier()
    for number in range(SIZE):
        other.append(placed(AuditFact("other", "system"), sequence=number, at=NOW).leaf())
    branch = signed_checkpoint(other, at=NOW, signer=SIGNER)
    rewrite(place, lambda lines: [*lines, branch.line()])
    found = report(database, place).first_bad
    assert found is not None
    assert found.problem == f"checkpoint 4 states another root for the first {SIZE} entries: the log was rewritten"


def test_checkpoints_out_of_order_are_refused(database: Database, place: Path) -> None:
    rewrite(place, lambda lines: lines[::-1])
    found = report(database, place).first_bad
    assert found is not None
    assert found.problem == "checkpoint 2 is smaller than the one before"


@pytest.mark.parametrize("at", [0, 1, 2])
def test_one_changed_byte_of_any_checkpoint_is_refused(database: Database, place: Path, at: int) -> None:
    for position in range(0, len(checkpoints(place)[at].line()), 7):

        def change(lines: list[str], position: int = position) -> list[str]:
            line = lines[at]
            other = "1" if line[position] != "1" else "2"
            return [*lines[:at], line[:position] + other + line[position + 1 :], *lines[at + 1 :]]

        whole = (place / "checkpoints.jsonl").read_text()
        rewrite(place, change)
        found = report(database, place).first_bad
        assert found is not None
        assert f"checkpoint {at + 1} " in found.problem
        (place / "checkpoints.jsonl").write_text(whole)


def test_edited_entry_is_not_shown_either(database: Database, place: Path) -> None:
    edit(place, "UPDATE audit_entries SET actor = 'somebody' WHERE sequence = 29")
    with pytest.raises(TamperedError, match=r"audit_entries\(sequence=29\)"), database.read() as connection:
        audit_trail.tail(connection, 5)
    with pytest.raises(TamperedError), database.read() as connection:
        audit_trail.about(connection, "m2")
