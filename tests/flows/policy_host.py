"""The web server of a domain that publishes a policy about its mail servers, on a real socket with real TLS."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class PolicyHost:
    """What it answers; ``asked`` is the Host and the path of each request."""

    text: str = ""
    status: int = 200
    kind: str = "text/plain"
    location: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    port: int = 0


@contextmanager
def publishing(host: PolicyHost, tls: ssl.SSLContext) -> Iterator[PolicyHost]:
    """Serve for the length of a test."""

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host.asked.append((self.headers["Host"], self.path))
            self.send_response(host.status)
            self.send_header("Content-Type", host.kind)
            if host.location:
                self.send_header("Location", host.location)
            self.end_headers()
            self.wfile.write(host.text.encode())

        def log_message(self, *_told: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_told: Any) -> None:
            """A client that turns away from a false certificate is what a test is about."""

    with Server(("127.0.0.1", 0), Answering) as server:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        host.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield host
        finally:
            server.shutdown()
            thread.join()
