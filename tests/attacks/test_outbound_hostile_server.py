"""Attack: the receiving server itself: endless lines, endless replies, garbage, terminal codes, slow drips.

Each is told by a raw socket. None may fill our memory, hold an attempt for ever, or reach a terminal or a report.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from appliance import required_proof
from appliance.mx_lookup import MailServer
from appliance.server_reply import MAX_REPLY_TEXT, Reply
from appliance.smtp_outbound import ClientSettings, NotReached, SmtpOutbound
from mailstore.wall_clock import SystemClock

SETTINGS = ClientSettings("mail.clinic.example", connect_seconds=1, reply_seconds=1)


def flood(connection: socket.socket) -> None:
    """An endless line."""
    for _ in range(2_000):
        connection.sendall(b"2" * 65_536)


def endless_reply(connection: socket.socket) -> None:
    """A reply that goes on and on."""
    connection.sendall(b"220 hello\r\n")
    for _ in range(200_000):
        connection.sendall(b"250-and one more line of a reply that never ends\r\n" * 10)


def drip(connection: socket.socket) -> None:
    """One byte now and then, for as long as somebody listens."""
    stop = threading.Event()
    while True:
        connection.sendall(b"2")
        stop.wait(0.05)


def garbage(connection: socket.socket) -> None:
    """Bytes that are no SMTP."""
    connection.sendall(bytes(range(256)) * 16 + b"\r\n")


@contextmanager
def hostile(speak: Callable[[socket.socket], None]) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                speak(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield int(listener.getsockname()[1])
        thread.join()


@pytest.mark.parametrize("speak", [flood, endless_reply, drip, garbage])
def test_a_hostile_server_is_left_soon_and_costs_little(speak: Callable[[socket.socket], None]) -> None:
    async def go(port: int) -> object:
        async with asyncio.timeout(30):
            outbound = SmtpOutbound(SETTINGS, SystemClock())
            proof = required_proof.of_pinned("")
            return await outbound.open(MailServer("mx.example", "127.0.0.1", port), "127.0.0.1", proof=proof)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with hostile(speak) as port:
        found = asyncio.run(go(port))
    assert isinstance(found, NotReached)
    assert not found.reply.is_permanent
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_what_a_server_says_is_one_printable_line() -> None:
    said = Reply(550, "no\x1b[2Jway\r\nBcc: x\udcff\u2028" + "y" * 10_000).line
    assert said.isprintable()
    assert said.startswith("550 no [2Jway Bcc: x y")
    assert len(said) <= MAX_REPLY_TEXT + 4
