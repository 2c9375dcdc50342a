"""One role's place in the tree: who holds it now, how often it fell, and what it was given."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from appliance.agent_link import AgentLink
from appliance.key_agent_policy import Asker
from appliance.role_charge import Charge, Phase, RoleName, module_of, place_name
from appliance.role_process import STEADY_SECONDS, RoleProcess, pause_after


@dataclass(eq=False)
class Place:
    """A place in one phase. ``is_done``: the role has done what it was for and ended."""

    role: RoleName
    phase: Phase
    number: int
    sockets: Mapping[str, socket.socket]
    process: RoleProcess | None = None
    is_charged: bool = False
    is_done: bool = False
    failures: int = 0
    started_at: float = 0.0
    start_again_at: float = field(default=0.0)

    @property
    def name(self) -> str:
        """What its process is called."""
        return place_name(self.role, self.number)

    @property
    def asker(self) -> Asker:
        """As whom the key agent knows it."""
        return Asker(str(self.role) if self.phase is Phase.OPEN else f"sealed-{self.role}")

    @property
    def is_settled(self) -> bool:
        """True when the role works, or has done its work."""
        return self.is_done or (self.process is not None and self.process.is_ready)

    def start(self, agent: AgentLink, *, is_afresh: bool) -> RoleProcess:
        """Start its process, with a connection to the key agent, which knows who it is that asks there."""
        module = module_of(self.role, self.phase, self.number)
        with agent.connection(self.asker) as connection:
            self.process = RoleProcess.role(self.name, module, self.sockets.values(), connection, is_afresh=is_afresh)
        self.started_at, self.is_charged = time.monotonic(), False
        return self.process

    def charge(self, data: str) -> None:
        """Let it work, unless it does already."""
        if self.process is not None and not self.is_charged and not self.is_done:
            numbers = {word: each.fileno() for word, each in self.sockets.items()}
            self.process.tell(Charge(data, numbers).to_bytes())
            self.is_charged = True

    def fell(self) -> float:
        """Its process has fallen; gives the seconds until it may be started again."""
        self.process, self.is_charged = None, False
        has_been_steady = time.monotonic() - self.started_at > STEADY_SECONDS
        self.failures = 1 if has_been_steady else self.failures + 1
        pause = pause_after(self.failures)
        self.start_again_at = time.monotonic() + pause
        return pause
