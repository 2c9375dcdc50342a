"""Small servers that speak as clamd and rspamd do, on loopback, for tests of what asks them."""

from __future__ import annotations

import json
import socketserver
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

EICAR_MARK = b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE"


@dataclass
class Asked:
    """What a scanner was asked, and how it answers."""

    contents: list[bytes] = field(default_factory=list)
    fields: list[list[tuple[str, str]]] = field(default_factory=list)
    pause_seconds: float = 0.0
    says: Any = None
    """Of clamd: a line; of rspamd: an action, or bytes for the whole answer. None: what the content deserves."""


class _Clamd(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        asked: Asked = self.server.asked  # type: ignore[attr-defined] # set where it is made
        command = _until(self.rfile, b"\0")
        if command == b"zPING":
            self.wfile.write(b"PONG\0")
            return
        assert command == b"zINSTREAM", command
        content = b""
        while length := struct.unpack(">I", self.rfile.read(4))[0]:
            content += self.rfile.read(length)
        asked.contents.append(content)
        time.sleep(asked.pause_seconds)
        found = b"stream: Eicar-Test-Signature FOUND" if EICAR_MARK in content else b"stream: OK"
        self.wfile.write((found if asked.says is None else asked.says) + b"\0")


class _Rspamd(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        asked: Asked = self.server.asked  # type: ignore[attr-defined] # set where it is made
        head = _until(self.rfile, b"\r\n\r\n").decode()
        line, *fields = head.split("\r\n")
        if line.startswith("GET /ping"):
            self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\npong\r\n")
            return
        assert line == "POST /checkv2 HTTP/1.1", line
        pairs = [(name, value.strip()) for name, _, value in (each.partition(":") for each in fields)]
        content = self.rfile.read(int(dict(pairs)["Content-Length"]))
        asked.contents.append(content)
        asked.fields.append(pairs)
        time.sleep(asked.pause_seconds)
        if isinstance(asked.says, bytes):
            self.wfile.write(asked.says)
            return
        body = json.dumps({"action": asked.says or "no action", "score": 1.5, "symbols": {}}).encode()
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up is no failure of the test."""


class _UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@contextmanager
def clamd(asked: Asked, path: Path | None = None) -> Iterator[str]:
    """A clamd's address: a port of its own, or a socket of the file system."""
    with _serving(_UnixServer(str(path), _Clamd) if path else _Server(("127.0.0.1", 0), _Clamd), asked) as port:
        yield str(path) if path else f"127.0.0.1:{port}"


@contextmanager
def rspamd(asked: Asked) -> Iterator[str]:
    """The address of an rspamd."""
    with _serving(_Server(("127.0.0.1", 0), _Rspamd), asked) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def _serving(server: socketserver.BaseServer, asked: Asked) -> Iterator[int]:
    server.asked = asked  # type: ignore[attr-defined] # what its handlers look for
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1]) if isinstance(server, _Server) else 0
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _until(reader: Any, mark: bytes) -> bytes:
    found = b""
    while not found.endswith(mark):
        piece = reader.read(1)
        if not piece:
            break
        found += piece
    return found.removesuffix(mark)
