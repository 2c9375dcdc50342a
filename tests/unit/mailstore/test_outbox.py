from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from mailstore import message_records, outbox
from mailstore.database import Database
from mailstore.errors import TamperedError
from mailstore.outbox import Kind, NewItem, OutboxItem
from tests.ledger_room import NOW, created, message

MINUTE = timedelta(minutes=1)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = created(tmp_path)
    yield made
    made.dispose()


def put(database: Database, count: int, kind: Kind = Kind.INDEX, not_before: datetime = NOW) -> None:
    with database.write() as connection:
        outbox.add_many(connection, [NewItem(kind, None, not_before) for _ in range(count)])


def put_and_fail(database: Database) -> None:
    with database.write() as connection:
        outbox.add(connection, Kind.INDEX, None, None, NOW)
        raise ZeroDivisionError


def claimed(
    database: Database, *kinds: Kind, now: datetime = NOW, limit: int = 10, worker: str = "w"
) -> list[OutboxItem]:
    return outbox.claim(database, kinds or (Kind.INDEX,), now=now, limit=limit, lease=MINUTE, worker=worker)


def test_item_comes_back_as_it_was_put_down(database: Database) -> None:
    row = message()
    with database.write() as connection:
        message_records.insert_many(connection, [row])
        outbox.add(connection, Kind.DELIVER, row.message.id, 3, NOW)
    [item] = claimed(database, Kind.DELIVER)
    assert (item.kind, item.message, item.position, item.attempts) == (Kind.DELIVER, row.message.id, 3, 0)
    assert (item.leased_by, item.leased_until, item.not_before) == ("w", NOW + MINUTE, NOW)


def test_item_whose_cause_was_undone_never_existed(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        put_and_fail(database)
    assert claimed(database) == []


def test_leased_item_is_given_to_nobody_else_until_the_lease_runs_out(database: Database) -> None:
    put(database, 1)
    [first] = claimed(database, worker="a")
    assert claimed(database, now=NOW + MINUTE - timedelta(microseconds=1), worker="b") == []
    [again] = claimed(database, now=NOW + MINUTE, worker="b")
    assert (again.id, again.leased_by) == (first.id, "b")


def test_late_worker_cannot_finish_or_postpone_what_another_took(database: Database) -> None:
    put(database, 1)
    [late] = claimed(database, worker="a")
    [taken] = claimed(database, now=NOW + MINUTE, worker="a")
    with database.write() as connection:
        assert not outbox.finish(connection, late)
        assert not outbox.postpone(connection, late, NOW, "slow")
        assert outbox.waiting(connection) == {Kind.INDEX: 1}
        assert outbox.finish(connection, taken)
        assert not outbox.finish(connection, taken)
        assert outbox.waiting(connection) == {}


def test_items_finished_together_are_done_except_those_that_another_took(database: Database) -> None:
    put(database, 3)
    late = claimed(database, limit=1)
    mine = claimed(database, limit=2, worker="other")
    claimed(database, now=NOW + MINUTE, limit=1, worker="third")
    with database.write() as connection:
        assert outbox.finish_many(connection, [*late, *mine]) == 2
        assert outbox.waiting(connection) == {Kind.INDEX: 1}


def test_postponed_item_waits_until_its_time_and_counts_the_attempt(database: Database) -> None:
    put(database, 1)
    [item] = claimed(database)
    with database.write() as connection:
        assert outbox.postpone(connection, item, NOW + 2 * MINUTE, "greylisted")
        assert outbox.next_due(connection, [Kind.INDEX]) == NOW + 2 * MINUTE
        assert outbox.next_due(connection, [Kind.DELIVER]) is None
    assert claimed(database, now=NOW + MINUTE) == []
    [again] = claimed(database, now=NOW + 2 * MINUTE)
    assert (again.id, again.attempts) == (item.id, 1)


def test_kinds_are_kept_apart_and_taken_in_the_order_asked(database: Database) -> None:
    put(database, 2, Kind.INDEX, NOW - MINUTE)
    put(database, 2, Kind.DELIVER)
    put(database, 2, Kind.DELIVER, NOW + MINUTE)
    put(database, 2, Kind.REPORT)
    kinds = [item.kind for item in claimed(database, Kind.DELIVER, Kind.INDEX, limit=3)]
    assert kinds == [Kind.DELIVER, Kind.DELIVER, Kind.INDEX]
    with database.read() as connection:
        assert outbox.waiting(connection) == {Kind.INDEX: 2, Kind.DELIVER: 4, Kind.REPORT: 2}


def test_longest_due_is_taken_first(database: Database) -> None:
    put(database, 1, not_before=NOW)
    put(database, 1, not_before=NOW - MINUTE)
    assert [item.id for item in claimed(database)] == [2, 1]


def test_needless_work_is_taken_back_for_one_message_and_recipient_only(database: Database) -> None:
    row, other = message(), message()
    with database.write() as connection:
        message_records.insert_many(connection, [row, other])
        for each in (row, other):
            for position in (0, 1):
                outbox.add(connection, Kind.NOTIFY, each.message.id, position, NOW)
        assert outbox.drop(connection, row.message.id, kind=Kind.DELIVER) == 0
        assert outbox.drop(connection, row.message.id, kind=Kind.NOTIFY, position=1) == 1
        assert outbox.drop(connection, other.message.id, kind=Kind.NOTIFY) == 2
    assert [(item.message, item.position) for item in claimed(database, Kind.NOTIFY)] == [(row.message.id, 0)]


def test_edited_item_is_refused_not_done(database: Database) -> None:
    put(database, 1)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE outbox SET kind = 'deliver'")
    with pytest.raises(TamperedError, match=r"outbox\(id=1\)"):
        claimed(database, Kind.DELIVER)


WORKER = """
import os, signal, sys
from datetime import timedelta
from pathlib import Path
from mailstore import outbox
from mailstore.outbox import Kind
from tests.ledger_room import NOW, opened
database = opened(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
while items := outbox.claim(
    database, [Kind.INDEX], now=NOW, limit=7, lease=timedelta(minutes=1), worker=str(os.getpid())
):
    print(*(item.id for item in items), flush=True)
    if sys.argv[2] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
"""


def started(directory: Path, end: str) -> subprocess.Popen[str]:
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(directory), end], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    return worker


def test_two_processes_never_hold_the_same_item(database: Database, tmp_path: Path) -> None:
    put(database, 400)
    workers = [started(tmp_path, "live") for _ in range(2)]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    held = [[int(number) for number in worker.communicate(timeout=60)[0].split()] for worker in workers]
    assert all(worker.returncode == 0 for worker in workers)
    assert sorted(held[0] + held[1]) == list(range(1, 401))


def test_item_survives_the_kill_of_its_worker(database: Database, tmp_path: Path) -> None:
    put(database, 5)
    worker = started(tmp_path, "die")
    output, _ = worker.communicate("go\n", timeout=60)
    assert worker.returncode == -signal.SIGKILL
    assert sorted(map(int, output.split())) == [1, 2, 3, 4, 5]
    assert claimed(database) == []
    assert [item.id for item in claimed(database, now=NOW + MINUTE)] == [1, 2, 3, 4, 5]


def test_claiming_is_quick_however_many_wait(database: Database) -> None:
    """By what many cost beside few in the same process, so that a busy machine does not fail it."""
    put(database, 500)
    few = claiming_seconds(database)
    put(database, 30_000)
    many = claiming_seconds(database)
    assert many < 4 * few + 0.05


def claiming_seconds(database: Database) -> float:
    """The quickest of several looks and claims."""
    taken = []
    for _ in range(8):
        began = time.perf_counter()
        with database.read() as connection:
            assert outbox.next_due(connection, tuple(Kind)) is not None
        assert len(claimed(database, limit=5)) == 5
        taken.append(time.perf_counter() - began)
    return min(taken)


def test_work_written_while_the_clock_stood_ahead_is_done_when_it_is_right_again(database: Database) -> None:
    put(database, 2, not_before=NOW + timedelta(days=3653))
    assert claimed(database, now=NOW) == []
    with database.write() as connection:
        assert outbox.pull_forward(connection, [Kind.INDEX], now=NOW) == 2
    assert len(claimed(database, now=NOW)) == 2


def test_nothing_that_may_wait_so_long_is_made_due_early(database: Database) -> None:
    put(database, 1, not_before=NOW + timedelta(hours=24))
    put(database, 1)
    [tried] = claimed(database, now=NOW)
    with database.write() as connection:
        outbox.postpone(connection, tried, NOW + timedelta(days=5), "later")
        assert outbox.pull_forward(connection, [Kind.INDEX], now=NOW) == 0


def test_leased_work_is_not_taken_from_who_does_it_by_a_clock_set_back(database: Database) -> None:
    put(database, 1)
    assert len(claimed(database, now=NOW)) == 1
    with database.write() as connection:
        assert outbox.pull_forward(connection, [Kind.INDEX], now=NOW - timedelta(days=3653)) == 0
