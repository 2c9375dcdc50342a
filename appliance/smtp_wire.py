"""The bytes of one SMTP connection: taken as they come, handed out as command lines and messages.

A message is read in bulk: one search for CR LF . CR LF over what has come, one replacement to undo dot-stuffing.
Nothing grows without a bound: reading stops while nobody takes, an endless line and an endless message are
drained only so far.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum, auto

from appliance.data_budget import DataShare
from appliance.smtp_replies import BARE_LINE_FEED, LINE_TOO_LONG, Reply

END_OF_DATA = b"\r\n.\r\n"
HIGH_WATER_BYTES = 262_144
"""Input that waits unread before the peer is made to wait."""

MAX_DRAINED_LINE = 1_048_576
"""Octets of an endless line that are thrown away before we hang up."""

SLACK_BYTES = 1_048_576
"""Octets beyond the largest message and its dot-stuffing that are looked through for the end of data."""


class ConnectionEndedError(Exception):
    """The peer is gone, or asked for more than we are ready to throw away."""


class Unread(Enum):
    """A message whose bytes were thrown away as they came."""

    TOO_LARGE = auto()
    NO_ROOM = auto()
    """There was no room for it among all that comes in at the time."""


class SmtpWire:
    """What a peer sent and nobody took yet. ``before_waiting`` runs whenever we are about to wait for the peer."""

    def __init__(self, before_waiting: Callable[[], None]) -> None:
        self._before_waiting = before_waiting
        self._buffer = bytearray()
        self._waiter: asyncio.Future[None] | None = None
        self._transport: asyncio.ReadTransport | None = None
        self._is_paused = False
        self._has_ended = False

    def attach(self, transport: asyncio.ReadTransport) -> None:
        """Read from this transport from now on (the TLS one, after STARTTLS)."""
        self._transport = transport
        self._is_paused = False

    def feed(self, data: bytes) -> None:
        """Bytes came."""
        self._buffer += data
        if len(self._buffer) > HIGH_WATER_BYTES and self._transport is not None and not self._is_paused:
            self._transport.pause_reading()
            self._is_paused = True
        self._wake()

    def feed_end(self) -> None:
        """The peer will send no more."""
        self._has_ended = True
        self._wake()

    def discard(self) -> None:
        """Forget what was not taken: plain text behind STARTTLS is nobody's (RFC 3207 section 4.2)."""
        self._buffer.clear()

    async def line(self, limit: int) -> bytes | Reply:
        """The next command line without its CR LF, or the reply to one that is none.

        Raises ConnectionEndedError at the end of input and when a line does not end.
        """
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > limit:
                return await self._drained_line()
            await self._more()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        if end > limit:
            return LINE_TOO_LONG
        return line[:-1] if line.endswith(b"\r") and b"\r" not in line[:-1] else BARE_LINE_FEED

    async def message(self, limit: int, share: DataShare) -> bytes | Unread:
        """A message up to its end of data, dot-stuffing undone (RFC 5321 section 4.5.2).

        At more than ``limit`` bytes nothing is kept, nor beyond what ``share`` has room for; as much as the limit is
        thrown away while waiting for the end.
        """
        data = bytearray(b"\r\n")
        searched = 0
        while True:
            has_room = share.grow(len(self._buffer))
            data += self._buffer
            self._buffer.clear()
            self._resume()
            end = data.find(END_OF_DATA, searched)
            if end >= 0:
                break
            searched = max(len(data) - len(END_OF_DATA) + 1, 0)
            ceiling = limit + limit // 8 + SLACK_BYTES
            if not has_room or len(data) > ceiling:
                share.give_back()
                await self._drain_message(data, limit if has_room else ceiling)
                return Unread.TOO_LARGE if has_room else Unread.NO_ROOM
            await self._more()
        self._buffer += memoryview(data)[end + len(END_OF_DATA) :]
        del data[end + 2 :]
        content = _unstuffed(data)
        return content if len(content) <= limit else Unread.TOO_LARGE

    async def _drain_message(self, data: bytearray, left: int) -> None:
        tail = data[-len(END_OF_DATA) + 1 :]
        data.clear()
        while True:
            tail += self._buffer
            left -= len(self._buffer)
            self._buffer.clear()
            self._resume()
            end = tail.find(END_OF_DATA)
            if end >= 0:
                self._buffer += tail[end + len(END_OF_DATA) :]
                return
            if left < 0:
                raise ConnectionEndedError
            del tail[: -len(END_OF_DATA) + 1]
            await self._more()

    async def _drained_line(self) -> Reply:
        left = MAX_DRAINED_LINE
        while (end := self._buffer.find(b"\n")) < 0:
            left -= len(self._buffer)
            self._buffer.clear()
            if left < 0:
                raise ConnectionEndedError
            await self._more()
        del self._buffer[: end + 1]
        return LINE_TOO_LONG

    async def _more(self) -> None:
        if self._has_ended:
            raise ConnectionEndedError
        self._resume()
        self._before_waiting()
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _resume(self) -> None:
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _unstuffed(data: bytearray) -> bytes:
    """The message in ``data``, which is emptied: at no time are there three copies of a large one."""
    unstuffed = data.replace(b"\r\n.", b"\r\n")
    data.clear()
    return bytes(memoryview(unstuffed)[2:])
