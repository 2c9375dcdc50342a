"""The process tree of ``serve``: one parent that listens and never has a key, the key agent, and the roles that work.

Mail is taken in by several processes of one role on the same sockets, because one interpreter uses one processor.

The parent holds every port and hands the listening sockets down, so that roles can change without a client being
refused. It starts the key agent first and follows its phase: sealed roles while there is no key, open ones while there
is. Each role gets a connection to the agent, over which it takes its keys and asks for those of messages.

A service manager may start the parts one by one: then each has a parent of this kind for its own roles, all of which
follow the one key agent. The parent of the opening role tells the others, through the agent, when they may begin.
"""

from __future__ import annotations

import gc
import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Final

from appliance import key_agent_protocol, process_hardening
from appliance.agent_link import AgentLink, AgentSource
from appliance.data_directory import DataDirectory
from appliance.role_charge import AGENT, Phase, RoleName
from appliance.role_place import Place
from appliance.role_process import RoleProcess
from appliance.service_manager import ServiceManager
from mailstore.errors import RefusedError

logger = logging.getLogger(__name__)

START_SECONDS: Final = 60.0
ADVANCE_SECONDS: Final = 600.0
"""How long we wait until all roles work: in the first place, and after each word that the work before that gets on."""

END_SECONDS: Final = 25.0

SEAL_SECONDS: Final = 2.0
"""How long open roles have to end once the appliance is sealed."""

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that end the tree in good order: of the service manager, of the keyboard, of a closed terminal."""

ROLES_OF: Mapping[Phase, tuple[RoleName, ...]] = {
    Phase.SEALED: (RoleName.SMTP, RoleName.MAIL),
    Phase.OPEN: (RoleName.OPENING, RoleName.SMTP, RoleName.MAIL, RoleName.WORKER),
}

SOCKETS_OF: Mapping[RoleName, tuple[str, ...]] = {
    RoleName.OPENING: (),
    RoleName.SMTP: ("smtp", "submission", "submissions"),
    RoleName.MAIL: ("portal",),
    RoleName.WORKER: (),
}


class RoleFailedError(RefusedError):
    """A role could not be started."""

    code = "role_failed"


@dataclass
class Supervisor:
    """Starts the key agent and the roles of its phase, keeps them running, and ends them.

    ``agents`` is where the key agent comes from, ``roles`` which ones are ours, ``processes`` how many a role has, if
    not one, ``manager`` who wants to know how we are, ``start_seconds`` how long the first start may take in which
    nobody says that it gets on.
    """

    data: DataDirectory
    sockets: Mapping[str, socket.socket]
    agents: AgentSource
    roles: frozenset[RoleName] = frozenset(RoleName)
    processes: Mapping[RoleName, int] = field(default_factory=dict)
    manager: ServiceManager = field(default_factory=ServiceManager)
    start_seconds: float = START_SECONDS
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _agent: AgentLink | None = None
    _agent_failures: int = 0
    _agent_again_at: float = 0.0
    _phase: Phase | None = None
    _places: list[Place] = field(default_factory=list)
    _leaving: list[tuple[RoleProcess, float]] = field(default_factory=list)
    _is_first_start: bool = True
    _wait_until: float = 0.0
    _is_ending: bool = False
    is_sent_away: bool = False
    """True once the agent was told that the appliance works in another place now."""

    def start(self) -> None:
        """Start every process; they load while the keys are unlocked. What is loaded by now they share with us."""
        gc.freeze()
        process_hardening.keep_descendants()
        self._start_agent(is_afresh=False)
        if self.agents.expected is not None:
            self._fill(self.agents.expected)

    def run(self, *, when_ready: Callable[[Phase], None]) -> None:
        """Follow the key agent, call ``when_ready`` once all roles of its phase work, and stay until told to end.

        Raises ``RoleFailedError`` when a role cannot be started in the first place, and what the keys do not open with.
        """
        with self._told_to_end():
            self._until_settled()
            self._is_first_start = False
            if not self._is_ending and self._phase is not None:
                logger.info("ready")
                when_ready(self._phase)
                self.manager.ready(self._phase)
            while not self._is_ending:
                self._turn()
            logger.info("ending")
            self.manager.ending()

    def end(self) -> None:
        """End every role: asked first, forced after a while. The key agent stays until nobody needs it."""
        processes = [place.process for place in self._places if place.process]
        processes += [process for process, _deadline in self._leaving]
        for process in processes:
            process.ask_to_end()
        deadline = time.monotonic() + END_SECONDS
        for process in processes:
            code = process.end(within_seconds=deadline - time.monotonic())
            logger.info("role ended", extra={"ended_role": process.name, "exit_code": code})
        if self._agent is not None:
            self._agent.ask_to_end()
            code = self._agent.end(within_seconds=deadline - time.monotonic())
            logger.info("role ended", extra={"ended_role": AGENT, "exit_code": code})
        self._selector.close()

    @contextmanager
    def _told_to_end(self) -> Iterator[None]:
        """The signals that end us wake the loop through a socket of its own."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        self._selector.register(ours, selectors.EVENT_READ, None)
        before = {number: signal.signal(number, self._end_signal) for number in ENDING}
        wakeup = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._selector.unregister(ours)
            ours.close()
            theirs.close()

    def _end_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._is_ending = True

    def _until_settled(self) -> None:
        self._wait_until = time.monotonic() + self.start_seconds
        while not self._is_ending and not (self._phase and all(place.is_settled for place in self._places)):
            self._turn()
            if time.monotonic() > self._wait_until:
                raise RoleFailedError("a role did not become ready", fix=f"look into {self.data.log}")

    def _turn(self) -> None:
        """Wait for news or for a pause to end, and act on it."""
        for key, _events in self._selector.select(self._patience()):
            if isinstance(key.data, Place):
                self._hear(key.data)
            elif self._agent is not None and key.data is self._agent:
                self._hear_agent(self._agent)
        self._see_off()
        self._start_again()
        self._charge()
        places = [place.process for place in self._places] + [process for process, _deadline in self._leaving]
        ours = {each.process.pid for each in places if each is not None}
        if self._agent is not None and self._agent.process_id is not None:
            ours.add(self._agent.process_id)
        _bury_orphans(ours)
        self.manager.alive()

    def _patience(self) -> float:
        waits = [place.start_again_at for place in self._places if place.process is None and not place.is_done]
        waits += [self._agent_again_at] if self._agent is None else []
        return max(0.0, min([1.0 if not self._leaving else 0.05, *(each - time.monotonic() for each in waits)]))

    def _fill(self, phase: Phase) -> None:
        """Fork our roles of a phase; they load, and wait for their charge."""
        for role in ROLES_OF[phase]:
            if role not in self.roles:
                continue
            sockets = {word: self.sockets[word] for word in SOCKETS_OF[role]}
            for number in range(1, 1 + self.processes.get(role, 1)):
                self._places.append(Place(role, phase, number, sockets))
                self._start(self._places[-1], is_afresh=False)

    def _start(self, place: Place, *, is_afresh: bool) -> None:
        if self._agent is not None:
            process = place.start(self._agent, is_afresh=is_afresh)
            self._selector.register(process.pipe, selectors.EVENT_READ, place)

    def _start_agent(self, *, is_afresh: bool) -> None:
        try:
            self._agent = self.agents.start(is_afresh=is_afresh)
        except OSError:
            self._agent_failures += 1
            self._agent_again_at = time.monotonic() + self.agents.pause_after(self._agent_failures)
            return
        self._selector.register(self._agent.channel, selectors.EVENT_READ, self._agent)

    def _start_again(self) -> None:
        """Whoever fell and has paused. Without an agent no role is started."""
        now = time.monotonic()
        if self._is_ending:
            return
        if self._agent is None and self._agent_again_at <= now:
            self._start_agent(is_afresh=self._agent_failures > 0)
        for place in self._places:
            if self._phase and place.process is None and not place.is_done and place.start_again_at <= now:
                self._start(place, is_afresh=True)

    def _charge(self) -> None:
        """Let the roles of the phase work, once those of the other one are gone and the way was opened."""
        if self._leaving or self._phase is None:
            return
        first = [place for place in self._places if place.role is RoleName.OPENING]
        for place in self._places if all(each.is_done for each in first) else first:
            place.charge(str(self.data.path))

    def _hear_agent(self, agent: AgentLink) -> None:
        said, has_hung_up = agent.hear()
        for told in said:
            if self._is_first_start and "refused" in told:
                raise key_agent_protocol.error_of(told["refused"])
            self._follow(told)
        if has_hung_up:
            self._agent_fell(agent)

    def _follow(self, told: Mapping[str, Any]) -> None:
        """The agent has news. Where others see to the rows, nothing is open for us before they have."""
        if told.get("end"):
            self._is_ending = self.is_sent_away = True
        elif told.get("by_hand"):
            self.agents.stay_closed()  # it ends now, and its successor waits for a person
        elif "advancing" in told:
            self._wait_on(str(told["advancing"]))
        elif told.get("prepared"):
            if not self._prepares and self._phase is not Phase.OPEN:
                self._enter(Phase.OPEN)
        elif "phase" in told:
            phase = Phase(told["phase"])
            if phase is Phase.SEALED or self._prepares:
                self._enter(phase)
            elif self._phase is Phase.OPEN:  # with keys of before
                self._phase = None
                self._leave()

    @property
    def _prepares(self) -> bool:
        """True when the opening role is ours, or no role at all."""
        return not self.roles or RoleName.OPENING in self.roles

    def _agent_fell(self, agent: AgentLink) -> None:
        """With the agent all keys go: whatever it handed out dies with it. Sealed by hand, it ended as it should."""
        self._selector.unregister(agent.channel)
        code = agent.end(within_seconds=2.0)
        if code and self._is_first_start and not self._is_ending:
            raise RoleFailedError(f"the key agent ended while starting (exit code {code})", fix=f"see {self.data.log}")
        self._agent, self._phase = None, None
        self._leave()
        self._agent_failures = self._agent_failures + 1 if code else 0
        self._agent_again_at = time.monotonic() + self.agents.pause_after(self._agent_failures)
        logger.error("role fell, will be started again", extra={"fallen_role": AGENT, "exit_code": code})

    def _enter(self, phase: Phase) -> None:
        """The agent is in this phase now. Roles of another, or with keys of before, leave."""
        if self._phase is not None:
            self._leave()
        self._places = [place for place in self._places if place.phase is phase]
        self._phase = phase
        if not self._places:
            self._fill(phase)
        logger.warning("phase", extra={"phase": phase})
        self.manager.status(phase)

    def _leave(self) -> None:
        """Roles without keys finish what is under way; those with keys have next to no time for it."""
        for place in self._places:
            if place.process is not None:
                self._selector.unregister(place.process.pipe)
                place.process.ask_to_end()
                patience = END_SECONDS if place.phase is Phase.SEALED else SEAL_SECONDS
                self._leaving.append((place.process, time.monotonic() + patience))
        self._places = []

    def _see_off(self) -> None:
        """Force those that take too long."""
        for process, deadline in list(self._leaving):
            if process.process.poll() is not None or time.monotonic() >= deadline:
                code = process.end(within_seconds=0.0)
                self._leaving.remove((process, deadline))
                logger.info("role ended", extra={"ended_role": process.name, "exit_code": code})

    def _hear(self, place: Place) -> None:
        process = place.process
        if process is None:
            return
        said, has_hung_up = process.hear()
        for told in said:
            process.is_ready = process.is_ready or bool(told.get("ready"))
            if "advancing" in told:
                self._wait_on(str(told["advancing"]))
                if self._agent is not None:
                    self._agent.advancing(str(told["advancing"]))
            if self._is_first_start and "refused" in told:
                raise key_agent_protocol.error_of(told["refused"])
        if has_hung_up:
            self._fell(place, process)

    def _wait_on(self, how: str) -> None:
        """What the others wait for gets on: no role is late, and our service manager is asked for patience as well."""
        self._wait_until = max(self._wait_until, time.monotonic() + ADVANCE_SECONDS)
        self.manager.advancing(how, patience_seconds=ADVANCE_SECONDS)

    def _fell(self, place: Place, process: RoleProcess) -> None:
        self._selector.unregister(process.pipe)
        code = process.end(within_seconds=2.0)
        if place.role is RoleName.OPENING and process.is_ready and code == 0:
            place.process, place.is_done = None, True
            if self._agent is not None:
                self._agent.prepared()
            self.manager.status(place.phase)
            return
        pause = place.fell()
        if self._is_first_start and not self._is_ending:
            raise RoleFailedError(
                f"the {place.name} role ended while starting (exit code {code})",
                fix=f"look into {self.data.log / place.name}.log",
            )
        self.manager.status(f"{place.name} fell and will be started again")
        logger.error(
            "role fell, will be started again",
            extra={"fallen_role": place.name, "exit_code": code, "pause_seconds": pause},
        )


def _bury_orphans(ours: set[int]) -> None:
    """Descendants whose parent ended come to us (``keep_descendants``); those that have ended too are let go of.

    Stops at the first that is a process of ours: whoever knows it collects it.
    """
    with suppress(ChildProcessError):  # nobody at all is there: the key agent fell, and the roles are gone
        while (found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and found.si_pid not in ours:
            os.waitpid(found.si_pid, os.WNOHANG)
