"""Older rows and keys with the newest ledger over them: the disposed are dead, the held are held, the log says so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from archive import disposal_records, hold_records
from archive.disposal_records import DisposalState
from archive.disposals import WrongDisposalStateError
from archive.ledger_page import Ledger
from archive.ledger_replay import REPLAYED, LedgerReplay, Replayed
from mailstore import audit_trail
from mailstore.document_signing import signing_public
from mailstore.errors import DestroyedError
from mailstore.message import MessageId
from mailstore.part_records import PartLinks
from tests.records_room import APPROVER, RECORDS, RECORDS_TOO, RecordsRoom

pytestmark = pytest.mark.sqlite_files(reason="it copies the files of an open practice")

REPLAY_ALONE = """
import sys
from pathlib import Path
from tests.records_room import RecordsRoom
from tests.unit.archive.test_ledger_replay import replay
older, living = (RecordsRoom(Path(each)) for each in sys.argv[1:])
replay(older, living.desk.ledger.says())
"""


@pytest.fixture
def room(tmp_path: Path) -> Iterator[RecordsRoom]:
    room = RecordsRoom(tmp_path / "living")
    room.put_in_force()
    yield room
    room.vault.close()


def backup_of(room: RecordsRoom) -> Path:
    """Everything as it is now: what a restore will find."""
    room.vault.database.truncate_journal()
    return shutil.copytree(room.directory, room.directory.with_name("older"))


def restored(copy: Path, living: RecordsRoom) -> RecordsRoom:
    again = RecordsRoom(copy)
    again.clock.advance(living.clock.now() - again.clock.now())
    return again


def replay(room: RecordsRoom, ledger: Ledger) -> Replayed:
    vault = room.vault
    links = PartLinks(vault.ring.archive_key, os.urandom)
    replaying = LedgerReplay(vault.database, vault.keystore, vault.spool, vault.objects, links=links, clock=vault.clock)
    return replaying.replay(ledger)


def is_whole(room: RecordsRoom) -> bool:
    vault = room.vault
    checkpoints = room.directory / "audit" / "checkpoints.jsonl"
    report = audit_trail.verify(
        vault.database, public_key=signing_public(vault.ring.audit_seed), checkpoints_path=checkpoints
    )
    return report.first_bad is None


def assert_dead(room: RecordsRoom, message: MessageId) -> None:
    assert not room.is_alive(message)
    assert room.vault.keystore.is_destroyed(message)
    with pytest.raises(DestroyedError):
        room.vault.stored(message)


def test_message_disposed_of_after_the_backup_is_dead_after_the_replay(room: RecordsRoom) -> None:
    dead, living = room.receive(), room.receive("invoice")
    copy = backup_of(room)
    disposal = room.approved()
    outcome = room.desk.disposal_run.run(RECORDS, disposal)
    again = restored(copy, room)
    assert again.is_alive(dead)
    assert replay(again, room.desk.ledger.says()) == Replayed(keys=1, destroyed=1, disposals=1, holds=0)
    assert_dead(again, dead)
    assert again.is_alive(living)
    assert again.vault.retrieval().content(living)
    with again.vault.database.read() as connection:
        assert disposal_records.of(connection, disposal).state is DisposalState.COMPLETED
        certificate = disposal_records.certificate_of(connection, disposal)
    assert certificate is not None
    assert outcome.certificate is not None
    assert certificate.document == outcome.certificate.read_bytes()
    assert is_whole(again)
    again.vault.close()


def test_certificate_of_a_replayed_disposal_is_on_record_and_valid(room: RecordsRoom) -> None:
    room.receive()
    copy = backup_of(room)
    disposal = room.approved()
    room.desk.disposal_run.run(RECORDS, disposal)
    again = restored(copy, room)
    replay(again, room.desk.ledger.says())
    assert again.desk.certificates.problems(RECORDS, disposal) == ()
    assert again.desk.disposal_run.run(RECORDS, disposal).destroyed == 1
    assert disposal in again.desk.ledger.says().disposals
    again.vault.close()


def test_message_that_neither_rows_nor_keys_know_never_takes_a_key_again(room: RecordsRoom) -> None:
    copy = backup_of(room)
    dead = room.receive()
    room.desk.disposal_run.run(RECORDS, room.approved())
    again = restored(copy, room)
    assert replay(again, room.desk.ledger.says()).destroyed == 0
    assert_dead(again, dead)
    again.vault.close()


def test_disposal_that_was_taken_back_after_the_backup_does_not_run(room: RecordsRoom) -> None:
    message = room.receive("newsletter", is_indexed=True)
    disposal = room.approved()
    copy = backup_of(room)
    room.desk.disposals.withdraw(APPROVER, disposal)
    older = restored(copy, room)
    assert replay(older, room.desk.ledger.says()).withdrawn == 1
    with pytest.raises(WrongDisposalStateError, match="withdrawn"):
        older.desk.disposal_run.run(RECORDS, disposal)
    assert older.is_alive(message)
    assert older.events("disposal.withdrawn") == [disposal]
    older.vault.close()


def test_hold_placed_after_the_backup_holds_again_and_is_held_against_all_mail(room: RecordsRoom) -> None:
    message = room.receive("newsletter", body="about the river")
    copy = backup_of(room)
    hold = room.desk.holds.place(RECORDS, name="River", reason="suit", query="river").id
    again = restored(copy, room)
    assert replay(again, room.desk.ledger.says()).holds == 1
    assert again.desk.disposals.propose(RECORDS).messages == 0
    with again.vault.database.read() as connection:
        assert [held.message for held in hold_records.messages_of(connection, hold)] == [message]
        assert [each.id for each in again.desk.living_holds.all(connection)] == [hold]
    assert again.desk.holds.evaluate_unfinished() == 1
    assert again.desk.holds.show(RECORDS, hold).name == "River"
    again.vault.close()


def test_hold_that_ended_after_the_backup_stays_ended(room: RecordsRoom) -> None:
    room.receive("newsletter", body="about the river")
    hold = room.desk.holds.place(RECORDS, name="River", reason="suit", query="river").id
    copy = backup_of(room)
    room.desk.holds.request_release(RECORDS, hold, reason="settled")
    preview = room.desk.holds.preview_release(RECORDS_TOO, hold)
    room.desk.holds.approve_release(RECORDS_TOO, hold, set_hash=preview.set_hash)
    again = restored(copy, room)
    replay(again, room.desk.ledger.says())
    with again.vault.database.read() as connection:
        assert again.desk.living_holds.all(connection) == ()
    assert again.desk.disposals.propose(RECORDS).messages == 1
    again.vault.close()


def test_older_ledger_makes_newer_rows_no_older(room: RecordsRoom) -> None:
    room.receive("newsletter", body="about the river")
    hold = room.desk.holds.place(RECORDS, name="River", reason="suit", query="river").id
    older = room.desk.ledger.says()
    room.desk.holds.request_release(RECORDS, hold, reason="settled")
    assert replay(room, older) == Replayed()
    assert room.desk.holds.show(RECORDS, hold).release_reason == "settled"


def test_replaying_twice_changes_nothing_the_second_time(room: RecordsRoom) -> None:
    room.receive()
    copy = backup_of(room)
    room.desk.disposal_run.run(RECORDS, room.approved())
    room.desk.holds.place(RECORDS, name="River", reason="suit", query="river")
    again = restored(copy, room)
    replay(again, room.desk.ledger.says())
    assert replay(again, room.desk.ledger.says()) == Replayed()
    assert len(again.events(REPLAYED)) == 2
    again.vault.close()


@pytest.mark.parametrize(
    "failpoint",
    [
        "ledger_replay.after_disposals",
        "ledger_replay.after_keys",
        "destruction.after_spool",
        "destruction.after_rows",
        "ledger_replay.after_destruction",
        "ledger_replay.after_holds",
    ],
)
def test_replay_killed_anywhere_comes_to_the_same_end(room: RecordsRoom, failpoint: str) -> None:
    dead = [room.receive(), room.receive()]
    copy = backup_of(room)
    disposal = room.approved()
    room.desk.disposal_run.run(RECORDS, disposal)
    hold = room.desk.holds.place(RECORDS, name="River", reason="suit", query="river").id
    assert killed(copy, room.directory, failpoint)
    again = restored(copy, room)
    replay(again, room.desk.ledger.says())
    for message in dead:
        assert_dead(again, message)
    with again.vault.database.read() as connection:
        assert [each.id for each in again.desk.living_holds.all(connection)] == [hold]
    assert again.desk.certificates.problems(RECORDS, disposal) == ()
    assert is_whole(again)
    again.vault.close()


def killed(older: Path, living: Path, failpoint: str) -> bool:
    """Replay in a process of its own that dies at the failpoint."""
    command = [sys.executable, "-c", REPLAY_ALONE, str(older), str(living)]
    environment = os.environ | {"STRONGROOM_FAILPOINT": f"{failpoint}:kill"}
    return subprocess.run(command, env=environment, check=False, timeout=60).returncode == -9
