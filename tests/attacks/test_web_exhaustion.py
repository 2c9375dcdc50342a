"""Strangers who ask slowly, endlessly or from everywhere at once: they are cut off, and others are served."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import trustme
import uvicorn

from appliance.bounded_connection import BoundedConnection
from appliance.portal_server import PortalServer

ASK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Impatient(BoundedConnection):
    """The same with bounds that a test can wait for."""

    head_seconds = 0.6
    body_seconds = 0.6
    of_one_place_at_most = 8


class ImpatientServer(PortalServer):
    """The server that has them."""

    connection = Impatient


async def page(scope: Any, receive: Any, send: Any) -> None:
    """Reads the whole body and says hello."""
    del scope
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    config = uvicorn.Config(page, http=Impatient, lifespan="off", log_config=None, timeout_keep_alive=30)
    server = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield int(listening.getsockname()[1])
    server.should_exit = True
    thread.join(10)


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def is_cut_off(connection: socket.socket, *, within: float = 5.0) -> bool:
    connection.settimeout(within)
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


def test_honest_requests_are_answered_one_after_another(port: int) -> None:
    with connected(port) as connection:
        for _ in range(3):
            connection.sendall(ASK)
            assert connection.recv(4096).endswith(b"hello")
            time.sleep(0.7)


def test_endless_head_is_cut_off(port: int) -> None:
    sent = 0
    with connected(port) as connection, suppress(ConnectionError):
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: ")
        while sent < 50_000_000:
            connection.sendall(b"a" * 50_000)
            sent += 50_000
    assert sent < 20_000_000


@pytest.mark.parametrize("piece", [b"a", b"\r\n"])
def test_slow_head_is_cut_off_however_it_dribbles(port: int, piece: bytes) -> None:
    begun = time.monotonic()
    with connected(port) as connection, suppress(ConnectionError):
        connection.sendall(ASK)
        connection.recv(4096)
        while time.monotonic() - begun < 8:
            connection.sendall(piece)
            time.sleep(0.1)
    assert time.monotonic() - begun < 6


def test_silent_connection_is_cut_off(port: int) -> None:
    with connected(port) as connection:
        assert is_cut_off(connection)


def test_body_that_never_ends_is_cut_off(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
        assert is_cut_off(connection)


def test_one_place_does_not_take_all_connections(port: int) -> None:
    time.sleep(0.7)
    open_ones = [connected(port) for _ in range(8)]
    with connected(port) as one_too_many:
        assert is_cut_off(one_too_many, within=0.4)
    for each in open_ones:
        each.close()


@pytest.fixture
def secure_port() -> Iterator[int]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("portal.clinic.example").configure_cert(tls)
    config = uvicorn.Config(page, lifespan="off", log_config=None, ssl_context_factory=lambda _config, _default: tls)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        is_ready = threading.Event()
        server = ImpatientServer(config, listening, is_ready.set)
        thread = threading.Thread(target=server.run)
        thread.start()
        assert is_ready.wait(10)
        yield int(listening.getsockname()[1])
        server.should_exit = True
        thread.join(10)


def test_one_place_does_not_take_all_of_those_that_only_begin_tls(secure_port: int) -> None:
    silent = [connected(secure_port) for _ in range(8)]
    with connected(secure_port) as one_too_many:
        assert is_cut_off(one_too_many, within=2)
    assert not is_cut_off(silent[0], within=0.1)
    for each in silent:
        each.close()
    time.sleep(0.2)
    unverified = ssl.create_default_context()
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    with unverified.wrap_socket(connected(secure_port)) as honest:
        honest.sendall(ASK)
        assert honest.recv(4096).startswith(b"HTTP/1.1 200")
