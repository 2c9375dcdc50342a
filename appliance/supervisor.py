"""The process tree of ``serve``: one parent that unlocks and listens, and three roles that work.

Mail is taken in by several processes of one role on the same sockets, because one interpreter uses one processor.

The parent binds every port and hands the listening sockets down, so that a role can be started again without a
client being refused. It forks the roles first, while it has no key, so that they load while it unlocks, and then
hands each exactly the keys it needs. A role that falls later is started again as a program of its own.
"""

from __future__ import annotations

import gc
import logging
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from appliance.data_directory import DataDirectory
from appliance.role_charge import RoleName, place_name
from appliance.role_process import STEADY_SECONDS, RoleProcess, pause_after
from appliance.settings import Settings
from mailstore.errors import RefusedError
from mailstore.key_hierarchy import KeyRing

logger = logging.getLogger(__name__)

BACKLOG = 512
START_SECONDS = 60.0
END_SECONDS = 25.0

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that end the tree in good order: of the service manager, of the keyboard, of a closed terminal."""

SOCKETS_OF: Mapping[RoleName, tuple[str, ...]] = {
    RoleName.SMTP: ("smtp", "submission", "submissions"),
    RoleName.MAIL: ("portal",),
    RoleName.WORKER: (),
}


class RoleFailedError(RefusedError):
    """A role could not be started."""

    code = "role_failed"


def keys_for(role: RoleName, ring: KeyRing) -> bytes:
    """The keys a role may have: the one that faces the internet gets none that opens a stored message."""
    return ring.deposit_keys().to_bytes() if role is RoleName.SMTP else ring.to_bytes()


@contextmanager
def listening(settings: Settings) -> Iterator[dict[str, socket.socket]]:
    """All ports, bound. ``RefusedError`` naming the one that is taken or not ours to take."""
    addresses = {
        "smtp": settings.smtp.listen,
        "submission": settings.submission.listen,
        "submissions": settings.submission.listen,
        "portal": settings.portal.listen,
    }
    sockets: dict[str, socket.socket] = {}
    try:
        for name, port in settings.ports.items():
            sockets[name] = _bound(addresses[name], port)
        yield sockets
    finally:
        for each in sockets.values():
            each.close()


def _bound(address: str, port: int) -> socket.socket:
    """A listening socket. The protocol is named, or asyncio would not set TCP_NODELAY on its connections."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        raise RefusedError(
            f"port {port} on {address} cannot be had: {error.strerror}",
            fix="end what uses it, or give another in strongroom.toml; ports below 1024 need the right to bind them",
        ) from error
    return made


@dataclass
class _Place:
    """One role's place in the tree: who holds it now, and how often it fell."""

    role: RoleName
    name: str
    sockets: Mapping[str, socket.socket]
    process: RoleProcess | None = None
    failures: int = 0
    started_at: float = 0.0
    start_again_at: float = 0.0


@dataclass
class Supervisor:
    """Starts the roles, keeps them running, and ends them."""

    data: DataDirectory
    sockets: Mapping[str, socket.socket]
    smtp_processes: int = 1
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _places: list[_Place] = field(default_factory=list)
    _ring: KeyRing | None = field(default=None, repr=False)
    _is_ending: bool = False

    def start(self) -> None:
        """Start every role; they load while the keys are being unlocked. What is loaded by now they share with us."""
        gc.freeze()
        for role in RoleName:
            sockets = {word: self.sockets[word] for word in SOCKETS_OF[role]}
            for number in range(1, 1 + (self.smtp_processes if role is RoleName.SMTP else 1)):
                self._places.append(_Place(role, place_name(role, number), sockets))
                self._start(self._places[-1])

    def run(self, ring: KeyRing, *, when_ready: Callable[[], None]) -> None:
        """Hand out the keys, call ``when_ready`` once all roles work, and stay until told to end.

        Raises ``RoleFailedError`` when a role cannot be started in the first place.
        """
        self._ring = ring
        with self._told_to_end():
            for place in self._places:
                self._charge(place)
            self._until_ready()
            if not self._is_ending:
                logger.info("ready")
                when_ready()
            while not self._is_ending:
                self._turn()
            logger.info("ending")

    def end(self) -> None:
        """End every role: asked first, forced after a while."""
        processes = [place.process for place in self._places if place.process]
        for process in processes:
            process.ask_to_end()
        deadline = time.monotonic() + END_SECONDS
        for process in processes:
            code = process.end(within_seconds=deadline - time.monotonic())
            logger.info("role ended", extra={"ended_role": process.name, "exit_code": code})
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

    def _until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ending and not all(place.process and place.process.is_ready for place in self._places):
            self._turn(is_first_start=True)
            if time.monotonic() > deadline:
                raise RoleFailedError("a role did not become ready", fix=f"look into {self.data.log}")

    def _turn(self, *, is_first_start: bool = False) -> None:
        """Wait for news of the roles or for a pause to end, and act on it."""
        for key, _events in self._selector.select(self._next_start()):
            if isinstance(key.data, _Place):
                self._hear(key.data, is_first_start=is_first_start)
        now = time.monotonic()
        for place in self._places:
            if place.process is None and place.start_again_at <= now and not self._is_ending:
                self._start(place)
                self._charge(place)

    def _next_start(self) -> float:
        waits = [place.start_again_at - time.monotonic() for place in self._places if place.process is None]
        return max(0.0, min([1.0, *waits]))

    def _start(self, place: _Place) -> None:
        start = RoleProcess.forked if self._ring is None else RoleProcess.started
        place.process = start(place.name, place.sockets)
        place.started_at = time.monotonic()
        self._selector.register(place.process.pipe, selectors.EVENT_READ, place)

    def _charge(self, place: _Place) -> None:
        if place.process and self._ring:
            keys = keys_for(place.role, self._ring)
            place.process.charge(data=str(self.data.path), keys=keys, sockets=place.sockets)

    def _hear(self, place: _Place, *, is_first_start: bool) -> None:
        process = place.process
        if process is None:
            return
        said, has_hung_up = process.hear()
        for message in said:
            process.is_ready = process.is_ready or bool(message.get("ready"))
            if is_first_start and "refused" in message:
                raise RoleFailedError(str(message["refused"]), fix=str(message.get("fix", "")))
        if has_hung_up:
            self._fallen(place, process, is_first_start=is_first_start)

    def _fallen(self, place: _Place, process: RoleProcess, *, is_first_start: bool) -> None:
        self._selector.unregister(process.pipe)
        code = process.end(within_seconds=2.0)
        place.process = None
        if is_first_start and not self._is_ending:
            raise RoleFailedError(
                f"the {place.name} role ended while starting (exit code {code})",
                fix=f"look into {self.data.log / place.name}.log",
            )
        has_been_steady = time.monotonic() - place.started_at > STEADY_SECONDS
        place.failures = 1 if has_been_steady else place.failures + 1
        pause = pause_after(place.failures)
        place.start_again_at = time.monotonic() + pause
        logger.error(
            "role fell, will be started again",
            extra={"fallen_role": place.name, "exit_code": code, "pause_seconds": pause},
        )
