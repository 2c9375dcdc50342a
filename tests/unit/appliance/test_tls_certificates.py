"""Generated certificates: real TLS handshakes verify them."""

from __future__ import annotations

import socket
import ssl
import stat
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from appliance import tls_certificates
from mailstore.wall_clock import SystemClock

NOW = SystemClock().now()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("tls") / "tls"
    made = tls_certificates.generate(practice="Clinic" * 30, domain="clinic.example", now=NOW)
    tls_certificates.write(place, made)
    return place


def handshake(directory: Path, name: str, *, ca: Path | None = None) -> str | None:
    """Shake hands over a real socket pair as a client that trusts ``ca``; gives the TLS version."""
    ours, theirs = socket.socketpair()
    context = tls_certificates.server_context(directory)

    def serve() -> None:
        try:
            context.wrap_socket(ours, server_side=True).close()
        except OSError:
            ours.close()

    server = threading.Thread(target=serve)
    server.start()
    try:
        client = ssl.create_default_context(cafile=ca)
        with client.wrap_socket(theirs, server_hostname=name) as connection:
            return connection.version()
    finally:
        theirs.close()
        server.join()


@pytest.mark.parametrize(
    "name",
    [
        "localhost",
        "127.0.0.1",
        "clinic.example",
        "mx.clinic.example",
        "mail.clinic.example",
        "portal.clinic.example",
    ],
)
def test_client_that_trusts_the_authority_accepts_every_name_of_the_practice(directory: Path, name: str) -> None:
    assert handshake(directory, name, ca=directory / tls_certificates.CA_FILE) == "TLSv1.3"


def test_client_refuses_another_name(directory: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(directory, "evil.example", ca=directory / tls_certificates.CA_FILE)


def test_client_that_trusts_only_public_authorities_refuses(directory: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(directory, "clinic.example")


def test_private_key_is_readable_by_its_owner_alone(directory: Path) -> None:
    assert stat.S_IMODE((directory / tls_certificates.KEY_FILE).stat().st_mode) == 0o600


def test_expiry_is_told_and_within_what_browsers_accept(directory: Path) -> None:
    assert NOW + timedelta(days=390) < tls_certificates.expires_at(directory) <= NOW + timedelta(days=398)
