"""Serves pages over TLS until SIGTERM, whatever the pages are."""

from __future__ import annotations

import signal
import socket
import ssl
from collections.abc import Callable
from typing import Any

import uvicorn

from appliance import certificate_renewal
from appliance.bounded_connection import BoundedConnection
from appliance.data_directory import DataDirectory

CONNECTIONS = 1000
KEEP_ALIVE_SECONDS = 30
GRACE_SECONDS = 15


class _Server(uvicorn.Server):
    """Says when it takes requests."""

    def __init__(self, config: uvicorn.Config, when_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._when_ready = when_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell the supervisor."""
        await super().startup(sockets)
        if self.started:
            self._when_ready()


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
        http=BoundedConnection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=grace_seconds,
        ssl_context_factory=lambda _config, _default: _tls(data),
    )
    _Server(config, when_ready).run(sockets=[listening])


def outlive_the_server() -> None:
    """Uvicorn raises the signal again when it is done; this process still has to store and close then."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)


def _tls(data: DataDirectory) -> ssl.SSLContext:
    context = certificate_renewal.renewed_context(data.tls)
    context.set_alpn_protocols(["http/1.1"])
    return context
