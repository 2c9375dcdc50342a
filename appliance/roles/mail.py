"""The mail role: the pages of staff and patients over TLS, and the front door for what they write."""

from __future__ import annotations

import signal
import socket
import ssl
from collections.abc import Callable, Mapping

import uvicorn

from appliance import delivery_wiring, health, portal_wiring, tls_certificates
from appliance.bounded_connection import BoundedConnection
from appliance.data_directory import DataDirectory
from appliance.front_door_wiring import settings_of
from appliance.wiring import Appliance
from mailstore.key_hierarchy import KeyRing
from portal.app import create_app

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


def work(
    data: DataDirectory, keys: bytes, sockets: Mapping[str, socket.socket], when_ready: Callable[[], None]
) -> None:
    """Serve pages until SIGTERM; requests under way are answered first."""
    ring = KeyRing.from_bytes(keys)
    # uvicorn raises the signal again when it is done; this process still has mail to store then
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    with Appliance.with_ring(data, settings_of(data), ring) as appliance, appliance.front_door() as front:
        lamps = delivery_wiring.route_preview(appliance, front)
        archive, report = portal_wiring.archive_room(appliance), health.WholeReport(appliance)
        app = create_app(portal_wiring.parts(appliance, front.acceptance, lamps, archive=archive, health=report))
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
            timeout_graceful_shutdown=GRACE_SECONDS,
            ssl_context_factory=lambda _config, _default: _tls(data),
        )
        _Server(config, when_ready).run(sockets=[sockets["portal"]])


def _tls(data: DataDirectory) -> ssl.SSLContext:
    context = tls_certificates.server_context(data.tls)
    context.set_alpn_protocols(["http/1.1"])
    return context
