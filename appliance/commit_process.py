"""The process beside a role that takes mail in: it stores what the role has sealed, and does nothing else.

It is forked off the role before that serves anybody, has the keys that the role has, and lives as long as it.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from appliance import database_wiring, log_setup, process_hardening
from appliance.data_directory import DataDirectory
from appliance.front_door_wiring import group_commit, settings_of
from appliance.role_charge import frame, opened
from appliance.role_fork import ForkedRole
from mailstore import commit_line
from mailstore.commit_line import CommitLine
from mailstore.errors import RefusedError, StrongroomError
from mailstore.key_hierarchy import DepositKeys

logger = logging.getLogger(__name__)

ENDING_SECONDS = 10.0
TOLD_TO_EVERYBODY = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that a whole process group gets: the role goes on until its peers are answered, and so does this."""


@contextmanager
def beside(role: str, data: DataDirectory, keys: DepositKeys) -> Iterator[CommitLine]:
    """Start it, before there are threads, and end it when everything is stored. When it falls, so does the role."""
    ours, theirs = socket.socketpair()
    parent = os.getpid()
    with theirs:
        process = ForkedRole.start(lambda: _live(role, data, keys, theirs, parent), keep=[theirs.fileno()])
    is_ending = threading.Event()
    threading.Thread(target=_leave_with, args=(process.pid, is_ending), daemon=True).start()
    try:
        _await_ready(ours)
        yield CommitLine(ours)
    finally:
        is_ending.set()
        ours.close()
        process.wait(ENDING_SECONDS)


def _leave_with(process: int, is_ending: threading.Event) -> None:
    """Wait for the end of the process. Without it the role cannot promise anything, and ends, to be started again."""
    descriptor = os.pidfd_open(process)
    select.select([descriptor], [], [])
    os.close(descriptor)
    if not is_ending.is_set():
        logger.error("process that stores mail fell")
        os.kill(os.getpid(), signal.SIGTERM)


def _await_ready(line: socket.socket) -> None:
    """Raises ``RefusedError`` with the words of what the process would not begin with."""
    told = None
    said = b""
    while told is None:
        data = line.recv(4096)
        if not data:
            raise RefusedError("the process that stores mail did not begin")
        told, said = opened(said + data)
    if "refused" in told:
        raise RefusedError(str(told["refused"]), fix=str(told["fix"]))


def _live(role: str, data: DataDirectory, keys: DepositKeys, line: socket.socket, parent: int) -> int:
    name = f"{role.removesuffix('-role')}-commit"
    process_hardening.die_with_parent(parent)
    process_hardening.be_called(name)
    for number in TOLD_TO_EVERYBODY:
        signal.signal(number, signal.SIG_IGN)
    log_setup.to_directory(data.log, name)
    try:
        with database_wiring.opened(data, settings_of(data), keys.row_key) as (database, keystore):
            line.sendall(frame({"ready": True}))
            commit = group_commit(data, keys, database, keystore)
            commit_line.serve(line, commit)
            commit.close()
    except StrongroomError as error:
        line.sendall(frame({"refused": error.message, "fix": error.fix}))
        return 1
    return 0
