"""The second guard, told by real rows, on a real server that locks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from archive.disposal_records import ItemState
from archive.object_guarding import LongLock, MissingLock
from mailstore import outbox
from mailstore.errors import ObjectLockedError, StorageUnavailableError
from mailstore.guard_work import GuardWork
from mailstore.message import MessageId
from mailstore.object_guard import Guard
from mailstore.object_guard_s3 import S3ObjectGuard
from mailstore.object_store_s3 import S3ObjectStore
from mailstore.outbox import Kind
from mailstore.promotion import Promotion
from mailstore.s3_bucket import S3Bucket
from mailstore.s3_faults import Fault
from tests import s3_servers
from tests.records_room import RECORDS, RECORDS_TOO, RecordsRoom

WORK = GuardWork(is_wanted=True)
AWAY = Fault(0, "", "the object store is away", "start it", is_silent=True)
TEN_YEARS = timedelta(days=3650)


@pytest.fixture
def bucket() -> S3Bucket:
    return s3_servers.minio().bucket("shared", prefix=os.urandom(6).hex())


@pytest.fixture
def room(tmp_path: Path, bucket: S3Bucket) -> Iterator[RecordsRoom]:
    guard = S3ObjectGuard(bucket, is_enforced=lambda: True)
    room = RecordsRoom(tmp_path / "a", objects=S3ObjectStore(bucket), guard=guard, guard_work=WORK)
    late = datetime.now(UTC) - room.clock.now()  # noqa: TID251 - the server's own clock counts
    if late > timedelta(0):
        room.clock.advance(late)
    yield room
    room.vault.close()


def promoted(room: RecordsRoom, *messages: MessageId) -> None:
    vault = room.vault
    Promotion(
        vault.database, vault.spool, vault.objects, clock=room.clock, randomness=os.urandom, guard_work=WORK
    ).promote_all(messages)


def worked(room: RecordsRoom) -> int:
    """Do what was put down, as the worker does; answers how much that was."""
    database, hour = room.vault.database, timedelta(hours=1)
    items = outbox.claim(database, [Kind.GUARD], now=room.clock.now(), limit=100, lease=hour, worker="test")
    room.desk.guarding.tell([item.message for item in items if item.message])
    with database.write() as connection:
        outbox.finish_many(connection, items)
    return len(items)


def guard_of(room: RecordsRoom, message: MessageId) -> Guard:
    return room.guard.guard_of(str(room.vault.stored(message).object_name))


def in_billing(room: RecordsRoom) -> MessageId:
    """A promoted and captured record that the schedule keeps for ten years."""
    room.put_in_force()
    message = room.receive("invoice 7")
    promoted(room, message)
    room.desk.reclassification.run()
    worked(room)
    return message


def test_record_is_retained_in_the_store_until_the_schedule_lets_it_go(room: RecordsRoom) -> None:
    message = in_billing(room)
    found = guard_of(room, message)
    assert not found.is_held
    assert found.retained_until is not None
    assert timedelta(0) <= found.retained_until - room.vault.stored(message).received_at - TEN_YEARS < timedelta(days=4)
    with pytest.raises(ObjectLockedError):
        room.vault.objects.delete(str(room.vault.stored(message).object_name))


def test_record_of_which_no_rule_speaks_is_held_without_a_date_until_one_does(room: RecordsRoom) -> None:
    message = room.receive("invoice 8")
    promoted(room, message)
    worked(room)
    assert guard_of(room, message) == Guard(is_held=True)
    room.put_in_force()
    room.desk.reclassification.run()
    assert worked(room) == 1
    found = guard_of(room, message)
    assert found.retained_until is not None
    assert not found.is_held


def test_hold_is_on_the_object_until_the_last_hold_ends(room: RecordsRoom) -> None:
    message = in_billing(room)
    holds = room.desk.holds
    first, second = (holds.place(RECORDS, name=name, reason="suit", query="invoice").id for name in ("A", "B"))
    assert worked(room) == 2
    assert guard_of(room, message).is_held
    for hold, is_held in ((first, True), (second, False)):
        holds.request_release(RECORDS, hold, reason="settled")
        holds.approve_release(RECORDS_TOO, hold, set_hash=holds.preview_release(RECORDS_TOO, hold).set_hash)
        assert worked(room) == 1
        assert guard_of(room, message).is_held is is_held
    assert guard_of(room, message).retained_until is not None


def test_message_that_is_not_in_the_store_yet_is_told_of_when_it_is(room: RecordsRoom) -> None:
    room.put_in_force()
    message = room.receive("invoice 9")
    room.desk.guarding.tell([message])
    promoted(room, message)
    assert worked(room) == 1
    assert guard_of(room, message).is_held, "captured before the schedule, so nobody knows its category yet"


def test_work_that_the_store_refused_stays_to_be_done(room: RecordsRoom, bucket: S3Bucket) -> None:
    message = in_billing(room)
    room.desk.holds.place(RECORDS, name="A", reason="suit", query="invoice")
    bucket._silent_until = float("inf")
    bucket._last_fault = AWAY
    with pytest.raises(StorageUnavailableError):
        room.desk.guarding.tell([message])
    bucket._silent_until = 0
    with room.vault.database.read() as connection:
        assert outbox.waiting(connection)[Kind.GUARD] == 1
    worked(room)
    assert guard_of(room, message).is_held


def test_lock_that_outlasts_the_schedule_is_reported_and_stops_a_disposal_before_anything_dies(
    room: RecordsRoom,
) -> None:
    room.put_in_force()
    locked, free = room.receive(is_indexed=True), room.receive(is_indexed=True)
    promoted(room, locked, free)
    room.desk.reclassification.run()
    worked(room)
    until = room.clock.now() + timedelta(days=30)
    room.guard.retain_until(str(room.vault.stored(locked).object_name), until)
    [long] = room.desk.guarding.longer_than_scheduled()
    assert long.message == locked
    assert long.locked_until - until < timedelta(seconds=1)
    [told] = room.desk.guarding.differences([locked, free])
    assert isinstance(told, LongLock)
    disposal = room.approved()
    for _ in range(2):
        with pytest.raises(ObjectLockedError, match="1 records cannot be destroyed yet"):
            room.desk.disposal_run.run(RECORDS, disposal)
        assert room.is_alive(locked)
        assert not room.is_alive(free)
        assert room.events("message.destroyed") == [free]
    [item] = [each for each in room.desk.disposals.show(RECORDS, disposal).items if each.message == locked]
    assert item.state is not ItemState.DESTROYED


def test_lock_that_somebody_lifted_is_found_and_set_again(room: RecordsRoom) -> None:
    message = in_billing(room)
    room.desk.holds.place(RECORDS, name="A", reason="suit", query="invoice")
    assert room.desk.guarding.differences([message]) == [], "what is under way is no difference"
    worked(room)
    assert room.desk.guarding.differences([message]) == []
    name = str(room.vault.stored(message).object_name)
    room.guard.release(name)
    assert room.desk.guarding.differences([message]) == [MissingLock(message, name)]
    room.desk.guarding.tell([message])
    assert guard_of(room, message).is_held


def test_store_that_cannot_lock_is_told_nothing(tmp_path: Path) -> None:
    room = RecordsRoom(tmp_path / "a")
    message = in_billing(room)
    with room.vault.database.read() as connection:
        assert outbox.waiting(connection)[Kind.GUARD] == 0
    assert room.desk.guarding.locked([room.vault.stored(message)]) == {}
    assert room.desk.guarding.longer_than_scheduled() == []
    room.vault.close()


def test_store_that_has_just_learned_to_lock_is_told_of_everything(room: RecordsRoom) -> None:
    message = in_billing(room)
    assert room.desk.guarding.tell_of_all(WORK) == 1
    assert worked(room) == 1
    assert guard_of(room, message).retained_until is not None
