"""One role as its parent sees it: started, charged, ready, ended, started again after a pause."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from appliance import role_life
from appliance.role_charge import Charge, opened
from appliance.role_fork import ForkedRole

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
KILLED_SECONDS = 30.0
STEADY_SECONDS = 60.0
"""A role that lived this long starts its back-off anew."""


PROGRAM = Path(__file__).parents[1]
"""Where our packages lie. Roles start there, so that the module they load is ours wherever ``serve`` was called."""


def pause_after(failures: int) -> float:
    """Seconds to wait before a role is started again after so many failures in a row."""
    return min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 10))


@dataclass
class RoleProcess:
    """A running role and our end of the pipe to it."""

    name: str
    process: subprocess.Popen[bytes] | ForkedRole
    pipe: socket.socket
    is_ready: bool = False
    _buffer: bytes = field(default=b"", repr=False)

    @classmethod
    def forked(cls, name: str, sockets: Mapping[str, socket.socket]) -> RoleProcess:
        """Start a role as a fork of this process, which may hold no key yet. It shares what is loaded already."""
        ours, theirs = socket.socketpair()
        parent = os.getpid()
        with theirs:
            process = ForkedRole.start(
                lambda: role_life.live(name, theirs.detach(), parent),
                keep=[theirs.fileno(), *(each.fileno() for each in sockets.values())],
            )
        return cls(name, process, ours)

    @classmethod
    def started(cls, name: str, sockets: Mapping[str, socket.socket]) -> RoleProcess:
        """Start a role as a program of its own, with nothing of our memory. It loads its modules first."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own module
                [sys.executable, "-m", "appliance.roles", name, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd=PROGRAM,
                pass_fds=[theirs.fileno(), *(each.fileno() for each in sockets.values())],
            )
        return cls(name, process, ours)

    def charge(self, *, data: str, keys: bytes, sockets: Mapping[str, socket.socket]) -> None:
        """Hand over what the role needs. A role that has died meanwhile is noticed by the reader of the pipe."""
        numbers = {name: each.fileno() for name, each in sockets.items()}
        try:
            self.pipe.sendall(Charge(data, keys, numbers).to_bytes())
        except OSError:
            return

    def hear(self) -> tuple[list[dict[str, object]], bool]:
        """What the role has said since the last time, and whether it has hung up."""
        try:
            data = self.pipe.recv(65_536)
        except OSError:
            data = b""
        self._buffer += data
        said: list[dict[str, object]] = []
        while True:
            message, self._buffer = opened(self._buffer)
            if message is None:
                return said, not data
            said.append(message)

    def ask_to_end(self) -> None:
        """SIGTERM: finish what is under way and leave."""
        if self.process.poll() is None:
            self.process.terminate()

    def end(self, *, within_seconds: float) -> int:
        """Wait for the end, forced when it takes too long; gives the exit code."""
        try:
            code = self.process.wait(max(within_seconds, 0.0))
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait(KILLED_SECONDS)
        self.pipe.close()
        return code
