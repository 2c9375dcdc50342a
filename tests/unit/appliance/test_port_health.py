"""The doctor speaks to the ports as a stranger: real sockets, real certificates, and everything that can be wrong."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance import port_health, tls_certificates, tls_health
from appliance.data_directory import DataDirectory
from appliance.health_finding import State, guarded
from appliance.settings import PortalSettings, PracticeSettings, Settings, SmtpSettings
from tests.free_ports import free_port

NOW = datetime.now(UTC)  # noqa: TID251 - OpenSSL asks the machine's clock too
CLINIC = PracticeSettings(name="Clinic", domain="clinic.example")


def made(folder: Path, *, domain: str = "clinic.example", now: datetime = NOW) -> DataDirectory:
    """A directory with a certificate."""
    data = DataDirectory(folder)
    tls_certificates.write(data.tls, tls_certificates.generate(practice="Clinic", domain=domain, now=now))
    return data


@contextmanager
def listening(data: DataDirectory, *, greeting: bytes = b"", starttls: bytes = b"220 2.0.0 go on\r\n") -> Iterator[int]:
    """A server on a port of the loopback: TLS from the first byte, or after STARTTLS when it greets."""
    context = tls_certificates.server_context(data.tls)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            try:
                peer, _ = server.accept()
                with peer:
                    if greeting:
                        for said in (greeting, b"250-mx\r\n250 STARTTLS\r\n", starttls):
                            peer.sendall(said)
                            if said is not starttls:
                                peer.recv(1000)
                    context.wrap_socket(peer, server_side=True).close()
            except OSError:
                return

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield int(server.getsockname()[1])
    thread.join(5)


def seen(data: DataDirectory, port: int, name: str = "portal", *, listen: str = "127.0.0.1") -> tuple[State, str]:
    settings = Settings(
        practice=CLINIC,
        smtp=SmtpSettings(listen="127.0.0.1", port=port),
        portal=PortalSettings(listen=listen, port=port),
    )
    found = guarded(name, lambda: port_health.certificate(data, settings, name, now=NOW))
    assert found.fix or found.state is State.OK
    return found.state, found.message


def test_good_certificate_is_well_on_both_kinds_of_ports(tmp_path: Path) -> None:
    data = made(tmp_path)
    with listening(data) as port:
        assert seen(data, port)[0] is State.OK
    with listening(data, greeting=b"220-hello\r\n220 mx\r\n") as port:
        assert seen(data, port, "smtp")[0] is State.OK


def test_own_authority_on_a_public_address_is_told(tmp_path: Path) -> None:
    data = made(tmp_path)
    with listening(data) as port:
        state, told = seen(data, port, listen="0.0.0.0")  # noqa: S104 - asked on the loopback
    assert (state, "cannot prove" in told) == (State.WARN, True)


def test_certificate_for_another_name_or_of_a_stranger_is_not_well(tmp_path: Path) -> None:
    other = made(tmp_path / "other", domain="other.example")
    with listening(other) as port:
        state, told = seen(other, port)
    assert (state, "cannot be proved" in told) == (State.FAIL, True)
    data = made(tmp_path / "mine")
    with listening(other) as port:
        assert seen(data, port)[0] is State.FAIL


def test_expired_certificate_is_not_well(tmp_path: Path) -> None:
    data = made(tmp_path, now=NOW - timedelta(days=400))
    with listening(data) as port:
        state, told = seen(data, port)
    assert (state, "expired" in told) == (State.FAIL, True)


def test_certificate_of_before_that_is_still_shown_is_told(tmp_path: Path) -> None:
    data = made(tmp_path)
    with listening(data) as port:
        (data.tls / "server.pem").write_bytes((made(tmp_path / "new").tls / "server.pem").read_bytes())
        state, told = seen(data, port)
    assert (state, "not the one in tls/" in told) == (State.WARN, True)


@pytest.mark.parametrize("reply", [b"454 not now\r\n", b"220", b"", b"x" * 20_000 + b"\r\n"])
def test_server_that_starts_no_tls_or_never_ends_is_not_well(tmp_path: Path, reply: bytes) -> None:
    data = made(tmp_path)
    with listening(data, greeting=b"220 mx\r\n", starttls=reply) as port:
        assert seen(data, port, "smtp")[0] is State.FAIL


def test_port_where_nobody_listens_is_told(tmp_path: Path) -> None:
    port = free_port()
    settings = replace(Settings(), portal=PortalSettings(listen="127.0.0.1", port=port))
    state, told, fix = port_health.answers(DataDirectory(tmp_path), settings, "portal")
    assert (state, str(port) in told, bool(fix)) == (State.FAIL, True, True)


def test_star_in_the_certificate_stands_for_one_label() -> None:
    assert tls_health._starred("mx.clinic.example") == "*.clinic.example"


def test_stranger_trusts_the_machines_authorities_beside_ours(tmp_path: Path) -> None:
    context = tls_health.verifying(made(tmp_path).tls)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
