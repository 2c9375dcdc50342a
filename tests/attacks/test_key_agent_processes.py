"""The key agent killed, spied on and sealed, in the tree that ``serve`` really is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.data_directory import DataDirectory
from tests import running_practice
from tests.process_memory_room import memory_of
from tests.repository_room import ROOT
from tests.running_practice import RunningPractice, children_of, ring_of

LETTER = b"From: a@example.net\r\nSubject: hello\r\n\r\nhello there\r\n"
OPEN_ROLES = {"agent", "smtp", "mail", "worker"}
SEALED_ROLES = {"agent", "smtp", "mail"}

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root may look into another process's memory")


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> RunningPractice:
    made = running_practice.made(tmp_path_factory.mktemp("agent"))
    made.add_user("ann@clinic.example", "clinician")
    return made


@pytest.fixture(scope="module")
def serve(practice: RunningPractice) -> Iterator[int]:
    with practice.serving() as process:
        yield process.pid


def tree_of(serve: int) -> list[int]:
    """``serve`` and everything that descends from it."""
    found = [serve]
    for process in found:
        for task in Path(f"/proc/{process}/task").iterdir():
            found += map(int, (task / "children").read_text("ascii").split())
    return found


def answers(practice: RunningPractice, *words: str) -> bool:
    return practice.run(*words).code == 0


def test_commands_ask_the_agent_and_are_counted(practice: RunningPractice, serve: int) -> None:
    del serve
    practice.deliver(LETTER, sender="a@example.net", recipients=["ann@clinic.example"])
    practice.until(lambda: practice.told("archive", "status")["indexed"] == 1)
    practice.told("check")
    told = practice.told("key", "agent", "status")
    opened = {each["asker"]: each["opened"] for each in told["askers"]}
    assert opened["command"] >= 1
    assert opened["worker"] >= 1
    assert "smtp" not in opened
    assert (told["sealed"], told["alarms"], told["is_whole"]) == (False, [], True)


def test_command_needs_no_secret_while_the_agent_is_open(practice: RunningPractice, serve: int) -> None:
    del serve
    hidden = practice.data / "keys" / "unlock.key"
    away = practice.data.parent / "unlock.key"
    hidden.rename(away)
    try:
        assert practice.told("audit", "verify")["valid"]
    finally:
        away.rename(hidden)


def test_killed_agent_takes_all_keys_with_it_and_a_fresh_one_opens_what_opens_by_itself(
    practice: RunningPractice, serve: int
) -> None:
    before = children_of(serve)
    assert set(before) == OPEN_ROLES
    os.kill(before["agent"], signal.SIGKILL)
    practice.until(
        lambda: set(children_of(serve)) == OPEN_ROLES and not set(before.values()) & set(children_of(serve).values())
    )
    practice.until(lambda: answers(practice, "audit", "verify"))
    practice.deliver(LETTER, sender="a@example.net", recipients=["ann@clinic.example"])
    started_again = Path(f"/proc/{children_of(serve)['agent']}/cmdline").read_bytes().split(b"\0")
    assert b"appliance.roles" in started_again, "a fork has the memory layout that a fallen one had"


def test_account_of_the_use_of_keys_that_was_changed_is_noticed(practice: RunningPractice, serve: int) -> None:
    del serve
    account = practice.data / "audit" / "key-use.jsonl"
    practice.told("seal")
    practice.told("unseal", "--key-file", str(practice.data / "keys" / "unlock.key"))
    whole = account.read_bytes()
    assert practice.told("key", "agent", "status")["is_whole"]
    account.write_bytes(whole.replace(b"sealed:command", b"sealed:someone", 1))
    told = practice.run("key", "agent", "status")
    account.write_bytes(whole)
    assert told.code == 1
    assert told.json["is_whole"] is False
    assert told.json["first_bad"] is not None
    practice.until(lambda: answers(practice, "audit", "verify"))


def test_agent_has_no_network_where_it_says_so(practice: RunningPractice, serve: int) -> None:
    agent = children_of(serve)["agent"]
    is_apart = Path(f"/proc/{agent}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()
    assert practice.told("key", "agent", "status")["has_no_network"] is is_apart


@needs_root
def test_after_sealing_no_process_holds_any_key(practice: RunningPractice, serve: int) -> None:
    ring = ring_of(DataDirectory(practice.data))
    practice.until(lambda: ring.row_key in memory_of(children_of(serve).get("mail", 0)))  # else it was not read
    practice.told("seal")
    practice.until(lambda: set(children_of(serve)) == SEALED_ROLES)
    for process in tree_of(serve):
        memory = memory_of(process)
        for member, key in ring.members().items():
            assert key not in memory, f"{process} has {member}"
            assert key.hex().encode() not in memory, f"{process} has {member}"


def test_agent_killed_while_sealed_by_hand_stays_sealed_though_the_key_lies_there(
    practice: RunningPractice, serve: int
) -> None:
    practice.told("seal")
    practice.until(lambda: set(children_of(serve)) == SEALED_ROLES)
    before = children_of(serve)["agent"]
    os.kill(before, signal.SIGKILL)
    practice.until(lambda: children_of(serve).get("agent", before) != before)
    practice.until(lambda: practice.run("key", "agent", "status").code == 0)
    assert practice.told("key", "agent", "status")["sealed"] is True
    assert practice.refused("archive", "status")["code"] == "sealed"
    practice.told("unseal", "--key-file", str(practice.data / "keys" / "unlock.key"))
    practice.until(lambda: answers(practice, "audit", "verify"))


SPY = """
import ctypes, json, os, sys
from pathlib import Path
from appliance.key_agent_policy import Asker
from mailstore.key_hierarchy import CaptureKeyPair
from tests import key_agent_room

CaptureKeyPair.of(bytes(range(32)))  # loads what the library loads at its first use: this user may not read it there
os.setgroups([]); os.setgid(65534); os.setuid(65534)

ATTACH = 16
library = ctypes.CDLL(None, use_errno=True)
with key_agent_room.running(Path(sys.argv[1]), is_afresh=False) as room:
    told = room.client(Asker.MAIL).status()
    process, found = room.agent.process.pid, {"has_no_network": told["has_no_network"]}
    for name in ("mem", "maps", "environ"):
        try:
            Path(f"/proc/{process}/{name}").open("rb").read(1)
            found[name] = "read"
        except OSError as error:
            found[name] = error.errno
    found["ptrace"] = ctypes.get_errno() if library.ptrace(ATTACH, process, 0, 0) else "attached"
    limits = Path(f"/proc/{process}/limits").read_text().splitlines()
    found["core"] = [line.split()[4:6] for line in limits if "core file" in line]
    print(json.dumps(found))
"""


@needs_root
def test_another_process_of_the_same_user_sees_nothing_of_the_agent() -> None:
    """Run by a user without rights: root may look everywhere."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chown(folder, 65534, 65534)
        words = [sys.executable, "-c", SPY, str(Path(folder) / "d")]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, check=False, timeout=60)
        found = json.loads(done.stdout) if done.stdout else done.stderr.decode()
    assert isinstance(found, dict), found
    assert (found["mem"], found["environ"], found["ptrace"]) == (13, 13, 1)
    assert found["maps"] == 13
    assert found["core"] == [["0", "0"]]
