"""`run/key-agent.sock`: where commands of the same user find the key agent, and who it is that came (unix(7))."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from appliance.data_directory import DataDirectory

BACKLOG: Final = 64
_CREDENTIALS: Final = struct.Struct("3i")
_TIME: Final = struct.Struct("@ll")
_DEEPEST_ANCESTRY: Final = 64


PLACE: Final = "STRONGROOM_AGENT"
"""The variable that names the directory of the key agent's sockets where a service manager bound them."""

COMMANDS: Final = "command"


def socket_of(door: str) -> Path | None:
    """The socket for one kind of asker where a service manager bound them; None where none did."""
    place = os.environ.get(PLACE)
    return Path(place) / f"{door}.sock" if place else None


def of_commands(data: DataDirectory) -> Path:
    """Where commands find the key agent of this directory."""
    return socket_of(COMMANDS) or data.key_agent_socket


def listening(path: Path) -> socket.socket:
    """The socket, bound where others of this user reach it. Whoever calls holds the directory's process file."""
    path.unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _short(path) as short:
        made.bind(short)
    path.chmod(0o600)
    made.listen(BACKLOG)
    return made


def connected(path: Path, *, within_seconds: float) -> socket.socket:
    """A connection to it. Raises ``OSError`` when nobody listens there."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.settimeout(within_seconds)
    try:
        with _short(path) as short:
            made.connect(short)
    except OSError:
        made.close()
        raise
    return made


def set_patience(connection: socket.socket, seconds: float) -> None:
    """Bound every wait for the other side, by the kernel: that costs no system call more (socket(7))."""
    whole = int(seconds)
    told = _TIME.pack(whole, int((seconds - whole) * 1_000_000))
    connection.settimeout(None)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, told)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, told)


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name that fits into the 107 bytes which the address of such a socket may have, however long the real one is."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def is_ours(peer: socket.socket, *, supervisor: int | None) -> bool:
    """True for a process of our own user that does not descend from ``supervisor``, if there is one.

    No role and no child of one is a command: they stay descendants of the supervisor whatever they do (prctl(2),
    PR_SET_CHILD_SUBREAPER), and have a connection of their own.
    """
    process, user, _group = _CREDENTIALS.unpack(
        peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )
    if user != os.geteuid() or process <= 0:
        return False
    if supervisor is None:
        return True
    ancestry = _ancestry(process)
    return bool(ancestry) and supervisor not in ancestry


def _ancestry(process: int) -> list[int]:
    """A process and those it descends from, up to the first; nothing when one of them is gone meanwhile."""
    found: list[int] = []
    while process > 1 and len(found) < _DEEPEST_ANCESTRY:
        found.append(process)
        try:
            stat = Path(f"/proc/{process}/stat").read_text("utf-8", "replace")
        except OSError:
            return []
        process = int(stat.rsplit(")", 1)[1].split()[1])
    return found
