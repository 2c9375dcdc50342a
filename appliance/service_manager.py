"""What a service manager hands over, and what it is told: sockets that it bound, and how we are.

The protocols are those of systemd, sd_listen_fds(3) and sd_notify(3). Without a service manager nothing is handed over
and nothing is told. What came by the environment is taken out of it: no process below us mistakes it for its own.
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass, field
from typing import Final

LONGEST_STATUS: Final = 200
_FIRST_DESCRIPTOR: Final = 3
_PINGS_IN_TIME: Final = 3
"""How often we say that we are alive within the time after which we count as hung."""


def handed_sockets() -> dict[str, socket.socket]:
    """The listening sockets that were bound for this process, by the names of their units (``FileDescriptorName=``)."""
    told = {name: os.environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")}
    if told["LISTEN_PID"] != str(os.getpid()):
        return {}
    found: dict[str, socket.socket] = {}
    for number, name in enumerate(told["LISTEN_FDNAMES"].split(":")[: int(told["LISTEN_FDS"])], _FIRST_DESCRIPTOR):
        os.set_inheritable(number, False)
        found[name] = socket.socket(fileno=number)
    return found


@dataclass
class ServiceManager:
    """Whoever started us and wants to know how we are. ``address`` is empty when nobody does.

    ``patience_seconds``: after how long without a word it takes us for hung; 0 when it does not watch.
    """

    address: str = ""
    patience_seconds: float = 0.0
    _said_at: float = field(default=0.0, repr=False)

    @classmethod
    def of_environment(cls) -> ServiceManager:
        """The one that the environment names."""
        address, watched = os.environ.pop("NOTIFY_SOCKET", ""), os.environ.pop("WATCHDOG_USEC", "")
        os.environ.pop("WATCHDOG_PID", None)
        return cls(address, int(watched) / 1_000_000 if watched.isdigit() else 0.0)

    def ready(self, status: str) -> None:
        """All that is to be started works; dependents may start."""
        self._tell("READY=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        """One line for people."""
        self._tell(f"STATUS={status}")

    def advancing(self, status: str, *, patience_seconds: float) -> None:
        """What has to be done before we are ready gets on: wait for so long from now (``EXTEND_TIMEOUT_USEC``).

        Where it comes from another part, ``status`` is that part's word: it stays one line, and says nothing else.
        """
        line = " ".join(status.split())[:LONGEST_STATUS]
        self._tell(f"EXTEND_TIMEOUT_USEC={int(patience_seconds * 1_000_000)}", f"STATUS={line}")

    def ending(self) -> None:
        """We were told to end and do so."""
        self._tell("STOPPING=1")

    def alive(self) -> None:
        """Say so when it is time."""
        now = time.monotonic()
        if self.patience_seconds and now - self._said_at >= self.patience_seconds / _PINGS_IN_TIME:
            self._said_at = now
            self._tell("WATCHDOG=1")

    def _tell(self, *lines: str) -> None:
        """A manager that does not listen is no reason to end: it acts by itself on what it does not hear."""
        if not self.address:
            return
        place = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaking:
            try:
                speaking.sendto("\n".join(lines).encode(), place)
            except OSError:
                return
