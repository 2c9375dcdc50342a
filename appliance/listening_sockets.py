"""The ports of the appliance: handed over by a service manager that bound them, else bound here."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from appliance.settings import Settings
from mailstore.errors import RefusedError

BACKLOG: Final = 512


@contextmanager
def bound(
    settings: Settings, names: Collection[str], handed: Mapping[str, socket.socket]
) -> Iterator[dict[str, socket.socket]]:
    """The ports of these names. ``RefusedError`` naming one that is taken, not ours, or not as the settings say."""
    addresses = {
        "smtp": settings.smtp.listen,
        "submission": settings.submission.listen,
        "submissions": settings.submission.listen,
        "portal": settings.portal.listen,
    }
    sockets: dict[str, socket.socket] = {}
    try:
        for name, port in settings.ports.items():
            if name in names:
                sockets[name] = _handed(handed[name], name, port) if name in handed else _bound(addresses[name], port)
        yield sockets
    finally:
        for each in sockets.values():
            each.close()


def _handed(given: socket.socket, name: str, port: int) -> socket.socket:
    """One that was bound for us: its unit counts, and must say what the settings say."""
    number = given.getsockname()[1]
    if number != port:
        raise RefusedError(
            f"the service manager bound port {number} for {name}, and the settings say {port}",
            fix="say the same in the unit of the socket and in strongroom.toml",
        )
    return given


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
