"""``strongroom serve``: the whole appliance in one process tree, until SIGTERM."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from appliance import front_door_wiring, log_setup, process_hardening, supervisor, wiring
from appliance.command_call import Call, Outcome
from appliance.data_directory import DataDirectory
from mailstore import key_custody
from mailstore.errors import RefusedError


def run(call: Call) -> Outcome:
    """Serve until told to end. The first line on stdout says that everything works and on which ports."""
    process_hardening.harden()
    data = call.data
    settings = front_door_wiring.settings_of(data)
    secret = wiring.secret_of(data, passphrase_file=call.passphrase_file, key_file=call.key_file)
    with _alone(data), supervisor.listening(settings) as sockets:
        log_setup.to_directory(data.log, "supervisor")
        tree = supervisor.Supervisor(data, sockets)
        try:
            tree.start()
            ring = key_custody.unlock(data.keys, secret)
            wiring.prove(data, ring)
            tree.run(ring, when_ready=lambda: _say_ready(settings.ports))
        finally:
            tree.end()
    return Outcome({}, is_silent=True)


def _say_ready(ports: dict[str, int]) -> None:
    sys.stdout.write(json.dumps({"ready": True, "ports": ports}) + "\n")
    sys.stdout.flush()


@contextmanager
def _alone(data: DataDirectory) -> Iterator[None]:
    """Hold the directory's process file. ``RefusedError`` while another ``serve`` holds it."""
    descriptor = os.open(data.process_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(descriptor, 20).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise RefusedError(f"process {holder} serves {data.path} already", fix="end it first") from error
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.ftruncate(descriptor, 0)
        os.close(descriptor)
