"""Starts the outside world of the demonstration and tells what arrived there."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from appliance.demo.cast import PLAIN_DOMAIN, PLAIN_MX, SECURE_DOMAIN, SECURE_MX
from appliance.tls_certificates import generate
from mailstore.errors import StorageUnavailableError
from mailstore.wall_clock import SystemClock


def claim(port: int) -> socket.socket:
    """A socket that listens on this port of 127.0.0.1. Raises OSError when somebody else has it."""
    return socket.create_server(("127.0.0.1", port))


def free_ports(count: int) -> tuple[int, ...]:
    """Ports of 127.0.0.1 that nobody listens on just now."""
    sockets = [claim(0) for _ in range(count)]
    ports = tuple(s.getsockname()[1] for s in sockets)
    for each in sockets:
        each.close()
    return ports


@dataclass(frozen=True)
class Outside:
    """Two receiving mail servers in one process, their folder and their ports."""

    folder: Path
    secure_port: int
    plain_port: int
    process: subprocess.Popen[str]

    def routes(self) -> str:
        """The ``[[outbound.route]]`` settings that lead to the two servers."""
        return "".join(
            f'\n[[outbound.route]]\ndomain = "{domain}"\nmx_name = "{mx}"\naddress = "127.0.0.1"\n'
            f'port = {port}\nca_file = "{(self.folder / "ca.pem").absolute()}"\n'
            for domain, mx, port in (
                (SECURE_DOMAIN, SECURE_MX, self.secure_port),
                (PLAIN_DOMAIN, PLAIN_MX, self.plain_port),
            )
        )

    def arrived(self, server: str) -> list[bytes]:
        """The messages that the ``secure`` or the ``plain`` server has received so far, oldest first."""
        return [path.read_bytes() for path in sorted((self.folder / server).glob("*.eml"))]

    def stop(self) -> None:
        """End the receiving servers."""
        self.process.terminate()
        self.process.wait(timeout=10)


def write_certificates(folder: Path) -> None:
    """An authority and a certificate for the good server, as its own administrator would have put them there."""
    made = generate(practice="Hospital of the demonstration", domain=SECURE_DOMAIN, now=SystemClock().now())
    (folder / "ca.pem").write_bytes(made.ca)
    (folder / "server.pem").write_bytes(made.server)
    (folder / "server.key").write_bytes(made.server_key)


def start(folder: Path, *, detached: bool) -> Outside:
    """Make a certificate for the good server and start both.

    ``detached`` lets them outlive this command.
    """
    folder.mkdir(parents=True, exist_ok=True)
    secure_port, plain_port = free_ports(2)
    write_certificates(folder)
    process = subprocess.Popen(  # noqa: S603 (our own module)
        [sys.executable, "-m", "appliance.demo.receiving_servers", str(folder), str(secure_port), str(plain_port)],
        stdout=subprocess.PIPE,
        stderr=(folder / "receiving.log").open("w"),
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=detached,
        env=dict(os.environ),
    )
    if process.stdout is None or process.stdout.readline().strip() != "receiving":
        raise StorageUnavailableError("the receiving servers of the demonstration did not start")
    return Outside(folder, secure_port, plain_port, process)
