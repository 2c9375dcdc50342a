"""The SMTP client: connect, ask for TLS, and only then speak of mail (RFC 5321, RFC 3207).

A message travels over a ``ProvenChannel``, which exists only after the server proved who it is. The plain
``Channel`` of ``open_for_notice`` carries pickup notices and nothing else. Nothing said before TLS can fail a message
for good: anybody on the way could have said it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import aiosmtplib

from appliance import relayed_message, tls_requirement
from appliance.delivery_plan import TlsEvidence, TlsFinding
from appliance.mx_lookup import MailServer
from appliance.relayed_message import Transmission
from appliance.required_proof import ByAuthority, Proof
from appliance.server_reply import PERMANENT, Reply
from mailstore.wall_clock import Clock

UNDELIVERABLE = 554
"""Our own answer for a server that cannot take what it would be given (RFC 3463 X.6.3)."""


@dataclass(frozen=True)
class ClientSettings:
    """``host_name`` is our name in EHLO; the times are what one step of the dialogue may take, in seconds.

    RFC 5321 section 4.5.3.2 asks for five minutes for most commands and ten for the final dot.
    """

    host_name: str
    connect_seconds: float = 30.0
    reply_seconds: float = 300.0
    data_seconds: float = 600.0


@dataclass(frozen=True)
class NotReached:
    """The server could not be asked about TLS: a temporary failure, whatever it said."""

    server_name: str
    reply: Reply


class BeforeData(Protocol):
    """Told which places in the recipient list were taken, before the message is sent; stores the intention."""

    def __call__(self, accepted: Sequence[int]) -> Awaitable[None]:
        """Return once the intention is durable."""
        ...


class Channel:
    """A connection over which something may be sent: a notice, or over a ``ProvenChannel`` a message."""

    def __init__(self, client: aiosmtplib.SMTP, server_name: str, data_seconds: float) -> None:
        self._client = client
        self._data_seconds = data_seconds
        self.server_name = server_name

    async def send(self, transmission: Transmission, *, before_data: BeforeData) -> tuple[Reply, ...]:
        """One transaction; the answer about each recipient, in order. Never raises for what a server does.

        ``before_data`` runs after the recipients were taken and before the message goes out. When the server
        vanishes after that, the reply says ``is_unknown``.
        """
        parameters = relayed_message.mail_parameters(transmission, self._client.esmtp_extensions)
        if isinstance(parameters, str):
            return self._all(transmission, Reply(UNDELIVERABLE, f"5.6.3 {parameters}"))
        sender = relayed_message.path(transmission.sender)
        begun = await self._command(b"MAIL", b"FROM:" + sender, *parameters)
        if not begun.is_accepted:
            return self._all(transmission, begun)
        replies = [
            await self._command(b"RCPT", b"TO:" + relayed_message.path(recipient))
            for recipient in transmission.recipients
        ]
        accepted = [place for place, reply in enumerate(replies) if reply.is_accepted]
        if accepted:
            await before_data(accepted)
            final = await self._data(transmission.message.content)
            replies = [final if reply.is_accepted else reply for reply in replies]
        else:
            await self._command(b"RSET")
        return tuple(replies)

    def shortfall(self, transmission: Transmission) -> str:
        """Why this server cannot be given the message as it is, or nothing."""
        parameters = relayed_message.mail_parameters(transmission, self._client.esmtp_extensions)
        return parameters if isinstance(parameters, str) else ""

    async def close(self) -> None:
        """Say goodbye if the server still listens; never waits long and never raises."""
        try:
            if self._client.is_connected:
                await self._client.quit(timeout=5)
        except (aiosmtplib.SMTPException, OSError):
            pass
        finally:
            self._client.close()

    async def _command(self, *words: bytes) -> Reply:
        try:
            response = await self._client.execute_command(*words)
        except (aiosmtplib.SMTPException, OSError) as error:
            return failure(error)
        return Reply(response.code, response.message)

    async def _data(self, content: bytes) -> Reply:
        try:
            response = await self._client.data(content, timeout=self._data_seconds)
        except (aiosmtplib.SMTPException, OSError) as error:
            reply = failure(error)
            return replace(reply, is_unknown=not reply.code)
        return Reply(response.code, response.message)

    def _all(self, transmission: Transmission, reply: Reply) -> tuple[Reply, ...]:
        return (reply,) * len(transmission.recipients)


class ProvenChannel(Channel):
    """A connection to a server that proved its name: the only kind that a message may travel over."""

    def __init__(self, client: aiosmtplib.SMTP, evidence: TlsEvidence, data_seconds: float) -> None:
        super().__init__(client, evidence.server_name, data_seconds)
        self.evidence = evidence


class SmtpOutbound:
    """Opens channels. The trust stores are read once and again whenever a file was not readable."""

    def __init__(self, settings: ClientSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._contexts: dict[str, ssl.SSLContext] = {}

    async def open(self, server: MailServer, address: str, *, proof: Proof) -> ProvenChannel | TlsEvidence | NotReached:
        """A channel to a server that proved itself by ``proof``; else what asking for TLS showed.

        Raises ``StorageUnavailableError`` when our own trust store cannot be read.
        """
        context = await asyncio.to_thread(self._context, proof)
        client = self._client()
        try:
            found = await self._asked_for_tls(client, server, address, (proof, context))
        except (aiosmtplib.SMTPException, OSError) as error:
            client.close()
            return NotReached(server.name, failure(error))
        except asyncio.CancelledError:
            client.close()
            raise
        if found.finding is TlsFinding.VERIFIED:
            return ProvenChannel(client, found, self._settings.data_seconds)
        client.close()
        return found

    async def open_for_notice(self, server: MailServer, address: str, *, may_be_clear: bool) -> Channel | NotReached:
        """A channel for a pickup notice only: encrypted if the server can, in clear if it cannot (RFC 7435).

        ``may_be_clear`` False: the server is known to encrypt, so that somebody took it away on the way.
        """
        client = self._client()
        try:
            is_encrypted = await self._greeted(client, server, address) and await self._encrypted(client)
            if not (is_encrypted or may_be_clear):
                client.close()
                return NotReached(server.name, Reply(0, "the server is known to encrypt and does not"))
            if not is_encrypted:
                client.close()
                client = self._client()
                await self._greeted(client, server, address)
        except (aiosmtplib.SMTPException, OSError) as error:
            client.close()
            return NotReached(server.name, failure(error))
        except asyncio.CancelledError:
            client.close()
            raise
        return Channel(client, server.name, self._settings.data_seconds)

    async def _asked_for_tls(
        self, client: aiosmtplib.SMTP, server: MailServer, address: str, asked: tuple[Proof, ssl.SSLContext]
    ) -> TlsEvidence:
        proof, context = asked
        if not await self._greeted(client, server, address):
            return TlsEvidence(server.name, TlsFinding.NOT_OFFERED)
        try:
            await client.starttls(
                server_hostname=server.name if isinstance(proof, ByAuthority) else proof.names[0],
                tls_context=context,
                timeout=self._settings.connect_seconds,
            )
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            raise  # a connection that ended says nothing about the certificate
        except ssl.SSLError as error:
            return tls_requirement.not_verified(server.name, error)
        except aiosmtplib.SMTPResponseException as error:
            return tls_requirement.refused(server.name, error.code)
        connection = client.get_transport_info("ssl_object")
        found = tls_requirement.examined(server.name, connection, proof, now=self._clock.now())
        if found.finding is TlsFinding.VERIFIED:
            await client.ehlo()  # what was offered before TLS counts for nothing (RFC 3207 section 4.2)
        return found

    async def _encrypted(self, client: aiosmtplib.SMTP) -> bool:
        try:
            await client.starttls(tls_context=tls_requirement.notice_context(), timeout=self._settings.connect_seconds)
            await client.ehlo()
        except (aiosmtplib.SMTPException, OSError):
            return False
        return True

    async def _greeted(self, client: aiosmtplib.SMTP, server: MailServer, address: str) -> bool:
        """Connect and say EHLO, or HELO to a server that does not know it; True when TLS is offered."""
        await client.connect(hostname=address, port=server.port, timeout=self._settings.connect_seconds)
        try:
            await client.ehlo()
        except aiosmtplib.SMTPHeloError as error:
            if error.code not in PERMANENT or not client.is_connected:
                raise
            await client.helo()
        return client.supports_extension("starttls")

    def _client(self) -> aiosmtplib.SMTP:
        return aiosmtplib.SMTP(
            local_hostname=self._settings.host_name,
            timeout=self._settings.reply_seconds,
            start_tls=False,
        )

    def _context(self, proof: Proof) -> ssl.SSLContext:
        if not isinstance(proof, ByAuthority):
            return tls_requirement.unproved_context()
        if proof.ca_file not in self._contexts:
            self._contexts[proof.ca_file] = tls_requirement.required_context(proof.ca_file)
        return self._contexts[proof.ca_file]


def failure(error: Exception) -> Reply:
    """What a failed step means, as a reply: the server's own words if it said any."""
    if isinstance(error, aiosmtplib.SMTPResponseException) and error.code > 0:
        return Reply(error.code, error.message)
    if isinstance(error, TimeoutError):
        return Reply(0, "the server did not answer in time")
    return Reply(0, "the connection to the server was lost or could not be made")
