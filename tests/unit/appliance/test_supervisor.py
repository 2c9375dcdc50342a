"""How long the parts of the appliance wait for what one of them has to do first."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.agent_link import OtherAgent
from appliance.data_directory import DataDirectory
from appliance.key_agent_connection import Connection
from appliance.key_agent_followers import Followers
from appliance.key_agent_policy import Asker
from appliance.role_charge import Phase, RoleName
from appliance.service_manager import ServiceManager
from appliance.supervisor import ADVANCE_SECONDS, RoleFailedError, Supervisor

START_SECONDS = 0.3


@pytest.fixture
def part(tmp_path: Path) -> Iterator[tuple[Supervisor, Followers, socket.socket]]:
    """The smtp part, which waits for the worker's, the agent's end of its connection, and what systemd hears."""
    followers = Followers()
    followers.enter(Phase.OPEN)
    with socket.socket(socket.AF_UNIX) as door, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as saying:
        door.bind(str(tmp_path / "smtp.sock"))
        door.listen()
        saying.bind(str(tmp_path / "notify"))
        saying.settimeout(5)
        supervisor = Supervisor(
            DataDirectory(tmp_path),
            {},
            OtherAgent(tmp_path / "smtp.sock"),
            frozenset({RoleName.SMTP}),
            manager=ServiceManager(str(tmp_path / "notify")),
            start_seconds=START_SECONDS,
        )
        supervisor.start()
        accepted, _address = door.accept()
        with accepted:
            followers.join(Connection(accepted, (Asker.SMTP,)))
            yield supervisor, followers, saying
        supervisor.end()


def test_part_whose_turn_does_not_come_is_late(part: tuple[Supervisor, Followers, socket.socket]) -> None:
    supervisor, _followers, _saying = part
    with pytest.raises(RoleFailedError, match="did not become ready"):
        supervisor.run(when_ready=print)


def test_part_waits_as_long_as_the_rows_get_on(part: tuple[Supervisor, Followers, socket.socket]) -> None:
    supervisor, followers, saying = part
    followers.advancing("rows: step two for 5 s")
    told = threading.Timer(4 * START_SECONDS, followers.end)
    told.start()
    supervisor.run(when_ready=print)
    told.join()
    said = [saying.recv(1000).decode(), saying.recv(1000).decode()]
    assert f"EXTEND_TIMEOUT_USEC={ADVANCE_SECONDS:.0f}000000\nSTATUS=rows: step two for 5 s" in said
