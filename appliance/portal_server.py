"""Serves pages over TLS until SIGTERM, whatever the pages are."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from typing import Any

import uvicorn

from appliance import certificate_renewal
from appliance.bounded_connection import BoundedConnection
from appliance.connection_count import ConnectionCount
from appliance.connection_listener import Listener
from appliance.data_directory import DataDirectory

CONNECTIONS = 1000
KEEP_ALIVE_SECONDS = 30
GRACE_SECONDS = 15


class PortalServer(uvicorn.Server):
    """Takes its connections through a ``Listener``, which counts those that only began TLS; says when it takes them."""

    connection: type[BoundedConnection] = BoundedConnection

    def __init__(self, config: uvicorn.Config, listening: socket.socket, when_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._listening = listening
        self._when_ready = when_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start on our own socket, then tell the supervisor."""
        del sockets
        await super().startup([])
        arriving = ConnectionCount(in_all=CONNECTIONS, of_one_network=self.connection.of_one_place_at_most)
        self._listener = Listener(self._listening, self._connection, self.config.ssl, arriving)
        self._when_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, and answer the requests that are under way."""
        self._listener.close()
        await super().shutdown(sockets)

    def _connection(self) -> asyncio.Protocol:
        return self.connection(self.config, self.server_state, self.lifespan.state)


def serve(
    app: Any,
    data: DataDirectory,
    listening: socket.socket,
    when_ready: Callable[[], None],
    *,
    grace_seconds: int = GRACE_SECONDS,
) -> None:
    """Serve an ASGI application on a socket; requests under way are answered before this returns.

    ``grace_seconds``: for how long browsers that keep a connection are waited for at the end.
    """
    config = uvicorn.Config(
        app,
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=grace_seconds,
        ssl_context_factory=lambda _config, _default: certificate_renewal.renewed_context(data.tls, ["http/1.1"]),
    )
    PortalServer(config, listening, when_ready).run()


def outlive_the_server() -> None:
    """Uvicorn raises the signal again when it is done; this process still has to store and close then."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
