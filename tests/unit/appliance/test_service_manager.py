"""What systemd hands over by sd_listen_fds(3) and hears by sd_notify(3)."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance import service_manager
from appliance.service_manager import ServiceManager


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "n"))
        listening.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "n"))
        yield listening


def test_manager_hears_how_we_are(heard: socket.socket) -> None:
    manager = ServiceManager.of_environment()
    manager.ready("open")
    manager.status("sealed")
    manager.ending()
    assert [heard.recv(100) for _ in range(3)] == [b"READY=1\nSTATUS=open", b"STATUS=sealed", b"STOPPING=1"]
    assert "NOTIFY_SOCKET" not in os.environ


def test_manager_is_asked_for_patience_and_another_part_cannot_say_more_by_that(heard: socket.socket) -> None:
    ServiceManager.of_environment().advancing("step two\nREADY=1" + "x" * 500, patience_seconds=600)
    said = heard.recv(1000).decode().splitlines()
    assert said[0] == "EXTEND_TIMEOUT_USEC=600000000"
    assert said[1].startswith("STATUS=step two READY=1xxx")
    assert (len(said), len(said[1])) == (2, len("STATUS=") + service_manager.LONGEST_STATUS)


def test_manager_that_watches_hears_often_enough_and_not_at_every_turn(
    heard: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    manager = ServiceManager.of_environment()
    for _ in range(100):
        manager.alive()
    assert heard.recv(100) == b"WATCHDOG=1"
    heard.settimeout(0.1)
    with pytest.raises(TimeoutError):
        heard.recv(100)


def test_manager_that_does_not_listen_stops_nothing(tmp_path: Path) -> None:
    ServiceManager(str(tmp_path / "nobody")).ready("open")
    ServiceManager("@nobody-here").ready("open")
    ServiceManager().ready("open")


def test_sockets_for_another_process_are_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid() + 1))
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_FDNAMES", "smtp")
    assert service_manager.handed_sockets() == {}
    assert "LISTEN_FDS" not in os.environ
