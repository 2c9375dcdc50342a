"""A practice whose parts are started one by one, with this process as the service manager that binds their sockets."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appliance import front_door_wiring, key_agent_socket
from appliance.data_directory import DataDirectory
from tests import running_practice
from tests.running_practice import ROOT, RunningPractice

FIRST, LAST = ("key-agent", "worker"), ("smtp", "mail")
PARTS = (*FIRST, *LAST)
PORTS_OF: Mapping[str, tuple[str, ...]] = {
    "key-agent": (),
    "worker": (),
    "smtp": ("smtp", "submission", "submissions"),
    "mail": ("portal",),
}
DOORS = ("command", "smtp", "mail", "worker")
READY_SECONDS = 120.0
FIRST_DESCRIPTOR, OUT_OF_THE_WAY = 3, 100

_BECOME = f"""
import os, sys
handed = [int(word) for word in sys.argv[1].split()]
aside = [os.dup2(number, {OUT_OF_THE_WAY} + place) for place, number in enumerate(handed)]
for place, number in enumerate(aside):
    os.dup2(number, {FIRST_DESCRIPTOR} + place)
    os.close(number)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, "-m", "appliance.cli", *sys.argv[2:]])
"""
"""What a service manager does last: put the sockets where sd_listen_fds(3) looks, and become the program."""


@dataclass
class Part:
    """One part as a process, and what it says of itself."""

    process: subprocess.Popen[bytes]
    saying: socket.socket

    def until_it_says(self, line: str, *, seconds: float = READY_SECONDS) -> None:
        """Wait for one line of sd_notify(3). What it says is read here alone: a part that nobody hears waits."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.process.poll() is None:
            try:
                said = self.saying.recv(4096).decode().splitlines()
            except TimeoutError:
                continue
            if line in said:
                return
        raise AssertionError(f"it did not say {line}: {self.process.stderr.read() if self.process.stderr else b''!r}")

    def end(self) -> int:
        """SIGTERM, and its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(120)
        for pipe in (self.process.stdout, self.process.stderr, self.saying):
            if pipe is not None:
                pipe.close()
        return code


@dataclass
class PartsRoom:
    """The practice, the directory of the key agent's sockets, every socket by its name, and where the program lies."""

    practice: RunningPractice
    place: Path
    sockets: Mapping[str, socket.socket]
    parts: dict[str, Part] = field(default_factory=dict)
    program: Path = ROOT

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, key_agent_socket.PLACE: str(self.place)}

    def start(self, part: str, *, handed: Sequence[str] | None = None) -> Part:
        """Start one part and do not wait."""
        names = [*PORTS_OF[part], *(f"door-{door}" for door in DOORS if part == "key-agent")]
        names = names if handed is None else list(handed)
        numbers = [self.sockets[name].fileno() for name in names]
        saying = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address = self.place / f"{part}.notify"
        address.unlink(missing_ok=True)
        saying.bind(str(address))
        saying.settimeout(0.5)
        told = {
            "LISTEN_FDS": str(len(names)),
            "LISTEN_FDNAMES": ":".join(name.removeprefix("door-") for name in names),
            "NOTIFY_SOCKET": str(address),
        }
        words = ["--data", str(self.practice.data), "serve", "--role", part]
        process = subprocess.Popen(
            [sys.executable, "-c", _BECOME, " ".join(map(str, numbers)), *words],
            cwd=self.program,
            env={**self.environment, **told},
            pass_fds=numbers,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self.parts[part] = Part(process, saying)
        return self.parts[part]

    def start_all(self) -> None:
        """Start every part and wait until all are ready. Mail and pages wait for the worker: it goes before them."""
        for part in FIRST:
            self.start(part).until_it_says("READY=1")
        for part in LAST:
            self.start(part)
        for part in LAST:
            self.parts[part].until_it_says("READY=1")

    def told(self, *words: str) -> Any:
        """What a command answers, sent by somebody who may."""
        line = [sys.executable, "-m", "appliance.cli", "--data", str(self.practice.data), *words, "--json"]
        done = subprocess.run(line, cwd=ROOT, env=self.environment, capture_output=True, check=False, timeout=120)
        return json.loads(done.stdout)

    def door(self, name: str) -> socket.socket:
        """A connection to one of the key agent's sockets."""
        return key_agent_socket.connected(self.place / f"{name}.sock", within_seconds=10)


@contextmanager
def made(directory: Path) -> Iterator[PartsRoom]:
    """A practice of which no part runs yet; all that run at the end are ended."""
    practice = running_practice.made(directory)
    settings = front_door_wiring.settings_of(DataDirectory(practice.data))
    with tempfile.TemporaryDirectory() as folder:  # a short name: such addresses hold 107 bytes (unix(7))
        place = Path(folder)
        sockets = {name: socket.create_server(("127.0.0.1", port)) for name, port in settings.ports.items()}
        sockets |= {f"door-{door}": key_agent_socket.listening(place / f"{door}.sock") for door in DOORS}
        room = PartsRoom(practice, place, sockets)
        try:
            yield room
        finally:
            for part in reversed(room.parts.values()):
                part.end()
            for each in sockets.values():
                each.close()
