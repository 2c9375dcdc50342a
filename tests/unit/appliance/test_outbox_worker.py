"""Work is done, put off visibly when it fails by our fault, never dropped, and ended when asked."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import update

from appliance.giving_way import LOOK_SECONDS
from appliance.outbox_worker import BatchWork, ErrandWork, Worker, WorkerRules
from mailstore import outbox, tables
from mailstore.errors import DestroyedError, ObjectStoreDownError, StorageUnavailableError
from mailstore.message import MessageId
from mailstore.outbox import Kind, OutboxItem
from tests.flows.outbound_practice import DOCTOR, OutboundPractice, practice

RULES = WorkerRules(poll_seconds=0.01, stop_seconds=60)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[OutboundPractice]:
    with practice(tmp_path) as opened:
        yield opened


def put_down(house: OutboundPractice, kind: Kind, count: int) -> list[MessageId]:
    messages = [house.send(DOCTOR) for _ in range(count)]
    with house.database.write() as connection:
        for message in messages:
            outbox.add(connection, kind, message, 0, house.clock.now())
    return messages


def worked(
    house: OutboundPractice,
    work: Mapping[Kind, BatchWork | ErrandWork],
    until: Callable[[], bool],
    *,
    rules: WorkerRules = RULES,
    seconds: Callable[[], float] = time.monotonic,
) -> None:
    async def go() -> None:
        worker = Worker(house.database, work, clock=house.clock, rules=rules, seconds=seconds)
        running = asyncio.create_task(worker.run())
        async with asyncio.timeout(60):
            while not await asyncio.to_thread(until):  # noqa: ASYNC110 - what ends the wait is in the rows
                await asyncio.sleep(0.01)
        worker.stop()
        await running

    asyncio.run(go())


class StoppedSeconds:
    """A monotonic clock that a test moves by hand, and that counts how often it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0
        self._looks = 0

    def __call__(self) -> float:
        self._looks += 1
        return self.now

    def wait_for_looks(self, count: int) -> None:
        """Until the worker has gone round so often that it would have begun what it may begin."""
        until = self._looks + count
        for _ in range(6_000):
            if self._looks >= until:
                return
            time.sleep(0.01)
        raise AssertionError("the worker does not go round any more")


def put(house: OutboundPractice, kind: Kind, message: MessageId) -> None:
    with house.database.write() as connection:
        outbox.add(connection, kind, message, 0, house.clock.now())


def execute(rows: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(rows)) as connection:
        connection.execute(statement)


def why(house: OutboundPractice) -> Mapping[tuple[Kind, str], int]:
    with house.database.read() as connection:
        return outbox.postponed(connection)


def test_batches_are_handed_over_together_and_finished(house: OutboundPractice) -> None:
    messages = put_down(house, Kind.INDEX, 5)
    batches: list[Sequence[MessageId]] = []
    work = {Kind.INDEX: BatchWork(batches.append, size=3)}
    worked(house, work, lambda: house.waiting(Kind.INDEX) == 0)
    assert batches == [messages[:3], messages[3:]]


def test_messages_gather_for_a_batch_of_their_own_after_one_that_was_not_full(house: OutboundPractice) -> None:
    first, second, third = (house.send(DOCTOR) for _ in range(3))
    begun: list[Sequence[MessageId]] = []
    hand = StoppedSeconds()

    def is_done() -> bool:
        if len(begun) == 1 and house.waiting(Kind.INDEX) == 0:
            put(house, Kind.INDEX, second)
            hand.wait_for_looks(20)
            assert len(begun) == 1, "it did not wait for the rest of its batch"
            put(house, Kind.INDEX, third)
            hand.now += 0.3
        return len(begun) == 2

    put(house, Kind.INDEX, first)
    work = {Kind.INDEX: BatchWork(begun.append, size=3, gather_seconds=0.3)}
    worked(house, work, is_done, seconds=hand)
    assert list(map(list, begun)) == [[first], [second, third]]


def test_one_bad_message_does_not_hold_up_its_batch(house: OutboundPractice) -> None:
    messages = put_down(house, Kind.INDEX, 4)
    done: list[MessageId] = []

    def index(batch: Sequence[MessageId]) -> None:
        if messages[1] in batch:
            raise RuntimeError("cannot be indexed")
        done.extend(batch)

    worked(house, {Kind.INDEX: BatchWork(index, size=10)}, lambda: house.waiting(Kind.INDEX) == 1)
    assert done == [messages[0], *messages[2:]]
    assert why(house) == {(Kind.INDEX, "fault.internal"): 1}


def test_our_own_fault_is_put_off_with_growing_pauses_and_stays_visible(house: OutboundPractice) -> None:
    put_down(house, Kind.INDEX, 1)
    tries = 0

    def index(batch: Sequence[MessageId]) -> None:
        nonlocal tries
        tries += len(batch)
        raise StorageUnavailableError("the disk is full")

    for pause in (5, 10, 20):
        before = tries
        worked(house, {Kind.INDEX: BatchWork(index)}, lambda now=before: tries > now and bool(why(house)))  # type: ignore[misc]  # a default binds the loop's value
        house.clock.advance(timedelta(seconds=pause - 1))
        with house.database.read() as connection:
            due = outbox.next_due(connection, [Kind.INDEX])
        assert due == house.clock.now() + timedelta(seconds=1)
        house.clock.advance(timedelta(seconds=1))
    assert why(house) == {(Kind.INDEX, "fault.storage_unavailable"): 1}
    assert house.waiting(Kind.INDEX) == 1


@pytest.mark.sqlite_files(reason="a trigger of SQLite makes the database fail")
def test_a_pause_that_cannot_be_written_is_written_as_soon_as_it_can(house: OutboundPractice) -> None:
    put_down(house, Kind.INDEX, 1)
    rows = house.folder / "rows.sqlite3"
    refused = threading.Event()

    def index(batch: Sequence[MessageId]) -> None:
        execute(rows, "CREATE TRIGGER full BEFORE UPDATE ON outbox BEGIN SELECT RAISE(ABORT, 'full'); END")
        refused.set()
        raise StorageUnavailableError(f"{len(batch)} cannot be indexed")

    def mended() -> bool:
        if refused.is_set() and not why(house):
            time.sleep(0.1)
            execute(rows, "DROP TRIGGER IF EXISTS full")
        return bool(why(house))

    worked(house, {Kind.INDEX: BatchWork(index)}, mended)
    assert why(house) == {(Kind.INDEX, "fault.storage_unavailable"): 1}


def test_work_on_a_destroyed_message_is_over(house: OutboundPractice) -> None:
    put_down(house, Kind.INDEX, 1)

    def index(batch: Sequence[MessageId]) -> None:
        raise DestroyedError(f"{len(batch)} gone")

    worked(house, {Kind.INDEX: BatchWork(index)}, lambda: house.waiting(Kind.INDEX) == 0)


def test_errands_run_at_once_up_to_their_limit(house: OutboundPractice) -> None:
    put_down(house, Kind.NOTIFY, 6)
    running = most = 0

    async def notify(items: Sequence[OutboxItem]) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.05)
        running -= 1
        with house.database.write() as connection:
            for item in items:
                outbox.finish(connection, item)

    worked(house, {Kind.NOTIFY: ErrandWork(notify, at_once=2)}, lambda: house.waiting(Kind.NOTIFY) == 0)
    assert most == 2


def test_a_failing_errand_keeps_its_items(house: OutboundPractice) -> None:
    put_down(house, Kind.NOTIFY, 1)

    async def notify(items: Sequence[OutboxItem]) -> None:
        raise StorageUnavailableError(f"{len(items)} cannot be opened")

    worked(house, {Kind.NOTIFY: ErrandWork(notify)}, lambda: bool(why(house)))
    assert house.waiting(Kind.NOTIFY) == 1


def test_recipients_of_one_message_are_handed_over_together(house: OutboundPractice) -> None:
    first, second = put_down(house, Kind.NOTIFY, 2)
    with house.database.write() as connection:
        outbox.add(connection, Kind.NOTIFY, first, 1, house.clock.now())
    groups: list[tuple[MessageId | None, int]] = []

    async def notify(items: Sequence[OutboxItem]) -> None:
        groups.append((items[0].message, len(items)))
        with house.database.write() as connection:
            for item in items:
                outbox.finish(connection, item)

    worked(house, {Kind.NOTIFY: ErrandWork(notify)}, lambda: house.waiting(Kind.NOTIFY) == 0)
    assert sorted(groups) == sorted([(first, 2), (second, 1)])


def test_a_stopped_worker_breaks_off_what_takes_too_long_and_the_next_one_does_it(
    house: OutboundPractice,
) -> None:
    put_down(house, Kind.NOTIFY, 1)
    begun = threading.Event()

    async def for_ever(items: Sequence[OutboxItem]) -> None:
        begun.set()
        await asyncio.sleep(3600 * len(items))

    async def at_once(items: Sequence[OutboxItem]) -> None:
        with house.database.write() as connection:
            for item in items:
                outbox.finish(connection, item)

    rules = replace(RULES, stop_seconds=0.2)
    worked(house, {Kind.NOTIFY: ErrandWork(for_ever)}, begun.is_set, rules=rules)
    assert house.waiting(Kind.NOTIFY) == 1
    worked(house, {Kind.NOTIFY: ErrandWork(at_once)}, lambda: house.waiting(Kind.NOTIFY) == 0)


def test_errors_are_logged_by_id_without_what_the_message_says(
    house: OutboundPractice, caplog: pytest.LogCaptureFixture
) -> None:
    (message,) = put_down(house, Kind.INDEX, 1)

    def index(batch: Sequence[MessageId]) -> None:
        raise RuntimeError(f"failed on {len(batch)}")

    worked(house, {Kind.INDEX: BatchWork(index)}, lambda: bool(why(house)))
    (record,) = [each for each in caplog.records if each.msg == "outbox work failed"]
    assert vars(record)["message_id"] == message
    assert vars(record)["code"] == "internal"


def test_store_that_is_down_is_asked_seldom_and_holds_up_no_other_work(house: OutboundPractice) -> None:
    put_down(house, Kind.PROMOTE, 200)
    put_down(house, Kind.INDEX, 20)
    asked: list[float] = []
    indexed: list[MessageId] = []

    def promote(batch: Sequence[MessageId]) -> None:
        asked.append(time.monotonic())
        raise ObjectStoreDownError(f"{len(batch)} cannot be put")

    work = {Kind.PROMOTE: BatchWork(promote, size=10), Kind.INDEX: BatchWork(indexed.extend, size=1)}
    rules = replace(RULES, first_rest_seconds=0.2, longest_rest_seconds=0.4)
    worked(house, work, lambda: len(asked) >= 4 and len(indexed) >= 20, rules=rules)
    assert len(indexed) == 20, "with the store down all the while"
    pauses = [later - earlier for earlier, later in pairwise(asked)]
    assert pauses[0] >= 0.15
    assert all(pause >= 0.3 for pause in pauses[1:])
    assert why(house) == {(Kind.PROMOTE, "fault.object_store_down"): 10 * len(asked)}


def test_store_that_came_back_is_used_at_once_and_completely(house: OutboundPractice) -> None:
    messages = put_down(house, Kind.PROMOTE, 30)
    promoted: list[MessageId] = []
    is_down = True

    def promote(batch: Sequence[MessageId]) -> None:
        if is_down:
            raise ObjectStoreDownError("refused")
        promoted.extend(batch)

    work = {Kind.PROMOTE: BatchWork(promote, size=10)}
    rules = replace(RULES, first_rest_seconds=0.05)
    worked(house, work, lambda: bool(why(house)), rules=rules)
    is_down = False
    house.clock.advance(timedelta(minutes=10))
    worked(house, work, lambda: house.waiting(Kind.PROMOTE) == 0, rules=rules)
    assert set(promoted) == set(messages)


def test_while_mail_pours_in_batches_wait_and_mail_on_its_way_does_not(house: OutboundPractice) -> None:
    begun: list[Kind] = []
    message = house.send(DOCTOR)
    hand = StoppedSeconds()

    async def notify(items: Sequence[OutboxItem]) -> None:
        begun.append(Kind.NOTIFY)
        with house.database.write() as connection:
            outbox.finish_many(connection, items)

    work: dict[Kind, BatchWork | ErrandWork] = {
        Kind.INDEX: BatchWork(lambda _: begun.append(Kind.INDEX)),
        Kind.NOTIFY: ErrandWork(notify),
    }
    as_if_thousands_came = update(tables.messages).values(sequence=tables.messages.c.sequence + 100_000)

    def is_done() -> bool:
        if hand.now == 0:
            hand.wait_for_looks(20)
            with house.database.write() as connection:
                connection.execute(as_if_thousands_came)
            hand.wait_for_looks(20)
            hand.now += LOOK_SECONDS
            hand.wait_for_looks(20)
            for kind in work:
                put(house, kind, message)
        elif begun == [Kind.NOTIFY] and hand.now == LOOK_SECONDS:
            hand.wait_for_looks(20)
            assert begun == [Kind.NOTIFY], "it did not wait until no more came"
            hand.now += LOOK_SECONDS
        return len(begun) == len(work)

    worked(house, work, is_done, seconds=hand)
    assert begun == [Kind.NOTIFY, Kind.INDEX]
