from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.set_aside import SetAsideError
from archive.disposal_decision import Why
from archive.disposal_run import AT_ONCE, CoolingOffError
from archive.disposals import WrongDisposalStateError
from archive.query_conditions import IdIs
from archive.two_persons import NotPermittedError
from archive.verify_certificate import problems_of
from mailstore import message_records
from mailstore.errors import DestroyedError
from mailstore.message import MessageSummary
from tests.records_room import APPROVER, CLINICIAN, COOLING_OFF, RECORDS, SCHEDULE, RecordsRoom
from tests.vault_room import a_deposit

RUN_ALONE = """
import sys
from pathlib import Path
from tests.records_room import COOLING_OFF, RECORDS, RecordsRoom
room = RecordsRoom(Path(sys.argv[1]))
room.clock.advance(COOLING_OFF)
room.desk.disposal_run.run(RECORDS, sys.argv[2])
"""


@pytest.fixture
def room(tmp_path: Path) -> RecordsRoom:
    return RecordsRoom(tmp_path / "data")


def certified(path: Path | None) -> dict[str, object]:
    assert path is not None
    document = path.read_bytes()
    assert problems_of(document, path.with_name("disposal.pem").read_bytes()) == []
    found: dict[str, object] = json.loads(document)
    return found


def test_approved_records_die_everywhere_and_the_rest_stays(room: RecordsRoom) -> None:
    room.put_in_force()
    dead = [room.receive("newsletter", is_indexed=True) for _ in range(3)]
    bill = room.receive("invoice", is_indexed=True)
    outcome = room.desk.disposal_run.run(RECORDS, room.approved())
    assert (outcome.destroyed, outcome.kept) == (3, ())
    for message in dead:
        assert not room.is_alive(message)
        assert room.index.search(IdIs(message), limit=1).total == 0
        with room.vault.database.read() as connection, pytest.raises(DestroyedError):
            message_records.stored(connection, message)
    assert room.is_alive(bill)
    assert room.index.document_count() == 1
    assert certified(outcome.certificate)["count"] == 3
    assert sorted(room.events("message.destroyed")) == sorted(dead)
    assert room.events("disposal.completed") == [outcome.disposal]


def test_nothing_dies_while_an_upgrade_left_a_copy_of_its_keys(room: RecordsRoom) -> None:
    room.put_in_force()
    message = room.receive("newsletter", is_indexed=True)
    disposal = room.approved()
    left = room.directory.with_name(room.directory.name + ".before-upgrade")
    left.mkdir()
    with pytest.raises(SetAsideError, match="before-upgrade"):
        room.desk.disposal_run.run(RECORDS, disposal)
    assert room.is_alive(message)
    left.rename(left.with_name(left.name + ".unfinished"))
    with pytest.raises(SetAsideError, match="unfinished"):
        room.desk.disposal_run.run(RECORDS, disposal)
    left.with_name(left.name + ".unfinished").rmdir()
    assert room.desk.disposal_run.run(RECORDS, disposal).destroyed == 1


def test_disposal_writes_the_parts_of_the_other_engine_anew(tmp_path: Path) -> None:
    room = RecordsRoom(tmp_path / "data", engine="sqlite")
    room.put_in_force()
    dead = [room.receive("newsletter", is_indexed=True) for _ in range(3)]
    room.receive("invoice", is_indexed=True)
    before = {path.name for path in (room.directory / "index").glob("*.part")}
    outcome = room.desk.disposal_run.run(RECORDS, room.approved())
    assert outcome.destroyed == 3
    assert not before & {path.name for path in (room.directory / "index").iterdir()}
    assert room.index.document_count() == 1
    assert not any(room.index.search(IdIs(message), limit=1).total for message in dead)


def test_certificate_lies_with_its_picture_and_key(room: RecordsRoom) -> None:
    room.put_in_force()
    room.receive()
    outcome = room.desk.disposal_run.run(RECORDS, room.approved())
    path = outcome.certificate
    assert path is not None
    assert {file.name for file in path.parent.iterdir()} == {path.name, f"{path.stem}.pdf", "disposal.pem"}
    assert path.with_suffix(".pdf").read_bytes().startswith(b"%PDF")


def test_certificate_holds_no_health_information(room: RecordsRoom) -> None:
    room.put_in_force()
    message = room.receive("newsletter jabberwocky", sender="frumious@x.example")
    outcome = room.desk.disposal_run.run(RECORDS, room.approved())
    assert outcome.certificate is not None
    text = outcome.certificate.read_text()
    for word in ("jabberwocky", "frumious", "alice", message):
        assert word not in text


def test_run_waits_for_the_approval_and_the_cooling_off(room: RecordsRoom) -> None:
    room.put_in_force()
    message = room.receive()
    proposed = room.desk.disposals.propose(RECORDS)
    with pytest.raises(WrongDisposalStateError):
        room.desk.disposal_run.run(RECORDS, proposed.id)
    room.desk.disposals.approve(APPROVER, proposed.id, set_hash=proposed.set_hash)
    room.clock.advance(COOLING_OFF - timedelta(microseconds=1))
    with pytest.raises(CoolingOffError):
        room.desk.disposal_run.run(RECORDS, proposed.id)
    assert room.is_alive(message)
    room.clock.advance(timedelta(microseconds=1))
    assert room.desk.disposal_run.run(RECORDS, proposed.id).destroyed == 1


def test_only_those_who_keep_records_run_disposals(room: RecordsRoom) -> None:
    with pytest.raises(NotPermittedError):
        room.desk.disposal_run.run(CLINICIAN, "x" * 26)


def test_hold_placed_after_approval_stops_destruction(room: RecordsRoom) -> None:
    room.put_in_force()
    held, free = room.receive(to=("bob@x.example",)), room.receive()
    disposal = room.approved()
    room.desk.holds.place(RECORDS, name="n", reason="r", custodians=["bob@x.example"])
    outcome = room.desk.disposal_run.run(RECORDS, disposal)
    assert [(kept.message, kept.why) for kept in outcome.kept] == [(held, Why.HELD)]
    assert room.is_alive(held)
    assert not room.is_alive(free)
    told = certified(outcome.certificate)
    assert (told["count"], told["kept"]) == (1, [{"count": 1, "why": "held"}])


def test_nothing_destroyed_means_no_certificate(room: RecordsRoom) -> None:
    room.put_in_force()
    room.receive()
    disposal = room.approved()
    room.desk.holds.place(RECORDS, name="n", reason="r")
    outcome = room.desk.disposal_run.run(RECORDS, disposal)
    assert (outcome.destroyed, outcome.certificate, len(outcome.kept)) == (0, None, 1)
    assert not room.certificates.exists()


def test_run_again_gives_the_same_certificate(room: RecordsRoom) -> None:
    room.put_in_force()
    room.receive()
    disposal = room.approved()
    first = room.desk.disposal_run.run(RECORDS, disposal)
    assert first.certificate is not None
    document = first.certificate.read_bytes()
    first.certificate.unlink()
    room.clock.advance(timedelta(days=1))
    assert room.desk.disposal_run.run(RECORDS, disposal) == first
    assert first.certificate.read_bytes() == document
    assert len(room.events("message.destroyed")) == 1


def test_record_in_two_disposals_stands_on_one_certificate(room: RecordsRoom) -> None:
    room.put_in_force()
    message = room.receive()
    first, second = room.approved(), room.approved()
    assert room.desk.disposal_run.run(RECORDS, first).destroyed == 1
    outcome = room.desk.disposal_run.run(RECORDS, second)
    assert (outcome.destroyed, outcome.certificate) == (0, None)
    assert [(kept.message, kept.why) for kept in outcome.kept] == [(message, Why.GONE)]


def test_disposal_run_by_two_at_once_destroys_and_certifies_once(room: RecordsRoom) -> None:
    room.put_in_force()
    dead = [room.receive() for _ in range(5)]
    disposal = room.approved()
    with ThreadPoolExecutor(2) as pool:
        outcomes = [
            done.result() for done in [pool.submit(room.desk.disposal_run.run, RECORDS, disposal) for _ in "ab"]
        ]
    assert outcomes[0] == outcomes[1]
    assert sorted(room.events("message.destroyed")) == sorted(dead)
    assert len(room.events("disposal.completed")) == 1
    assert certified(outcomes[0].certificate)["count"] == 5


def test_schedule_changed_after_approval_keeps_everything(room: RecordsRoom) -> None:
    room.put_in_force()
    message = room.receive()
    disposal = room.approved()
    room.put_in_force(SCHEDULE.replace("0 days", "90 days"))
    outcome = room.desk.disposal_run.run(RECORDS, disposal)
    assert [kept.why for kept in outcome.kept] == [Why.SCHEDULE_CHANGED]
    assert room.is_alive(message)


def test_large_set_dies_in_several_turns(room: RecordsRoom) -> None:
    room.put_in_force()
    count = AT_ONCE + 2
    letter = a_deposit(b"Subject: newsletter\r\n\r\nhello\r\n", summary=MessageSummary(subject="newsletter"))
    for message in room.vault.deposit(*[letter] * count):
        room.capture(message)
    seen: list[tuple[int, int]] = []
    outcome = room.desk.disposal_run.run(RECORDS, room.approved(), lambda done, of: seen.append((done, of)))
    assert outcome.destroyed == count
    assert seen == [(AT_ONCE, count), (count, count)]
    assert certified(outcome.certificate)["count"] == count


@pytest.mark.parametrize(
    "failpoint",
    [
        "disposal_run.after_intent",
        "disposal_run.before_lock_is_given_up",
        "disposal_run.after_keys",
        "destruction.after_spool",
        "disposal_run.after_rows",
        "disposal_run.after_completion",
        "certification.after_row",
    ],
)
def test_run_killed_anywhere_is_finished_by_running_again(room: RecordsRoom, failpoint: str) -> None:
    room.put_in_force()
    dead = [room.receive(is_indexed=True), room.receive()]
    disposal = room.approved()
    assert killed(room, disposal, failpoint)
    outcome = room.desk.disposal_run.run(RECORDS, disposal)
    assert (outcome.destroyed, outcome.kept) == (2, ())
    assert not any(map(room.is_alive, dead))
    assert sorted(room.events("message.destroyed")) == sorted(dead)
    assert len(room.events("disposal.completed")) == 1
    assert certified(outcome.certificate)["count"] == 2
    assert room.index.document_count() == 0


def test_hold_placed_after_a_crash_before_the_keys_still_saves(room: RecordsRoom) -> None:
    room.put_in_force()
    message = room.receive()
    disposal = room.approved()
    assert killed(room, disposal, "disposal_run.after_intent")
    assert room.desk.holds.place(RECORDS, name="n", reason="r").matched == 1
    assert room.desk.disposal_run.run(RECORDS, disposal).destroyed == 0
    assert room.is_alive(message)


def killed(room: RecordsRoom, disposal: str, failpoint: str) -> bool:
    """Run in a process of its own that dies at the failpoint."""
    command = [sys.executable, "-c", RUN_ALONE, str(room.directory), disposal]
    environment = os.environ | {"STRONGROOM_FAILPOINT": f"{failpoint}:kill"}
    return subprocess.run(command, env=environment, check=False, timeout=60).returncode == -9


def test_nothing_waits_where_there_is_no_cooling_off_however_far_the_clock_runs_ahead_of_what_is_trusted(
    tmp_path: Path,
) -> None:
    room = RecordsRoom(tmp_path / "data", cooling_off=timedelta(0))
    room.put_in_force()
    room.receive("newsletter", is_indexed=True)
    room.vault.machine.jump(timedelta(seconds=5))
    assert room.desk.disposal_run.run(RECORDS, room.approved()).destroyed == 1
