"""What every role does from its first breath: take the charge over the pipe, work, say why it cannot."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance import log_setup, process_hardening, process_memory
from appliance.data_directory import DataDirectory
from appliance.key_agent_client import KeyAgentClient
from appliance.role_charge import Charge, frame, opened
from mailstore.errors import StrongroomError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Station:
    """Where a role works: its name, its directory, its sockets, the key agent, and how it says that it works."""

    name: str
    data: DataDirectory
    sockets: Mapping[str, socket.socket]
    agent: KeyAgentClient
    when_ready: Callable[[], None]
    when_advancing: Callable[[str], None]
    """Says, in words for people, that work before that gets on: whoever waits goes on waiting."""


def live(name: str, module: str, descriptor: int, agent: int, parent: int) -> int:
    """Load a role's module, take the charge, work until told to end; gives the exit code.

    ``name`` is what the process is called (``role_charge.place_name``), ``module`` what it runs below
    ``appliance.roles``; ``descriptor`` is the pipe to the supervisor, ``agent`` the connection to the key agent.
    """
    begin(name, parent)
    pipe = socket.socket(fileno=descriptor)
    role = importlib.import_module(f"appliance.roles.{module}")
    process_memory.keep_loaded()
    charge = Charge.of(_told(pipe))
    data = DataDirectory(Path(charge.data))
    log_setup.to_directory(data.log, name)
    threading.Thread(target=_leave_with_parent, args=(pipe,), daemon=True).start()
    sockets = {word: socket.socket(fileno=number) for word, number in charge.sockets.items()}
    client = KeyAgentClient(socket.socket(fileno=agent))

    def say(news: Mapping[str, object]) -> None:
        pipe.sendall(frame(news))

    try:
        role.work(
            Station(name, data, sockets, client, lambda: say({"ready": True}), lambda how: say({"advancing": how}))
        )
    except StrongroomError as error:
        logger.exception("role refused")
        pipe.sendall(frame({"refused": [error.code, error.message, error.fix]}))
        return 1
    except Exception:
        logger.exception("role failed")
        return 1
    logger.info("role ended as told")
    return 0


def begin(name: str, parent: int) -> None:
    """Be a process that holds keys and ends with its parent. A fork takes none of its parent's signals with it."""
    os.chdir("/")
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    process_memory.give_back()
    process_hardening.harden()
    process_hardening.be_called(f"{name}-role")
    process_hardening.die_with_parent(parent)


def _told(pipe: socket.socket) -> dict[str, Any]:
    """The charge, as it came. Leaves when the parent has gone without one."""
    buffer = b""
    while True:
        said, rest = opened(buffer)
        if said is not None:
            return said
        data = pipe.recv(65_536)
        if not data:
            sys.exit(1)
        buffer = rest + data


def _leave_with_parent(pipe: socket.socket) -> None:
    """The kernel kills us with our parent; should that fail, the closed pipe says the same."""
    while pipe.recv(1):
        pass
    os._exit(1)
