"""Several worker processes on one database: nothing is done twice while its lease lives, nothing is left undone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from appliance import archive_wiring
from appliance.data_directory import DataDirectory
from appliance.wiring import Appliance
from mailstore import message_records, outbox
from mailstore.outbox import Kind
from tests import running_practice
from tests.running_practice import RunningPractice, children_of
from tests.vault_room import NOW, Vault, a_deposit

WORKERS = 3
ITEMS = 120

CHILD = """
import os, sys, time
from datetime import timedelta
from pathlib import Path
from mailstore import outbox
from mailstore.outbox import Kind
from tests.vault_room import NOW, Vault
vault, name = Vault(Path(sys.argv[1])), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
while True:
    items = outbox.claim(
        vault.database, [Kind.CAPTURE], now=NOW, limit=5, lease=timedelta(minutes=30), worker=name
    )
    if not items:
        break
    for item in items:
        os.write(1, f"{item.id}\\n".encode())
    if name == "dies":
        time.sleep(60)
    with vault.database.write() as connection:
        assert outbox.finish_many(connection, items) == len(items)
vault.close()
"""


def started(vault: Vault, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(vault.directory), name],
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def told_to_go(workers: list[subprocess.Popen[str]]) -> None:
    """All begin at the same moment."""
    for each in workers:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in workers:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()


def waiting(vault: Vault) -> int:
    with vault.database.read() as connection:
        return outbox.waiting(connection)[Kind.CAPTURE]


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    opened = Vault(tmp_path / "data")
    opened.deposit(*(a_deposit(b"%d" % number) for number in range(ITEMS)))
    return opened


def test_no_item_is_done_twice_and_none_is_left(vault: Vault) -> None:
    workers = [started(vault, f"worker-{number}") for number in range(WORKERS)]
    told_to_go(workers)
    done = [each.communicate(timeout=120)[0].split() for each in workers]
    assert all(each.returncode == 0 for each in workers)
    counted = Counter(item for each in done for item in each)
    assert len(counted) == ITEMS
    assert set(counted.values()) == {1}
    assert waiting(vault) == 0


def test_items_of_a_dead_worker_come_back_and_nobody_elses(vault: Vault) -> None:
    dying = started(vault, "dies")
    told_to_go([dying])
    assert dying.stdout is not None
    taken = {dying.stdout.readline().strip() for _ in range(5)}
    other = started(vault, "worker-2")
    told_to_go([other])
    done = other.communicate(timeout=120)[0].split()
    assert taken.isdisjoint(done), "its lease lives"
    assert waiting(vault) == 5
    dying.send_signal(signal.SIGKILL)
    dying.communicate(timeout=120)
    kept = outbox.claim(
        vault.database, [Kind.PROMOTE], now=NOW, limit=3, lease=timedelta(minutes=30), worker="worker-2"
    )
    with vault.database.write() as connection:
        assert outbox.take_back(connection, tuple(Kind), others={"worker-2"}) == 5
    again = started(vault, "worker-3")
    told_to_go([again])
    assert set(again.communicate(timeout=120)[0].split()) == taken
    with vault.database.write() as connection:
        assert outbox.finish_many(connection, kept) == 3, "who is at work keeps what he has"


def test_items_of_a_dead_worker_come_back_by_themselves_when_their_lease_ends(vault: Vault) -> None:
    items = outbox.claim(vault.database, [Kind.CAPTURE], now=NOW, limit=5, lease=timedelta(minutes=30), worker="dead")
    later = NOW + timedelta(minutes=30)
    again = outbox.claim(
        vault.database, [Kind.CAPTURE], now=later, limit=ITEMS, lease=timedelta(minutes=30), worker="living"
    )
    assert {item.id for item in items} <= {item.id for item in again}
    with vault.database.write() as connection:
        assert outbox.finish_many(connection, items) == 0, "the dead one came back and is too late"
        assert outbox.finish_many(connection, again) == ITEMS


LETTERS = 30
ANN = "ann@clinic.example"


@pytest.mark.slow
def test_served_by_several_workers_of_which_some_are_killed(tmp_path: Path) -> None:
    practice = running_practice.made(tmp_path)
    practice.add_user(ANN, "clinician")
    settings = practice.data / "strongroom.toml"
    text = settings.read_text("utf-8")
    before, section, worker = text.partition("\n[worker]\n")
    assert worker.count("\nprocesses = 1\n") == 1
    settings.write_text(before + section + worker.replace("\nprocesses = 1\n", "\nprocesses = 3\n"), "utf-8")
    with practice.serving() as serve:
        for number in range(LETTERS):
            practice.deliver(f"Subject: {number}\r\n\r\nhello\r\n".encode(), sender="a@example.net", recipients=[ANN])
            if number in {LETTERS // 3, LETTERS // 2}:
                name = "worker-2" if number == LETTERS // 3 else "worker"
                os.kill(children_of(serve.pid)[name], signal.SIGKILL)
        practice.until(lambda: {"worker", "worker-2", "worker-3"} <= children_of(serve.pid).keys())
        practice.until(lambda: not left_to_do(practice))
    with Appliance.opened(DataDirectory(practice.data)) as appliance:
        with appliance.database.read() as connection:
            stored = list(message_records.all_messages(connection))
        assert len(stored) == LETTERS
        assert all(each.object_name for each in stored)
        named = {each.object_name for each in stored}
        assert len(named) == LETTERS
        assert named <= set(appliance.objects.names()), "what a killed worker had put and not named is swept later"
        assert archive_wiring.index(appliance).document_count() == LETTERS


def left_to_do(practice: RunningPractice) -> int:
    """How much follow-up work waits, seen through a connection of our own."""
    with Appliance.opened(DataDirectory(practice.data)) as appliance, appliance.database.read() as connection:
        return outbox.waiting(connection).total()
