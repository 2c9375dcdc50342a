"""The key agent as a supervisor has it: a process below it, or that of another unit, which it follows.

Below: the supervisor starts it and gives each role a connection whose other end the agent gets, told who asks there.
Beside: a service manager started both, and the socket by which we reach the agent says who we are.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol

from appliance import key_agent_socket
from appliance.key_agent_policy import Ask, Asker
from appliance.role_charge import AgentCharge, Phase, frame
from appliance.role_process import RoleProcess, heard, pause_after

CONNECT_SECONDS: Final = 5.0
AGAIN_SECONDS: Final = 0.5


class AgentLink(Protocol):
    """A key agent that is there."""

    @property
    def channel(self) -> socket.socket:
        """Can be read once there is news, or the agent has gone."""

    @property
    def process_id(self) -> int | None:
        """Its process, when that is ours."""

    def hear(self) -> tuple[list[dict[str, Any]], bool]:
        """The news since the last time, and whether the agent has gone."""

    def connection(self, asker: Asker) -> socket.socket:
        """A connection for a role that is about to be started."""

    def prepared(self) -> None:
        """Tell the other supervisors, if there are any, that the rows are ready."""

    def advancing(self, how: str) -> None:
        """Tell them how far the rows are, so that they go on waiting."""

    def ask_to_end(self) -> None:
        """Nobody needs it any more from here."""

    def end(self, *, within_seconds: float) -> int:
        """Let go of it; gives its exit code, 0 when that is not ours to know."""


class AgentSource(Protocol):
    """Where a key agent comes from."""

    @property
    def is_below(self) -> bool:
        """True when its falling is ours to mend."""

    @property
    def expected(self) -> Phase | None:
        """The phase that it will begin with, as far as that is known."""

    def start(self, *, is_afresh: bool) -> AgentLink:
        """Have one. ``OSError`` when there is none to be had now."""

    def stay_closed(self) -> None:
        """It was sealed by hand: its successor waits for a person."""

    def pause_after(self, failures: int) -> float:
        """Seconds until the next try."""


@dataclass(eq=False)
class AgentBelow:
    """The key agent as a child."""

    process: RoleProcess

    @property
    def channel(self) -> socket.socket:
        """Our end of the pipe to it."""
        return self.process.pipe

    @property
    def process_id(self) -> int | None:
        """Of the child."""
        return self.process.process.pid

    def hear(self) -> tuple[list[dict[str, Any]], bool]:
        """As ``RoleProcess``."""
        return self.process.hear()

    def connection(self, asker: Asker) -> socket.socket:
        """One end of a pair, of which the agent gets the other, and our word for who asks there."""
        ours, theirs = socket.socketpair()
        with ours:
            self.process.tell(frame({"asker": asker}), connection=ours)
        return theirs

    def prepared(self) -> None:
        """All roles are ours, and know."""

    def advancing(self, how: str) -> None:
        """As ``prepared``."""

    def ask_to_end(self) -> None:
        """SIGTERM."""
        self.process.ask_to_end()

    def end(self, *, within_seconds: float) -> int:
        """Wait for its end, forced when it takes too long."""
        return self.process.end(within_seconds=within_seconds)


@dataclass
class OwnAgent:
    """Starts the key agent as a child. Its sockets stay here, so that no command is refused while it is started again.

    ``charge`` names the secret that opens it, if one lies ready.
    """

    charge: AgentCharge
    sockets: tuple[socket.socket, ...]
    is_below: bool = True

    @property
    def expected(self) -> Phase | None:
        """Open, when a secret lies ready: roles load while it is tried."""
        return Phase.SEALED if self.charge.secret is None else Phase.OPEN

    def start(self, *, is_afresh: bool) -> AgentBelow:
        """Fork it, or start it as a program of its own."""
        process = RoleProcess.agent(*self.sockets, is_afresh=is_afresh)
        process.tell(self.charge.to_bytes())
        return AgentBelow(process)

    def stay_closed(self) -> None:
        """Forget where the secret lies."""
        self.charge = replace(self.charge, secret=None)

    def pause_after(self, failures: int) -> float:
        """Growing; none after an end that was meant."""
        return pause_after(failures) if failures else 0.0


@dataclass(eq=False)
class AgentBeside:
    """The key agent of another unit, followed over a connection of our own."""

    path: Path
    channel: socket.socket
    process_id: int | None = None
    _heard: bytes = field(default=b"", repr=False)

    def hear(self) -> tuple[list[dict[str, Any]], bool]:
        """The phase, now and at each change."""
        said, self._heard, has_gone = heard(self.channel, self._heard)
        return said, has_gone

    def connection(self, asker: Asker) -> socket.socket:
        """Another connection to the socket of this part: who asks there is its word, not ours.

        Where the agent has gone meanwhile, one that says so to the role.
        """
        del asker
        try:
            return key_agent_socket.connected(self.path, within_seconds=CONNECT_SECONDS)
        except OSError:
            nobody, ours = socket.socketpair()
            nobody.close()
            return ours

    def prepared(self) -> None:
        """The worker's unit has seen to the rows; an agent that has gone asks anew when it is back."""
        self._say(Ask.PREPARED)

    def advancing(self, how: str) -> None:
        """The others have a service manager that waits, too."""
        self._say(Ask.ADVANCING, {"how": how})

    def ask_to_end(self) -> None:
        """It serves others too."""

    def end(self, *, within_seconds: float) -> int:
        """Hang up."""
        del within_seconds
        self.channel.close()
        return 0

    def _say(self, ask: Ask, told: Mapping[str, str] = MappingProxyType({})) -> bool:
        try:
            self.channel.sendall(frame({"ask": ask, **told}))
        except OSError:
            return False
        return True

    @classmethod
    def found(cls, path: Path) -> AgentBeside:
        """Follow it from now on. ``OSError`` when nobody listens."""
        agent = cls(path, key_agent_socket.connected(path, within_seconds=CONNECT_SECONDS))
        agent._say(Ask.FOLLOW)
        return agent


@dataclass(frozen=True)
class OtherAgent:
    """Looks for the key agent at the socket of one part."""

    path: Path
    is_below: bool = False
    expected: Phase | None = None

    def start(self, *, is_afresh: bool) -> AgentBeside:
        """Follow the one that listens there now; the service manager sees to it that one does."""
        del is_afresh
        return AgentBeside.found(self.path)

    def stay_closed(self) -> None:
        """What it opens with is for its own unit to know."""

    def pause_after(self, failures: int) -> float:
        """Always short: trying costs next to nothing, and mail waits at the door."""
        del failures
        return AGAIN_SECONDS
