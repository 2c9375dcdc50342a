"""Receiving mail servers of the outside world, as bad as they come, on real sockets with real TLS."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme
from aiosmtpd.smtp import SMTP

Transform = Callable[[bytes], bytes]


@dataclass
class Script:
    """What a server does at a verb: EHLO, STARTTLS, MAIL, RCPT, DATA, or FINAL (after the final dot).

    ``kept_then_dropped``: the message is kept, and the connection drops before the answer.
    """

    replies: dict[str, str] = field(default_factory=dict)
    drops: set[str] = field(default_factory=set)
    seconds: dict[str, float] = field(default_factory=dict)
    rcpt_replies: dict[str, str] = field(default_factory=dict)
    kept_then_dropped: bool = False
    size_limit: int = 33_554_432


@dataclass(frozen=True)
class Arrived:
    """One message that a server took, as it came over the wire (dot-stuffing undone)."""

    sender: str | None
    recipients: tuple[str, ...]
    content: bytes
    tls: str | None
    mail_options: tuple[str, ...]


class _ScriptedSmtp(SMTP):
    def __init__(self, owner: ReceivingServer, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.owner = owner

    async def _plays(self, verb: str, otherwise: Callable[[], Awaitable[None]]) -> None:
        script = self.owner.script
        self.owner.verbs.append(verb)
        await asyncio.sleep(script.seconds.get(verb, 0))
        if verb in script.drops:
            _cut(self)
        elif verb in script.replies:
            await self.push(script.replies[verb])
        else:
            await otherwise()

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802 - aiosmtpd finds verbs by this name
        await self._plays("EHLO", lambda: super(_ScriptedSmtp, self).smtp_EHLO(hostname))

    async def smtp_STARTTLS(self, arg: str) -> None:  # noqa: N802 - aiosmtpd finds verbs by this name
        await self._plays("STARTTLS", lambda: super(_ScriptedSmtp, self).smtp_STARTTLS(arg))

    async def smtp_MAIL(self, arg: str) -> None:  # noqa: N802 - aiosmtpd finds verbs by this name
        await self._plays("MAIL", lambda: super(_ScriptedSmtp, self).smtp_MAIL(arg))

    async def smtp_RCPT(self, arg: str) -> None:  # noqa: N802 - aiosmtpd finds verbs by this name
        told = next((reply for part, reply in self.owner.script.rcpt_replies.items() if part in arg), None)
        if told is not None:
            self.owner.verbs.append("RCPT")
            await self.push(told)
            return
        await self._plays("RCPT", lambda: super(_ScriptedSmtp, self).smtp_RCPT(arg))

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802 - aiosmtpd finds verbs by this name
        await self._plays("DATA", lambda: super(_ScriptedSmtp, self).smtp_DATA(arg))


def _cut(server: SMTP) -> None:
    """End the connection without a word."""
    if isinstance(server.transport, asyncio.WriteTransport):
        server.transport.abort()


class _Machine:
    """A machine of the outside world: an event loop in a thread of its own, listening on ``port``."""

    def __init__(self) -> None:
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listening(), self._loop).result(10)
        self.port = int(self._server.sockets[0].getsockname()[1])

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listening(self) -> asyncio.Server:
        raise NotImplementedError

    async def _stop(self) -> None:
        self._server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


class ReceivingServer(_Machine):
    """A server in a thread of its own. ``arrived`` is what it took, ``verbs`` what it was asked."""

    def __init__(self, tls: ssl.SSLContext | None = None, script: Script | None = None) -> None:
        super().__init__()
        self.script = script or Script()
        self.arrived: list[Arrived] = []
        self.verbs: list[str] = []
        self._tls = tls

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's hook name
        script = self.script
        await asyncio.sleep(script.seconds.get("FINAL", 0))
        if "FINAL" in script.drops:
            _cut(server)
            return "451 gone"
        if "FINAL" in script.replies:
            return script.replies["FINAL"]
        self._keep(session, envelope)
        if script.kept_then_dropped:
            _cut(server)
        return "250 2.0.0 kept"

    def _keep(self, session: Any, envelope: Any) -> None:
        self.arrived.append(
            Arrived(
                envelope.mail_from,
                tuple(envelope.rcpt_tos),
                bytes(envelope.content),
                str(session.ssl["cipher"][1]) if session.ssl else None,
                tuple(envelope.mail_options),
            )
        )

    async def _listening(self) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(self._protocol, "127.0.0.1", 0)

    def _protocol(self) -> SMTP:
        return _ScriptedSmtp(
            self,
            self,
            tls_context=self._tls,
            hostname="mx.outside.example",
            enable_SMTPUTF8=True,
            data_size_limit=self.script.size_limit,
            loop=asyncio.get_running_loop(),
        )


class Wiretap(_Machine):
    """A machine on the way that forwards TCP, keeps every byte in clear, and may change what passes."""

    def __init__(self, target_port: int, to_client: Transform | None = None) -> None:
        super().__init__()
        self.heard = bytearray()
        self._target_port = target_port
        self._to_client = to_client or (lambda data: data)

    async def _listening(self) -> asyncio.Server:
        return await asyncio.start_server(self._tap, "127.0.0.1", 0)

    async def _tap(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        await asyncio.gather(
            self._pass(reader, far_writer, lambda data: data),
            self._pass(far_reader, writer, self._to_client),
            return_exceptions=True,
        )

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, change: Transform) -> None:
        try:
            while data := await reader.read(65_536):
                self.heard += data
                writer.write(change(data))
                await writer.drain()
        finally:
            writer.close()


@contextmanager
def receiving(tls: ssl.SSLContext | None = None, script: Script | None = None) -> Iterator[ReceivingServer]:
    """A receiving server for the length of a test."""
    server = ReceivingServer(tls, script)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def tapped(target_port: int, to_client: Transform | None = None) -> Iterator[Wiretap]:
    """A wiretap in front of a port for the length of a test."""
    tap = Wiretap(target_port, to_client)
    tap.start()
    try:
        yield tap
    finally:
        tap.stop()


def without_starttls(data: bytes) -> bytes:
    """What a machine on the way makes of an EHLO reply to strip STARTTLS from it."""
    return data.replace(b"STARTTLS", b"XXXXXXXX")


class CertificateAuthority:
    """A certificate authority of the outside world, and contexts of servers that it certified."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self.ca_file = str(folder / "outside-ca.pem")
        self._authority.cert_pem.write_to_path(self.ca_file)

    @property
    def der(self) -> bytes:
        """Its own certificate, as a signed DNS record may name it."""
        return ssl.PEM_cert_to_DER_cert(self._authority.cert_pem.bytes().decode("ascii"))

    def server(self, name: str, *, with_authority: bool = False) -> ssl.SSLContext:
        """TLS with a certificate for this name, and behind it the authority's own where that is asked for."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        shown = self._authority.issue_cert(name).private_key_and_cert_chain_pem.bytes()
        if with_authority:
            shown += self._authority.cert_pem.bytes()
        with tempfile.NamedTemporaryFile() as chain:
            chain.write(shown)
            chain.flush()
            context.load_cert_chain(chain.name)
        return context


def stranger(name: str) -> ssl.SSLContext:
    """TLS with a certificate that names the right host and was made by nobody known."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(name).configure_cert(context)
    return context
