"""One listening socket that several processes share: each takes one connection at a time from its queue.

asyncio's own servers take all that wait at once, so that the process that woke first would have them all; and they
let any number of peers begin TLS and say nothing more, for no protocol knows of a connection before its handshake.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from functools import partial

from appliance.connection_count import ConnectionCount

logger = logging.getLogger(__name__)

TLS_HANDSHAKE_SECONDS = 30.0
OUT_OF_DESCRIPTORS_SECONDS = 1.0
"""How long nothing is taken when this process or the machine has no room for one more connection."""


class Listener:
    """Takes connections from the socket until closed. Made inside the loop that serves them."""

    def __init__(
        self,
        listening: socket.socket,
        conversation: Callable[[], asyncio.Protocol],
        tls: ssl.SSLContext | None,
        arriving: ConnectionCount,
    ) -> None:
        """``tls``: spoken from the first byte on; None where connections begin in plain text.

        ``arriving`` counts those that were taken and are not yet handed to a conversation, which may count its own.
        """
        self._loop = asyncio.get_running_loop()
        self._listening = listening
        self._conversation = conversation
        self._tls = tls
        self._arriving = arriving
        self._welcoming: set[asyncio.Task[None]] = set()
        self._is_closed = False
        listening.setblocking(False)
        self._listen()

    def close(self) -> None:
        """Take no more connections; those that wait are for the other processes, or for the next start."""
        self._is_closed = True
        self._loop.remove_reader(self._listening)

    def _listen(self) -> None:
        if not self._is_closed:
            self._loop.add_reader(self._listening, self._take_one)

    def _take_one(self) -> None:
        try:
            connection, address = self._listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another process was quicker, or the peer has left already
        except OSError:
            logger.exception("no connection could be taken")
            self._loop.remove_reader(self._listening)
            self._loop.call_later(OUT_OF_DESCRIPTORS_SECONDS, self._listen)
            return
        peer = str(address[0]) if address else ""
        if not self._arriving.enter(peer):
            connection.close()
            return
        task = self._loop.create_task(self._welcome(connection))
        self._welcoming.add(task)
        task.add_done_callback(partial(self._arrived, peer))

    def _arrived(self, peer: str, task: asyncio.Task[None]) -> None:
        """The connection is a conversation's from here on, or has failed."""
        self._welcoming.discard(task)
        self._arriving.leave(peer)

    async def _welcome(self, connection: socket.socket) -> None:
        """Hand the connection to a conversation. A peer that fails at TLS from the first byte is gone again."""
        try:
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.connect_accepted_socket(
                self._conversation,
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=TLS_HANDSHAKE_SECONDS if self._tls else None,
            )
        except OSError:
            connection.close()
