"""One socket to which askers come: who they are is said by the socket, and by the kernel of whoever may reach it."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import Final

from appliance import key_agent_socket
from appliance.key_agent_connection import Connection
from appliance.key_agent_policy import Asker

MOST: Final = 64
"""Connections at a time. One more, and the one that has been quiet longest ends; it may come again."""


@dataclass(eq=False)
class Door:
    """A listening socket and who comes there.

    ``supervisor``: the process whose descendants are nobody here, where askers of all kinds are one user's processes;
    None where only those may open the socket's file who are meant.
    """

    listener: socket.socket
    askers: tuple[Asker, ...]
    supervisor: int | None = None
    connections: list[Connection] = field(default_factory=list)

    def next(self) -> Connection | None:
        """Wait for whoever comes next; None when that was a stranger, who is sent away."""
        peer, _address = self.listener.accept()
        if not key_agent_socket.is_ours(peer, supervisor=self.supervisor):
            peer.close()
            return None
        if len(self.connections) >= MOST:
            quietest = min(self.connections, key=lambda each: each.heard_at)
            self.connections.remove(quietest)
            quietest.hang_up()
        self.connections.append(Connection(peer, self.askers))
        return self.connections[-1]

    def left(self, connection: Connection) -> None:
        """Somebody has gone."""
        if connection in self.connections:
            self.connections.remove(connection)
