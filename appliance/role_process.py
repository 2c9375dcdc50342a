"""One process under the supervisor as that sees it: started, charged, ready, ended, started again after a pause."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from appliance import key_agent_life, role_life
from appliance.role_charge import AGENT, opened
from appliance.role_fork import ForkedRole

FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 30.0
KILLED_SECONDS: Final = 30.0
STEADY_SECONDS: Final = 60.0
"""A role that lived this long starts its back-off anew."""


PROGRAM = Path(__file__).parents[1]
"""Where our packages lie. Roles start there, so that the module they load is ours wherever ``serve`` was called."""


def pause_after(failures: int) -> float:
    """Seconds to wait before a role is started again after so many failures in a row."""
    return min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 10))


def heard(pipe: socket.socket, before: bytes) -> tuple[list[dict[str, Any]], bytes, bool]:
    """Whole messages out of what lies there and what came before, what is left over, and whether that was the end."""
    try:
        data = pipe.recv(65_536)
    except OSError:
        data = b""
    said: list[dict[str, Any]] = []
    message, rest = opened(before + data)
    while message is not None:
        said.append(message)
        message, rest = opened(rest)
    return said, rest, not data


@dataclass(eq=False)
class RoleProcess:
    """A running role and our end of the pipe to it."""

    name: str
    process: subprocess.Popen[bytes] | ForkedRole
    pipe: socket.socket
    is_ready: bool = False
    _buffer: bytes = field(default=b"", repr=False)

    @classmethod
    def role(
        cls, name: str, module: str, sockets: Collection[socket.socket], agent: socket.socket, *, is_afresh: bool
    ) -> RoleProcess:
        """Start a role with its end of a connection to the key agent.

        ``is_afresh``: as a program of its own with a memory layout of its own, which loads its modules first;
        otherwise as a fork of this process, which shares what is loaded already.
        """
        parent = os.getpid()
        return cls._started(
            name,
            module,
            agent.fileno(),
            [each.fileno() for each in (agent, *sockets)],
            None if is_afresh else lambda pipe: role_life.live(name, module, pipe, agent.detach(), parent),
        )

    @classmethod
    def agent(cls, *listeners: socket.socket, is_afresh: bool) -> RoleProcess:
        """Start the key agent, with the sockets to which askers come."""
        parent = os.getpid()
        life = None if is_afresh else lambda pipe: key_agent_life.live(pipe, parent)
        return cls._started(AGENT, AGENT, -1, [each.fileno() for each in listeners], life)

    @classmethod
    def _started(
        cls, name: str, module: str, agent: int, keep: list[int], life: Callable[[int], int] | None
    ) -> RoleProcess:
        ours, theirs = socket.socketpair()
        with theirs:
            kept = [theirs.fileno(), *keep]
            if life is not None:
                return cls(name, ForkedRole.start(lambda: life(theirs.detach()), keep=kept), ours)
            words = [name, module, *map(str, (theirs.fileno(), agent, os.getpid()))]
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own module
                [sys.executable, "-m", "appliance.roles", *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd=PROGRAM,
                pass_fds=kept,
            )
        return cls(name, process, ours)

    def tell(self, message: bytes, *, connection: socket.socket | None = None) -> None:
        """Hand over a frame, with a connection if there is one. A process that has died is noticed by ``hear``."""
        try:
            if connection is None:
                self.pipe.sendall(message)
            else:
                socket.send_fds(self.pipe, [message], [connection.fileno()])
        except OSError:
            return

    def hear(self) -> tuple[list[dict[str, Any]], bool]:
        """What the process has said since the last time, and whether it has hung up."""
        said, self._buffer, has_hung_up = heard(self.pipe, self._buffer)
        return said, has_hung_up

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
