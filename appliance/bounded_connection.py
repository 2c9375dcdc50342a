"""One connection of a browser, with the bounds that the HTTP reader itself does not have.

A stranger may neither make us remember an endless head of a request, nor hold a connection for ever by sending one
byte now and then (RFC 9110 section 17.5 and "slowloris"), nor take all connections from one place.
"""

from __future__ import annotations

import asyncio
from enum import Enum, auto

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mailstore.peer_network import network_of


class _Phase(Enum):
    HEAD = auto()
    BODY = auto()
    WAITING = auto()
    """For our answer, or for the next request; the server's own keep-alive time runs then."""


class BoundedConnection(HttpToolsProtocol):
    """Ends a connection that is too slow, says too much before it asks, or is one too many of its place."""

    head_bytes_at_most = 65_536
    head_seconds = 30.0
    body_seconds = 900.0
    """The largest upload over half a megabit a second."""
    of_one_place_at_most = 200
    """A waiting room or a practice may share one address; browsers open six connections each."""

    place = ""
    """The network that the browser is in."""

    _phase = _Phase.WAITING
    _head_bytes = 0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the base has it
        """A new connection; the first request must be asked soon."""
        super().connection_made(transport)
        self.place = network_of(self.client[0]) if self.client else ""
        if self._is_one_too_many():
            transport.abort()
            return
        self._enter(_Phase.HEAD, self.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, and so is what waited for it."""
        self._enter(_Phase.WAITING)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of a request. A head that does not end is not read on."""
        if self._phase is _Phase.WAITING:
            self._enter(_Phase.HEAD, self.head_seconds)
        self._head_bytes += len(data)
        super().data_received(data)
        if self._phase is _Phase.HEAD and self._head_bytes > self.head_bytes_at_most:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """A request begins, perhaps right behind another one."""
        if self._phase is not _Phase.HEAD:
            self._enter(_Phase.HEAD, self.head_seconds)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole; its body may take longer."""
        self._enter(_Phase.BODY, self.body_seconds)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._enter(_Phase.WAITING)
        super().on_message_complete()

    def _enter(self, phase: _Phase, seconds: float | None = None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._phase, self._head_bytes = phase, 0
        self._deadline = self.loop.call_later(seconds, self._give_up) if seconds is not None else None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()

    def _is_one_too_many(self) -> bool:
        neighbours = [each for each in self.connections if getattr(each, "place", None) == self.place]
        return len(neighbours) > self.of_one_place_at_most
