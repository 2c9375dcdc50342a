"""What every role does from its first breath: take the charge over the pipe, work, say why it cannot."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import socket
import sys
import threading
from pathlib import Path

from appliance import log_setup, process_hardening, process_memory
from appliance.data_directory import DataDirectory
from appliance.role_charge import Charge, frame, opened, role_of
from mailstore.errors import StrongroomError

logger = logging.getLogger(__name__)


def live(name: str, descriptor: int, parent: int) -> int:
    """Load the role's modules, take the charge, work until told to end; gives the exit code.

    ``name`` is what the process is called (``role_charge.place_name``), ``descriptor`` our end of the pipe.
    Everything else, the keys first of all, comes through it.
    """
    os.chdir("/")
    process_memory.give_back()
    process_hardening.harden()
    process_hardening.be_called(f"{name}-role")
    process_hardening.die_with_parent(parent)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    pipe = socket.socket(fileno=descriptor)
    role = importlib.import_module(f"appliance.roles.{role_of(name)}")
    charge = _charge(pipe)
    data = DataDirectory(Path(charge.data))
    log_setup.to_directory(data.log, name)
    threading.Thread(target=_leave_with_parent, args=(pipe,), daemon=True).start()
    sockets = {word: socket.socket(fileno=number) for word, number in charge.sockets.items()}
    try:
        role.work(data, charge.keys, sockets, lambda: pipe.sendall(frame({"ready": True})))
    except StrongroomError as error:
        logger.exception("role refused")
        pipe.sendall(frame({"refused": error.message, "fix": error.fix}))
        return 1
    except Exception:
        logger.exception("role failed")
        return 1
    logger.info("role ended as told")
    return 0


def _charge(pipe: socket.socket) -> Charge:
    buffer = b""
    while True:
        told, rest = opened(buffer)
        if told is not None:
            return Charge.of(told)
        data = pipe.recv(65_536)
        if not data:
            sys.exit(1)
        buffer = rest + data


def _leave_with_parent(pipe: socket.socket) -> None:
    """The kernel kills us with our parent; should that fail, the closed pipe says the same."""
    while pipe.recv(1):
        pass
    os._exit(1)
