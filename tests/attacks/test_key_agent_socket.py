"""Whoever reaches the key agent: roles that were taken over, other users, garbage, floods. A real agent answers."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from appliance import key_agent_protocol, key_agent_socket
from appliance.key_agent_client import AgentOpener, KeyAgentClient
from appliance.key_agent_policy import Ask, Asker, may
from appliance.role_charge import frame, opened
from mailstore.errors import RefusedError, SealedError, StrongroomError, TamperedError, WrongKeyError
from mailstore.key_hierarchy import KeyRing
from mailstore.message import MessageId
from tests import key_agent_room
from tests.key_agent_room import AgentRoom, cpu_seconds, until
from tests.repository_room import ROOT

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user")


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentRoom]:
    with key_agent_room.running(tmp_path_factory.mktemp("agent")) as made:
        yield made


def question(ask: Ask, room: AgentRoom) -> dict[str, Any]:
    """A well-formed question of each kind."""
    match ask:
        case Ask.OPEN:
            return key_agent_protocol.open_request([room.wrapped("xa")])
        case Ask.UNSEAL:
            return {"ask": ask, "kind": "key_file", "secret": b"00".hex()}
        case _:
            return {"ask": ask}


def answer(connection: socket.socket) -> dict[str, Any] | None:
    """What came back; None when the agent hung up."""
    heard = b""
    while True:
        told, heard = opened(heard)
        if told is not None:
            return told
        data = connection.recv(65_536)
        if not data:
            return None
        heard += data


def asked(connection: socket.socket, told: dict[str, Any]) -> dict[str, Any] | None:
    connection.sendall(frame(told))
    return answer(connection)


@pytest.mark.parametrize("asker", list(Asker))
def test_every_question_that_a_role_may_not_put_is_refused(room: AgentRoom, asker: Asker) -> None:
    with room.raw(asker) as connection:
        for ask in Ask:
            if not may(asker, ask):
                assert asked(connection, question(ask, room)) == {"error": ["refused", "not for you", ""]}


def test_role_facing_the_internet_gets_its_deposit_keys_and_nothing_else(room: AgentRoom) -> None:
    smtp = room.client(Asker.SMTP)
    assert smtp.deposit_keys() == room.ring.deposit_keys()
    asks: list[Callable[[], object]] = [
        smtp.working_keys,
        smtp.status,
        smtp.seal,
        lambda: smtp.unseal("key_file", b""),
        lambda: smtp.opened([room.wrapped("xa")]),
    ]
    for ask in asks:
        with pytest.raises(RefusedError):
            ask()
    alarms = room.client(Asker.MAIL).status()["use"]["alarms"]
    assert ("refused", "smtp") in [(each["alarm"], each["asker"]) for each in alarms]


def test_working_keys_hold_nothing_that_opens_every_message_or_backup(room: AgentRoom) -> None:
    handed = room.client(Asker.MAIL).working_keys().to_bytes()
    for name in ("capture_private", "data_recovery", "keys_recovery"):
        assert getattr(room.ring, name) not in handed


def test_role_cannot_become_another_by_saying_so(room: AgentRoom) -> None:
    with room.raw(Asker.SMTP) as connection:
        told = question(Ask.OPEN, room)
        assert asked(connection, {**told, "asker": "mail", "role": "mail"}) == {"error": ["refused", "not for you", ""]}


def test_keys_of_another_ring_changed_rows_and_swapped_messages_open_nothing(room: AgentRoom) -> None:
    other = KeyRing(*(os.urandom(32) for _ in range(10)))
    strange = key_agent_room.wrapped(other, "xa")
    good, swapped = room.wrapped("xa"), room.wrapped("ya")
    mail = AgentOpener(room.client(Asker.MAIL), room.ring.capture.public)
    rows = [
        strange,
        replace(good, message=MessageId("zz")),
        replace(good, wrapped_batch_key=b"w" * 500),
        replace(good, wrapped_batch_key=b"", wrapped_message_key=b""),
        swapped,
    ]
    found = mail.opened(rows)
    assert [type(each) for each in found[:4]] == [WrongKeyError, TamperedError, TamperedError, TamperedError]
    assert found[4] == b"y" * 32


GARBAGE = [
    b"\x00\x00\x00\x04nope",
    b"\x00\x00\x00\x02[]",
    b"\x00\x00\x00\x00",
    b"\xff\xff\xff\xff",
    b"GET / HTTP/1.1\r\n\r\n",
    frame({"ask": "everything"}),
    frame({"ask": ["open"]}),
    frame({"ask": "open"}),
    frame({"ask": "open", "keys": [[1, 2, 3, 4, 5]]}),
    frame({}),
    b"\x00\x00\x40\x00" + b"[" * 0x4000,
    b"\x00\x00\x00\x06\xff\xfe\xfd\xfc\xfb\xfa",
]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_what_is_no_question_ends_the_connection_and_nothing_else(room: AgentRoom, garbage: bytes) -> None:
    with room.raw(Asker.MAIL) as connection:
        connection.sendall(garbage)
        assert answer(connection) is None
    assert room.client(Asker.MAIL).opened([room.wrapped("xa")]) == [b"x" * 32]


def test_unseal_with_garbage_for_a_secret_ends_the_connection(tmp_path: Path) -> None:
    with key_agent_room.running(tmp_path, opens=False) as room:
        for told in ({"kind": 5, "secret": "00"}, {"kind": "key_file"}, {"kind": "key_file", "secret": "zz"}):
            with room.raw(Asker.SEALED_MAIL) as connection:
                assert asked(connection, {"ask": "unseal", **told}) is None
        with pytest.raises(StrongroomError):
            room.client(Asker.SEALED_MAIL).unseal("no such kind", b"secret")


def test_slow_question_is_given_up_and_holds_nobody_up(room: AgentRoom) -> None:
    slow = [room.raw(Asker.MAIL) for _ in range(20)]
    for connection in slow:
        connection.sendall(b"\x00\x00")
    begun = time.monotonic()
    assert room.client(Asker.MAIL).opened([room.wrapped("xa")]) == [b"x" * 32]
    assert time.monotonic() - begun < 5
    assert slow[0].recv(1) == b"", "half a question is waited for without end"
    for connection in slow:
        connection.close()


def test_sealed_agent_answers_nothing_but_that_it_is_sealed(tmp_path: Path) -> None:
    with key_agent_room.running(tmp_path, opens=False) as room:
        for asker in (Asker.MAIL, Asker.WORKER, Asker.COMMAND, Asker.SMTP, Asker.OPENING):
            client = room.client(asker)
            asks: dict[Ask, Callable[[], object]] = {
                Ask.OPEN: partial(client.opened, [room.wrapped("xa")]),
                Ask.WORKING_KEYS: client.working_keys,
                Ask.DEPOSIT_KEYS: client.deposit_keys,
            }
            for ask, put in asks.items():
                if may(asker, ask):
                    with pytest.raises(SealedError):
                        put()
        told = room.client(Asker.SEALED_MAIL).status()
        assert set(told) == {"sealed", "opening", "has_no_network", "is_memory_locked"}


def test_unsealing_opens_and_sealing_ends_the_process_that_had_the_keys(tmp_path: Path) -> None:
    with key_agent_room.running(tmp_path, opens=False) as room:
        room.client(Asker.SEALED_MAIL).unseal("key_file", room.key_file.path.read_bytes())
        assert room.phase() == "open"
        assert room.client(Asker.MAIL).opened([room.wrapped("xa")]) == [b"x" * 32]
        room.client(Asker.COMMAND).seal()
        assert room.phase() == "sealed"
        assert room.phase() == ""
        assert room.agent.process.wait(60) == 0
        account = (tmp_path / "audit" / "key-use.jsonl").read_text("utf-8").splitlines()
        assert json.loads(account[-1])["events"] == ["unsealed:sealed-mail", "sealed:command"]


def test_beyond_its_rate_a_role_waits_is_told_on_and_goes_on(tmp_path: Path) -> None:
    rates = {"mail": (240, 4), "worker": key_agent_room.PLENTY, "command": key_agent_room.PLENTY}
    with key_agent_room.running(tmp_path, rates=rates) as room:
        mail, worker = room.client(Asker.MAIL), room.client(Asker.WORKER)
        keys = [room.wrapped("xa")] * 2
        mail.opened(keys), mail.opened(keys)
        assert worker.status()["use"]["slowed"] == {}, "what is within the rate waited"
        begun = time.monotonic()
        mail.opened(keys * 3)
        assert time.monotonic() - begun >= 0.45, "240 a minute are two in half a second"
        assert worker.opened(keys * 50) == [b"x" * 32] * 100
        use = worker.status()["use"]
        assert use["opened"] == {"mail": 10, "worker": 100}
        assert [(each["alarm"], each["asker"]) for each in use["alarms"]] == [("slowed", "mail")]
        assert set(use["slowed"]) == {"mail"}, "one asker's rate slowed another"
        assert 500 <= use["slowed"]["mail"] <= 1500, "by how much came back while we asked"


def test_process_below_the_supervisor_is_no_command(room: AgentRoom) -> None:
    """We are the supervisor of this agent ourselves, so whatever we start is below it."""
    with pytest.raises((SealedError, OSError)):
        KeyAgentClient.connected(room.data.key_agent_socket).working_keys()
    alarms = room.client(Asker.MAIL).status()["use"]["alarms"]
    assert "stranger" in [each["alarm"] for each in alarms]


ORPHAN = """
import os, sys, time
from pathlib import Path
from appliance import process_hardening
from appliance.key_agent_client import KeyAgentClient
from mailstore.errors import SealedError
from tests import key_agent_room

process_hardening.keep_descendants()
with key_agent_room.running(Path(sys.argv[1])) as room:
    reading, writing = os.pipe()
    if os.fork() == 0:
        if os.fork() != 0:
            os._exit(0)
        os.setsid()
        time.sleep(0.2)
        try:
            KeyAgentClient.connected(room.data.key_agent_socket).working_keys()
            os.write(writing, b"got keys")
        except (SealedError, OSError):
            os.write(writing, b"refused")
        os._exit(0)
    os.close(writing)
    print(os.read(reading, 100).decode())
"""


def test_role_that_lets_itself_be_orphaned_is_no_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ORPHAN, str(tmp_path / "data")], cwd=ROOT, capture_output=True, check=False, timeout=60
    )
    assert done.stdout.strip() == b"refused", done.stderr.decode()


STRANGER = """
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
connection = socket.socket(socket.AF_UNIX)
try:
    connection.connect(sys.argv[1])
    connection.sendall(b'\\0\\0\\0\\x17{"ask": "working-keys"}')
    print(connection.recv(100))
except OSError as error:
    print(error.errno)
"""


@needs_root
def test_another_user_gets_nothing_even_where_the_modes_would_let_them_in() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, key_agent_room.running(Path(folder) / "d") as room:
        for place in (Path(folder), room.data.path, room.data.run):
            place.chmod(0o711)
        path = room.data.key_agent_socket
        words = [sys.executable, "-S", "-c", STRANGER, str(path)]
        closed = subprocess.run(words, capture_output=True, check=False, timeout=30)
        assert closed.stdout.strip() == b"13", "the socket is for its owner alone"
        path.chmod(0o666)
        opened_up = subprocess.run(words, capture_output=True, check=False, timeout=30)
        assert opened_up.stdout.strip() in {b"b''", b"104", b"32"}, opened_up
        alarms = room.client(Asker.MAIL).status()["use"]["alarms"]
        assert "stranger" in [each["alarm"] for each in alarms]


def test_thousands_of_connections_are_bounded_and_hold_nobody_up(room: AgentRoom) -> None:
    """From below the supervisor none of them stays; roles go on being answered meanwhile."""
    mail = room.client(Asker.MAIL)
    kept: list[socket.socket] = []
    before = cpu_seconds(room.agent.process.pid)
    for number in range(2000):
        with contextlib.suppress(OSError):
            kept.append(key_agent_socket.connected(room.data.key_agent_socket, within_seconds=1))
        if number % 100 == 0:
            assert mail.opened([room.wrapped("xa")]) == [b"x" * 32]
            for each in kept:
                each.close()
            kept.clear()
    assert cpu_seconds(room.agent.process.pid) - before < 5
    until(lambda: len(list(Path(f"/proc/{room.agent.process.pid}/fd").iterdir())) < 100)
