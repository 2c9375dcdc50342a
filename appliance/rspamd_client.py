"""Asks rspamd what it would do with a message (https://docs.rspamd.com/developers/protocol/), over HTTP on loopback.

One request a connection. What it answers is bounded, and anything but a word that we know counts as no answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from appliance.scan_verdict import Junk, of_action
from mailstore.message import ReceivedMessage

MOST_ANSWER_BYTES: Final = 1 << 20
STANDARD_PORT: Final = 11_333
_OK: Final = b" 200 "


@dataclass(frozen=True)
class RspamdClient:
    """One rspamd: ``http://127.0.0.1:11333``, the port of its normal worker."""

    url: str

    async def ask(self, received: ReceivedMessage) -> Junk:
        """What it would do. ``OSError`` or ``EOFError`` when it does not come to an answer."""
        fields = "".join(f"{name}: {value}\r\n" for name, value in _told(received))
        head = f"POST /checkv2 HTTP/1.1\r\n{fields}Content-Length: {len(received.content)}\r\n"
        body = await self._answer(head, received.content)
        try:
            told = json.loads(body)
        except ValueError:
            return Junk.SILENT
        return of_action(told.get("action")) if isinstance(told, dict) else Junk.SILENT

    async def is_there(self) -> bool:
        """True when it answers at all. ``OSError`` or ``EOFError`` otherwise."""
        return (await self._answer("GET /ping HTTP/1.1\r\n", b"")).strip() == b"pong"

    async def _answer(self, head: str, content: bytes) -> bytes:
        """The body of the answer; empty for one that says that something went wrong."""
        place = urlsplit(self.url)
        host, port = place.hostname or "", place.port or STANDARD_PORT
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(f"{head}Host: {host}\r\nConnection: close\r\n\r\n".encode())
            writer.write(content)
            await writer.drain()
            answer = await _up_to_end(reader)
        finally:
            writer.transport.abort()
        status, _, rest = answer.partition(b"\r\n")
        return rest.partition(b"\r\n\r\n")[2] if _OK in status else b""


async def _up_to_end(reader: asyncio.StreamReader) -> bytes:
    parts, size = [], 0
    while part := await reader.read(65_536):
        size += len(part)
        if size > MOST_ANSWER_BYTES:
            raise EOFError
        parts.append(part)
    return b"".join(parts)


def _told(received: ReceivedMessage) -> Iterator[tuple[str, str]]:
    """What it knows of the envelope. A value that could end a field is left out; none that is parsed has one."""
    envelope, peer = received.envelope, received.peer
    sender = "" if envelope.sender is None else envelope.sender.text
    told = [("IP", peer.address), ("Helo", peer.helo), ("From", sender)]
    told += [("Rcpt", recipient.text) for recipient in envelope.recipients]
    for name, value in told:
        if value and value.isprintable():
            yield name, value
