"""What the doctor says about the ports: each is spoken to as a stranger would, and its certificate is proved.

From this machine: whether a firewall further out lets strangers in is not seen from here.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from appliance import mending_words, tls_health
from appliance.data_directory import DataDirectory
from appliance.health_finding import Seen, State
from appliance.settings import Settings

PORT_SECONDS: Final = 2.0
_LONGEST_REPLY: Final = 16_384
_STARTTLS: Final = frozenset({"smtp", "submission"})


def answers(data: DataDirectory, settings: Settings, name: str) -> Seen:
    """Whether something takes connections there."""
    address, port = _place(settings, name)
    try:
        socket.create_connection((address, port), PORT_SECONDS).close()
    except OSError as error:
        why = error.strerror or "no answer in time"
        return State.FAIL, f"{port} on {address} does not answer: {why}", _reviving(data)
    return State.OK, f"{port} on {address} answers", ""


def certificate(data: DataDirectory, settings: Settings, name: str, *, now: datetime) -> Seen:
    """The certificate as it is shown there: the whole chain, for the name of the port, and the one of ``tls/``."""
    host = settings.portal_host if name == "portal" else settings.mx_host
    try:
        with spoken_to(data, settings, name, host) as secured:
            shown = secured.getpeercert(binary_form=True) or b""
    except ssl.SSLCertVerificationError as error:
        fix = f"get one for {host} and {tls_health.put(data.tls)}"
        return State.FAIL, f"it cannot be proved: {error.verify_message}", fix
    except (OSError, ValueError) as error:
        told = f"no TLS there: {getattr(error, 'strerror', None) or type(error).__name__}"
        return State.FAIL, told, _reviving(data)
    if not tls_health.is_the_one_in(data.tls, shown):
        return State.WARN, "it is not the one in tls/", f"wait a minute; if it stays: {mending_words.restart(data)}"
    if tls_health.is_of_own_authority(data.tls):
        return tls_health.own_authority(settings, data.tls)
    days = (tls_health.end_of(shown) - now).days
    return State.OK, f"the chain is whole, for {host}, {days} days left", ""


def _reviving(data: DataDirectory) -> str:
    """The parts that take connections, and what each writes down of itself."""
    return f"run: {mending_words.restart(data)}; if it stays, see smtp.log, mail.log and *supervisor.log in {data.log}"


def _place(settings: Settings, name: str) -> tuple[str, int]:
    listen = {"smtp": settings.smtp.listen, "portal": settings.portal.listen}.get(name, settings.submission.listen)
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen, listen)  # noqa: S104 - asked on the loopback instead
    return address, settings.ports[name]


@contextmanager
def spoken_to(data: DataDirectory, settings: Settings, name: str, host: str) -> Iterator[ssl.SSLSocket]:
    """A TLS connection to one of our ports, proved for a name.

    Raises ``OSError``, ``ssl.SSLCertVerificationError`` among them.
    """
    with socket.create_connection(_place(settings, name), PORT_SECONDS) as plain:
        if name in _STARTTLS:
            _start_tls(plain)
        with tls_health.verifying(data.tls).wrap_socket(plain, server_hostname=host) as secured:
            yield secured


def _start_tls(plain: socket.socket) -> None:
    """As a mail client does (RFC 3207 section 4)."""
    for said, wanted in ((b"", b"220"), (b"EHLO localhost\r\n", b"250"), (b"STARTTLS\r\n", b"220")):
        plain.sendall(said)
        if not _reply(plain).startswith(wanted):
            raise OSError(errno.EPROTO, "it does not speak it")


def _reply(plain: socket.socket) -> bytes:
    """One reply, all its lines (RFC 5321 section 4.2.1)."""
    heard = b""
    while len(heard) < _LONGEST_REPLY:
        piece = plain.recv(4096)
        heard += piece
        last = heard.rstrip(b"\r\n").rpartition(b"\n")[2]
        if not piece or (heard.endswith(b"\n") and last[3:4] != b"-"):
            break
    return heard
