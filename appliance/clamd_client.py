"""Asks clamd whether a message carries a virus (clamd(8), command INSTREAM), over a socket of this machine.

The message goes out in pieces, each with its length before it; clamd answers one line.
"""

from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from appliance.scan_verdict import Virus

PIECE_BYTES: Final = 65_536
MOST_ANSWER_BYTES: Final = 4_096
_LENGTH: Final = struct.Struct(">I")
_CLEAN: Final = b"stream: OK"
_FOUND: Final = re.compile(rb"stream: (.+) FOUND")
_PLAIN: Final = re.compile(r"[^A-Za-z0-9_.:/+\-]")
LONGEST_NAME: Final = 80


@dataclass(frozen=True)
class VirusAnswer:
    """What clamd said, and the name that it has for what it found."""

    said: Virus
    name: str = ""


@dataclass(frozen=True)
class ClamdClient:
    """One clamd: a socket of the file system (``/run/clamav/clamd.ctl``), or ``127.0.0.1:3310``."""

    address: str

    async def ask(self, content: bytes) -> VirusAnswer:
        """What it says of a message. ``OSError`` or ``EOFError`` when it does not come to an answer."""
        async with self._connected() as (reader, writer):
            writer.write(b"zINSTREAM\0")
            for start in range(0, len(content), PIECE_BYTES):
                piece = content[start : start + PIECE_BYTES]
                writer.write(_LENGTH.pack(len(piece)) + piece)
                await writer.drain()
            writer.write(_LENGTH.pack(0))
            await writer.drain()
            return answer_in(await _line(reader))

    async def is_there(self) -> bool:
        """True when it answers at all. ``OSError`` or ``EOFError`` otherwise."""
        async with self._connected() as (reader, writer):
            writer.write(b"zPING\0")
            await writer.drain()
            return await _line(reader) == b"PONG"

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        if self.address.startswith("/"):
            reader, writer = await asyncio.open_unix_connection(self.address, limit=MOST_ANSWER_BYTES)
        else:
            host, _, port = self.address.rpartition(":")
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port), limit=MOST_ANSWER_BYTES)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


def answer_in(line: bytes) -> VirusAnswer:
    """What a line says. Whatever is not known is no answer: too large a stream, a database that is being loaded."""
    if line == _CLEAN:
        return VirusAnswer(Virus.CLEAN)
    if found := _FOUND.fullmatch(line):
        name = _PLAIN.sub("-", found[1].decode("ascii", "replace"))[:LONGEST_NAME]
        return VirusAnswer(Virus.FOUND, name.lstrip("-_.:/+"))
    return VirusAnswer(Virus.SILENT)


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return (await reader.readuntil(b"\0"))[:-1]
    except asyncio.LimitOverrunError as error:
        raise EOFError from error
