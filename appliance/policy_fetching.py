"""Fetches a domain's policy about its mail servers over HTTPS (RFC 8461 section 3.3), from a stranger.

The server must prove its name to the system's authorities. No redirect is followed, no more is read than a policy may
have, all within one bound of time, and no record leads us into the practice's own network.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from http import HTTPStatus

import h11

from appliance import mta_sts_policy, tls_requirement
from appliance.mta_sts_policy import MOST_BYTES, BadPolicyError, MtaStsPolicy
from appliance.name_lookup import LookupFailed, NameLookup

PATH = b"/.well-known/mta-sts.txt"
MOST_ADDRESSES = 2


@dataclass(frozen=True)
class FetchSettings:
    """``seconds`` bounds the whole of one attempt; RFC 8461 section 3.3 proposes a minute at the most.

    ``port`` is another one than that of HTTPS in rehearsals alone.
    """

    seconds: float = 20.0
    port: int = 443


@dataclass(frozen=True)
class Fetched:
    """A policy, and the text that it was read from."""

    policy: MtaStsPolicy
    text: str


class _NoPolicyError(Exception):
    """What was answered is no policy."""


class PolicyFetching:
    """Fetches policies. The system's authorities are read at each: certificates come and go."""

    def __init__(self, names: NameLookup, settings: FetchSettings) -> None:
        self._names = names
        self._settings = settings

    async def fetch(self, domain: str) -> Fetched | LookupFailed:
        """The policy that a domain publishes now, or why there is none to be had. Never raises for what others do."""
        host = f"mta-sts.{domain}"
        try:
            async with asyncio.timeout(self._settings.seconds):
                text = await self._text(host)
            return Fetched(mta_sts_policy.parsed(text), text)
        except TimeoutError:
            return LookupFailed(f"{host} did not answer in time")
        except ssl.SSLCertVerificationError as error:
            return LookupFailed(f"the certificate of {host} is not valid for it: {error.verify_message}")
        except (_NoPolicyError, BadPolicyError) as error:
            return LookupFailed(f"{host} shows no policy: {error}")
        except (OSError, h11.RemoteProtocolError, asyncio.IncompleteReadError) as error:
            return LookupFailed(f"{host} could not be asked: {type(error).__name__}")

    async def _text(self, host: str) -> str:
        found = await self._names.addresses_of(host)
        if isinstance(found, LookupFailed):
            raise _NoPolicyError(found.problem)
        if not found.addresses:
            raise _NoPolicyError("it has no address")
        context = await asyncio.to_thread(tls_requirement.required_context)
        *others, last = found.addresses[:MOST_ADDRESSES]
        for address in others:
            try:
                return await self._asked(host, address, context)
            except ConnectionError:
                continue
        return await self._asked(host, last, context)

    async def _asked(self, host: str, address: str, context: ssl.SSLContext) -> str:
        reader, writer = await asyncio.open_connection(
            address, self._settings.port, ssl=context, server_hostname=host, limit=MOST_BYTES
        )
        try:
            return await _answered(reader, writer, host)
        finally:
            writer.transport.abort()


async def _answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> str:
    talk = h11.Connection(our_role=h11.CLIENT)
    headers = [("Host", host), ("Accept", "text/plain"), ("Connection", "close")]
    writer.write(talk.send(h11.Request(method="GET", target=PATH, headers=headers)) or b"")
    writer.write(talk.send(h11.EndOfMessage()) or b"")
    await writer.drain()
    text = bytearray()
    while True:
        event = talk.next_event()
        if event is h11.NEED_DATA:
            talk.receive_data(await reader.read(MOST_BYTES))
        elif isinstance(event, h11.Response):
            _examine(event)
        elif isinstance(event, h11.Data):
            text += event.data
            if len(text) > MOST_BYTES:
                raise _NoPolicyError("it is too large")
        elif isinstance(event, h11.EndOfMessage):
            return text.decode("utf-8", "replace")
        elif isinstance(event, h11.ConnectionClosed):
            raise _NoPolicyError("it ends too early")


def _examine(response: h11.Response) -> None:
    """RFC 8461 section 3.3: 200 alone counts, a redirect does not, and the text says that it is one."""
    if response.status_code != HTTPStatus.OK:
        raise _NoPolicyError(f"the answer is {response.status_code}")
    kinds = [value for name, value in response.headers if name == b"content-type"]
    if not kinds or kinds[0].partition(b";")[0].strip().lower() != b"text/plain":
        raise _NoPolicyError("the answer is no plain text")
