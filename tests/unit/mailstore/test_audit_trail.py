from __future__ import annotations

import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mailstore import audit_trail
from mailstore.audit_check import AuditFault
from mailstore.audit_entry import AuditFact
from mailstore.audit_trail import AuditReport
from mailstore.audit_tree import root_of, verify_inclusion
from mailstore.database import Database
from mailstore.document_signing import SeedSigner, signing_public
from mailstore.errors import NotFoundError, StorageUnavailableError, TamperedError
from tests.ledger_room import NOW, created

SEED = b"s" * 32
SIGNER = SeedSigner(audit_seed=SEED, certificate_seed=bytes(32))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = created(tmp_path)
    yield made
    made.dispose()


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    return tmp_path / "audit" / "checkpoints.jsonl"


def written(database: Database, count: int, about: str = "x") -> range:
    facts = [AuditFact("message.opened", "system", about, {"n": number}) for number in range(count)]
    with database.write() as connection:
        return audit_trail.append(connection, facts, now=NOW)


def report(database: Database, checkpoints: Path) -> AuditReport:
    return audit_trail.verify(database, public_key=signing_public(SEED), checkpoints_path=checkpoints)


def test_entries_count_from_zero_without_gaps(database: Database, checkpoints: Path) -> None:
    assert written(database, 3) == range(3)
    assert written(database, 0) == range(0)
    assert written(database, 5) == range(3, 8)
    found = report(database, checkpoints)
    assert (found.entries, found.first_bad) == (8, None)


def test_log_can_be_asked_for_its_end_an_object_and_an_event(database: Database) -> None:
    written(database, 3, "a")
    written(database, 2, "b")
    with database.write() as connection:
        audit_trail.append(connection, [AuditFact("message.sent", "system", "a")], now=NOW)
    with database.read() as connection:
        assert [entry.sequence for entry in audit_trail.tail(connection, 2)] == [4, 5]
        assert [entry.sequence for entry in audit_trail.about(connection, "a")] == [0, 1, 2, 5]
        assert [entry.sequence for entry in audit_trail.of_events(connection, ["message.sent"])] == [5]
        entry = audit_trail.about(connection, "b")[1]
    assert (entry.at, entry.event, entry.actor, entry.detail) == (NOW, "message.opened", "system", {"n": 1})


def test_fact_that_was_undone_is_not_in_the_log(database: Database, checkpoints: Path) -> None:
    written(database, 3)
    with pytest.raises(ZeroDivisionError):
        append_and_fail(database)
    assert written(database, 1) == range(3, 4)
    assert report(database, checkpoints).first_bad is None


def append_and_fail(database: Database) -> None:
    with database.write() as connection:
        audit_trail.append(connection, [AuditFact("message.opened", "system")], now=NOW)
        raise ZeroDivisionError


def test_empty_log_holds(database: Database, checkpoints: Path) -> None:
    found = report(database, checkpoints)
    assert (found.entries, found.tree_root, found.first_bad) == (0, root_of([]).hex(), None)


def test_checkpoints_along_the_way_all_hold(database: Database, checkpoints: Path) -> None:
    for step in range(4):
        written(database, step)
        audit_trail.write_checkpoint(database, checkpoints, signer=SIGNER, now=NOW + timedelta(minutes=step))
    written(database, 2)
    found = report(database, checkpoints)
    assert (found.entries, found.first_bad) == (8, None)
    assert len(checkpoints.read_text().splitlines()) == 4
    assert stat.S_IMODE(checkpoints.stat().st_mode) == 0o600


def test_line_cut_short_by_a_crash_is_replaced_by_the_next_checkpoint(database: Database, checkpoints: Path) -> None:
    written(database, 2)
    audit_trail.write_checkpoint(database, checkpoints, signer=SIGNER, now=NOW)
    whole = checkpoints.read_bytes()
    checkpoints.write_bytes(whole + whole[:50])
    assert report(database, checkpoints).first_bad is None
    audit_trail.write_checkpoint(database, checkpoints, signer=SIGNER, now=NOW)
    assert checkpoints.read_bytes() == whole + whole


def test_checkpoint_that_cannot_be_written_is_our_own_fault(database: Database, tmp_path: Path) -> None:
    (tmp_path / "audit").write_text("in the way")
    with pytest.raises(StorageUnavailableError):
        audit_trail.write_checkpoint(database, tmp_path / "audit" / "c.jsonl", signer=SIGNER, now=NOW)


def test_every_entry_can_be_proved_against_a_checkpoint(database: Database, checkpoints: Path) -> None:
    written(database, 7)
    checkpoint = audit_trail.write_checkpoint(database, checkpoints, signer=SIGNER, now=NOW)
    written(database, 4)
    with database.read() as connection:
        entries = audit_trail.tail(connection, 20)
        for sequence in range(7):
            proved = audit_trail.prove_inclusion(connection, sequence, checkpoint.size)
            assert proved.root == checkpoint.root
            assert verify_inclusion(
                leaf=entries[sequence].leaf(), index=sequence, size=7, proof=proved.proof, root=checkpoint.root
            )
        assert audit_trail.prove_inclusion(connection, 10).size == 11
        for sequence, size in ((7, 7), (11, None), (-1, None), (0, 12)):
            with pytest.raises(NotFoundError):
                audit_trail.prove_inclusion(connection, sequence, size)


def test_entry_out_of_place_is_the_first_fault(database: Database, checkpoints: Path) -> None:
    written(database, 5)
    with database.write() as connection:
        connection.exec_driver_sql("DELETE FROM audit_entries WHERE sequence = 2")
    assert report(database, checkpoints).first_bad == AuditFault(2, "entry 2 is missing")


WRITER = """
import os, signal, sys
from pathlib import Path
from mailstore import audit_trail
from mailstore.audit_entry import AuditFact
from tests.ledger_room import NOW, opened
database = opened(Path(sys.argv[1]))
for number in range(40):
    with database.write() as connection:
        audit_trail.append(connection, [AuditFact("message.opened", sys.argv[2], str(n)) for n in range(3)], now=NOW)
    if sys.argv[2] == "dies" and number == 20:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_several_processes_write_one_unbroken_log(database: Database, tmp_path: Path, checkpoints: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name]) for name in ("one", "dies")]
    assert [writer.wait(60) for writer in writers] == [0, -signal.SIGKILL]
    found = report(database, checkpoints)
    assert (found.entries, found.first_bad) == (40 * 3 + 21 * 3, None)


def test_checkpoint_is_due_when_entries_wait_long_or_are_many_and_never_for_nothing(
    database: Database, checkpoints: Path
) -> None:
    def signed_at(minutes: int) -> int | None:
        now = NOW + timedelta(minutes=minutes)
        made = audit_trail.write_checkpoint_when_due(
            database, checkpoints, signer=SIGNER, now=now, after=timedelta(minutes=10)
        )
        return made.size if made else None

    assert signed_at(0) is None
    written(database, 2)
    assert signed_at(1) == 2
    assert signed_at(60) is None
    written(database, 3)
    assert signed_at(9) is None
    assert signed_at(10) == 5
    written(database, audit_trail.CHECKPOINT_ENTRIES)
    assert signed_at(0) == 5 + audit_trail.CHECKPOINT_ENTRIES
    assert report(database, checkpoints).first_bad is None


def test_newest_checkpoint_is_read_from_the_end_of_a_long_file(database: Database, checkpoints: Path) -> None:
    assert audit_trail.newest_checkpoint(checkpoints) is None
    for _ in range(40):
        written(database, 1)
        last = audit_trail.write_checkpoint(database, checkpoints, signer=SIGNER, now=NOW)
    assert audit_trail.newest_checkpoint(checkpoints) == last
    with database.read() as connection:
        assert audit_trail.entries_after(connection, last.size) == (0, None)
        assert audit_trail.entries_after(connection, last.size - 3) == (3, NOW)
    checkpoints.write_bytes(checkpoints.read_bytes() + b"not one\n")
    with pytest.raises(TamperedError):
        audit_trail.newest_checkpoint(checkpoints)
