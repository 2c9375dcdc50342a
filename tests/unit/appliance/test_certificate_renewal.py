"""A renewed certificate is served to whoever comes next; half a renewal is not."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import ssl
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
import uvloop
from cryptography import x509

from appliance import certificate_renewal, tls_certificates
from mailstore.wall_clock import SystemClock

NOW = SystemClock().now()
LOOK_SECONDS = 0.02
PATIENCE_SECONDS = 60


@pytest.fixture
def place(tmp_path: Path) -> Path:
    tls_certificates.write(tmp_path / "tls", _made("Before"))
    return tmp_path / "tls"


def _made(practice: str) -> tls_certificates.GeneratedCertificates:
    return tls_certificates.generate(practice=practice, domain="clinic.example", now=NOW - timedelta(days=1))


def _replaced(path: Path, content: bytes) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)


def _serial(context: ssl.SSLContext) -> int:
    """The serial number of the certificate that a client is shown."""
    return _shown(context)[0]


def _shown(context: ssl.SSLContext, *protocols: str) -> tuple[int, str | None]:
    """The same, and the protocol that was chosen of those that the client speaks."""
    ours, theirs = socket.socketpair()
    server = threading.Thread(target=lambda: context.wrap_socket(ours, server_side=True).close())
    server.start()
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.set_alpn_protocols(protocols)
    with client.wrap_socket(theirs) as connection:
        shown, chosen = connection.getpeercert(binary_form=True), connection.selected_alpn_protocol()
    server.join()
    assert shown is not None
    return x509.load_der_x509_certificate(shown).serial_number, chosen


def _serial_in(content: bytes) -> int:
    return x509.load_pem_x509_certificate(content).serial_number


def test_renewed_certificate_is_served_without_a_restart(place: Path) -> None:
    context = certificate_renewal.renewed_context(place, look_seconds=LOOK_SECONDS)
    before = _serial(context)
    renewed = _made("After")
    _replaced(place / "server.key", renewed.server_key)
    _replaced(place / "server.pem", renewed.server)
    end = time.monotonic() + PATIENCE_SECONDS
    while _serial(context) == before:
        assert time.monotonic() < end, "the renewed certificate was never served"
        time.sleep(LOOK_SECONDS)
    assert _serial(context) == _serial_in(renewed.server)


def test_half_a_renewal_is_not_served_and_the_other_half_makes_it_whole(place: Path) -> None:
    context = certificate_renewal.renewed_context(place, look_seconds=LOOK_SECONDS)
    before, renewed = _serial(context), _made("After")
    _replaced(place / "server.pem", renewed.server)
    for _ in range(20):
        assert _serial(context) == before
        time.sleep(LOOK_SECONDS)
    _replaced(place / "server.key", renewed.server_key)
    end = time.monotonic() + PATIENCE_SECONDS
    while _serial(context) == before:
        assert time.monotonic() < end
        time.sleep(LOOK_SECONDS)


def test_the_loop_that_mail_comes_in_by_serves_the_renewed_one(place: Path) -> None:
    async def shown(port: int) -> int:
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
        _reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return x509.load_der_x509_certificate(certificate).serial_number

    async def served() -> tuple[int, int]:
        context = certificate_renewal.renewed_context(place, look_seconds=LOOK_SECONDS)
        server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
        async with server:
            port = server.sockets[0].getsockname()[1]
            before = now = await shown(port)
            renewed = _made("After")
            _replaced(place / "server.key", renewed.server_key)
            _replaced(place / "server.pem", renewed.server)
            async with asyncio.timeout(PATIENCE_SECONDS):
                while now == before:
                    now = await shown(port)
            return now, _serial_in(renewed.server)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        now, wanted = runner.run(served())
    assert now == wanted


def test_nobody_is_turned_away_while_a_certificate_is_renewed(place: Path) -> None:
    context = certificate_renewal.renewed_context(place, look_seconds=0.001)
    shown: set[int] = set()
    both = [_made("One"), _made("Other")]
    wanted = {_serial_in(made.server) for made in both}
    end = time.monotonic() + 3
    for made in itertools.cycle(both):
        _replaced(place / "server.key", made.server_key)
        _replaced(place / "server.pem", made.server)
        shown.update(_serial(context) for _ in range(5))
        if time.monotonic() > end and (shown >= wanted or time.monotonic() > end + PATIENCE_SECONDS):
            break
    assert shown >= wanted


def test_the_protocols_of_the_port_stay_with_a_renewed_certificate(place: Path) -> None:
    context = certificate_renewal.renewed_context(place, ["http/1.1"], look_seconds=LOOK_SECONDS)
    before, renewed = _shown(context, "http/1.1"), _made("After")
    _replaced(place / "server.key", renewed.server_key)
    _replaced(place / "server.pem", renewed.server)
    end = time.monotonic() + PATIENCE_SECONDS
    while (now := _shown(context, "http/1.1")) == before:
        assert time.monotonic() < end
        time.sleep(LOOK_SECONDS)
    assert (before[1], now[1]) == ("http/1.1", "http/1.1")


def test_what_is_no_certificate_leaves_the_old_one_in_service(place: Path) -> None:
    context = certificate_renewal.renewed_context(place, look_seconds=LOOK_SECONDS)
    before = _serial(context)
    _replaced(place / "server.pem", os.urandom(500))
    time.sleep(10 * LOOK_SECONDS)
    assert _serial(context) == before
