"""The parts of the appliance started one by one, as a service manager does: open, sealed, fallen, ended."""

from __future__ import annotations

import http.client
import os
import signal
import smtplib
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from appliance.commands import serve
from appliance.data_directory import DataDirectory
from appliance.key_agent_client import KeyAgentClient
from mailstore.errors import RefusedError
from tests import parts_room
from tests.parts_room import PartsRoom
from tests.running_practice import children_of

ANN = "ann@clinic.example"
LETTER = b"From: a@example.net\r\nSubject: hello\r\n\r\nhello there\r\n"


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PartsRoom]:
    with parts_room.made(tmp_path_factory.mktemp("parts")) as made:
        made.practice.add_user(ANN, "clinician")
        made.start_all()
        yield made


def deliver(room: PartsRoom) -> None:
    room.practice.deliver(LETTER, sender="a@example.net", recipients=[ANN])


def portal_status(room: PartsRoom) -> int:
    connection = http.client.HTTPSConnection(
        "localhost", room.practice.base + 443, context=room.practice.trusting(), timeout=30
    )
    connection.request("GET", "/")
    status = connection.getresponse().status
    connection.close()
    return status


def roles(room: PartsRoom) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in room.parts.values():
        found |= children_of(part.process.pid)
    return found


def test_every_part_has_its_own_roles_and_mail_and_pages_are_answered(room: PartsRoom) -> None:
    assert set(children_of(room.parts["key-agent"].process.pid)) == {"agent"}
    assert set(children_of(room.parts["smtp"].process.pid)) == {"smtp"}
    assert set(children_of(room.parts["mail"].process.pid)) == {"mail"}
    assert set(children_of(room.parts["worker"].process.pid)) == {"worker"}
    deliver(room)
    assert portal_status(room) == 303


def test_socket_of_a_role_gives_what_that_role_may_have_and_nothing_else(room: PartsRoom) -> None:
    smtp = KeyAgentClient(room.door("smtp"))
    smtp.deposit_keys()
    for ask in (smtp.working_keys, smtp.status, smtp.seal, smtp.end_all):
        with pytest.raises(RefusedError):
            ask()
    mail = KeyAgentClient(room.door("mail"))
    mail.working_keys()
    with pytest.raises(RefusedError):
        mail.end_all()


def test_connection_made_while_a_part_is_started_again_is_answered(room: PartsRoom) -> None:
    room.parts["smtp"].end()
    answered: list[Any] = []

    def greet() -> None:
        with smtplib.SMTP("127.0.0.1", room.practice.base + 25, timeout=60) as client:
            answered.append(client.ehlo()[0])

    waiting = threading.Thread(target=greet)
    waiting.start()
    room.start("smtp").until_it_says("READY=1")
    waiting.join(60)
    assert answered == [250]


def test_after_a_fall_of_the_key_agent_every_part_takes_its_keys_anew(room: PartsRoom) -> None:
    before = roles(room)
    os.kill(before["agent"], signal.SIGKILL)
    room.practice.until(
        lambda: set(roles(room)) == set(before) and not set(roles(room).values()) & set(before.values())
    )
    deliver(room)


def test_sealed_mail_is_taken_by_every_part_of_its_own_and_is_there_once_unsealed(room: PartsRoom) -> None:
    assert room.told("seal") == {"sealed": True, "was_open": True}
    for part in ("smtp", "mail", "worker"):
        room.parts[part].until_it_says("STATUS=sealed")
    deliver(room)
    assert portal_status(room) == 503
    assert room.told("key", "slot", "list")["error"]["code"] == "sealed"
    opened = room.told("unseal", "--key-file", str(DataDirectory(room.practice.data).unlock_key))
    assert (opened["sealed"], opened["taken_in"]) == (False, 1)
    for part in ("smtp", "mail", "worker"):
        room.parts[part].until_it_says("STATUS=open")
    deliver(room)
    assert portal_status(room) == 303


def test_everything_ends_where_the_appliance_works_in_another_place_now(room: PartsRoom) -> None:
    KeyAgentClient(room.door("worker")).end_all()
    ended = {part: each.process.wait(60) for part, each in room.parts.items()}
    assert ended == {**dict.fromkeys(parts_room.PARTS, 0), "key-agent": serve.SENT_AWAY}


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PartsRoom]:
    with parts_room.made(tmp_path_factory.mktemp("idle")) as made:
        yield made


def refusal(room: PartsRoom, part: str, handed: list[str]) -> str:
    process = room.start(part, handed=handed).process
    assert process.stderr is not None
    said = process.stderr.read().decode()
    assert process.wait(30) == 1
    return said


def test_key_agent_makes_no_socket_for_roles_itself(idle: PartsRoom) -> None:
    assert "no socket was handed over for smtp, mail, worker" in refusal(idle, "key-agent", ["door-command"])


def test_port_that_was_bound_otherwise_than_the_settings_say_is_refused(idle: PartsRoom) -> None:
    idle.sockets = {**idle.sockets, "portal": idle.sockets["smtp"]}
    assert "settings say" in refusal(idle, "mail", ["portal"])


def test_whole_is_refused_where_its_parts_are_started_by_themselves(idle: PartsRoom) -> None:
    assert "strongroom.target" in idle.told("serve")["error"]["fix"]
