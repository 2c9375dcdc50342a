"""Strangers who ask slowly, endlessly or from everywhere at once: they are cut off, and others are served."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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


class LessImpatient(BoundedConnection):
    """One whose bounds a busy machine keeps too."""

    head_seconds = 2.0


class Narrow(BoundedConnection):
    """One that nothing but the number of connections ends."""

    of_one_place_at_most = 8


class NarrowServer(PortalServer):
    """The same where TLS begins."""

    connection = Narrow


async def page(scope: Any, receive: Any, send: Any) -> None:
    """Reads the whole body and says hello."""
    del scope
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


@contextmanager
def served(connection: type[BoundedConnection]) -> Iterator[int]:
    config = uvicorn.Config(page, http=connection, lifespan="off", log_config=None, timeout_keep_alive=30)
    server = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield int(listening.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(60)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with served(Impatient) as number:
        yield number


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def answered(connection: socket.socket) -> bytes:
    """The whole answer, of which head and body may come one by one; what came of it before the connection ended."""
    heard = b""
    while not heard.endswith(b"hello") and (more := connection.recv(4096)):
        heard += more
    return heard


def is_cut_off(connection: socket.socket, *, within: float = 20.0) -> bool:
    connection.settimeout(within)
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


def test_honest_requests_are_answered_one_after_another() -> None:
    with served(LessImpatient) as port, connected(port) as connection:
        for pause in (LessImpatient.head_seconds + 0.3, 0):
            connection.sendall(ASK)
            assert answered(connection).endswith(b"hello")
            time.sleep(pause)


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
        answered(connection)
        while time.monotonic() - begun < 30:
            connection.sendall(piece)
            time.sleep(0.1)
    assert time.monotonic() - begun < 20


def test_silent_connection_is_cut_off(port: int) -> None:
    with connected(port) as connection:
        assert is_cut_off(connection)


def test_body_that_never_ends_is_cut_off(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
        assert is_cut_off(connection)


def test_one_place_does_not_take_all_connections() -> None:
    with served(Narrow) as port:
        open_ones = [connected(port) for _ in range(8)]
        with connected(port) as one_too_many:
            assert is_cut_off(one_too_many)
        assert not is_cut_off(open_ones[0], within=0.1)
        for each in open_ones:
            each.close()


@pytest.fixture
def secure_port() -> Iterator[int]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("portal.clinic.example").configure_cert(tls)
    config = uvicorn.Config(page, lifespan="off", log_config=None, ssl_context_factory=lambda _config, _default: tls)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        is_ready = threading.Event()
        server = NarrowServer(config, listening, is_ready.set)
        thread = threading.Thread(target=server.run)
        thread.start()
        assert is_ready.wait(60)
        yield int(listening.getsockname()[1])
        server.should_exit = True
        thread.join(60)


def test_one_place_does_not_take_all_of_those_that_only_begin_tls(secure_port: int) -> None:
    silent = [connected(secure_port) for _ in range(8)]
    with connected(secure_port) as one_too_many:
        assert is_cut_off(one_too_many)
    assert not is_cut_off(silent[0], within=0.1)
    for each in silent:
        each.close()
    assert any(is_answered_over_tls(secure_port) for _ in range(100)), "who left is counted still"


def is_answered_over_tls(port: int) -> bool:
    """Whether there is room for one more; if not, some time has passed."""
    unverified = ssl.create_default_context()
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    try:
        with unverified.wrap_socket(connected(port)) as honest:
            honest.sendall(ASK)
            return answered(honest).startswith(b"HTTP/1.1 200")
    except OSError:
        time.sleep(0.1)
        return False
