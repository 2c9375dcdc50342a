"""Mail coming in by SMTP (RFC 5321): the connections of the MX port and of submission (RFC 6409, RFC 8314).

aiosmtpd brings the life of a connection; everything that reads, decides or answers is replaced: bytes are taken in
bulk by ``smtp_wire``, commands are ``smtp_session``'s, faults of ours are 451 with fixed words, and neither commands
nor addresses are logged.

A message is answered 250 after it is durable and not before. When the peer goes away meanwhile, storing goes on:
the peer will send the message again, and that is the lesser evil (RFC 1047).
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import cast

from aiosmtpd.smtp import SMTP

from appliance import smtp_replies
from appliance.connection_listener import TLS_HANDSHAKE_SECONDS, Listener
from appliance.smtp_door import Door
from appliance.smtp_replies import Reply
from appliance.smtp_session import SmtpSession
from appliance.smtp_wire import ConnectionEndedError, SmtpWire

logging.getLogger("mail.log").disabled = True
"""aiosmtpd writes every command and address there."""

logger = logging.getLogger(__name__)

MAX_COMMAND_LINE = 2_048
"""Octets of a command line. Section 4.5.3.1.4 states 512; extensions and UTF-8 may add to it."""

LAST_WORDS_SECONDS = 5.0
"""How long a peer may take to read our good-bye."""

CLOSING_SECONDS = 10.0
"""How long running transactions get when the service ends."""

REPLIES_HELD_BYTES = 65_536
"""Replies to pipelined commands that are kept back to be sent together."""


class SmtpConversation(SMTP):
    """One connection, from greeting to good-bye."""

    def __init__(self, door: Door, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            None,
            hostname=door.host_name,
            ident="ESMTP",
            data_size_limit=door.limits.acceptance.message_bytes,
            timeout=door.limits.idle_seconds,
            loop=loop,
        )
        self._door = door
        self._wire = SmtpWire(self._flush)
        self._session = SmtpSession(door, self._wire, self)
        self._replies = bytearray()
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._link: asyncio.Transport | None = None
        self._errors = 0
        self._is_counted = False
        self._is_busy = False
        self._is_committing = False
        self._is_closing = False
        self._ends_at = self._goes_off_at = float("inf")
        self._octets = self._octets_due = 0
        self._data_ends_at: float | None = None
        self.peer_address = ""
        self.tls = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A peer is there: let it in when there is room."""
        peer = transport.get_extra_info("peername")
        self.peer_address = str(peer[0]) if peer else ""
        self._is_counted = self._door.enter(self.peer_address, self)
        self._use(cast("asyncio.Transport", transport))
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self._octets += len(data)
        self._wire.feed(data)

    def eof_received(self) -> bool:
        """The peer sends no more. What it sent is still answered where a transport can be half closed."""
        self._wire.feed_end()
        return not self.tls

    def connection_lost(self, error: Exception | None) -> None:
        """The peer is gone. What is being stored goes on being stored."""
        if self._is_counted:
            self._is_counted = False
            self._door.leave(self.peer_address, self)
        self._wire.feed_end()
        self._link = None
        super().connection_lost(error)

    def pause_writing(self) -> None:
        """The peer does not read our replies: nothing more is done for it until it does."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._may_write.set()

    def say(self, reply: Reply | bytes) -> None:
        """Answer, at the latest when we next wait for the peer."""
        if isinstance(reply, Reply):
            self._errors += reply.is_refusal
            reply = reply.line
        self._replies += reply
        if len(self._replies) > REPLIES_HELD_BYTES:
            self._flush()

    async def start_tls(self) -> None:
        """Encrypt from here on. What came behind STARTTLS in plain text is thrown away (RFC 3207 section 4.2)."""
        self.say(smtp_replies.START_TLS)
        self._flush()
        self._wire.discard()
        if self._link is None or self._door.tls is None:
            raise ConnectionEndedError
        try:
            secured = await self.loop.start_tls(
                self._link,
                self,
                self._door.tls,
                server_side=True,
                ssl_handshake_timeout=TLS_HANDSHAKE_SECONDS,
            )
        except OSError as error:
            raise ConnectionEndedError from error
        if secured is None or self._link is None:
            raise ConnectionEndedError
        self._wire.discard()
        self._use(secured)

    @contextmanager
    def receiving(self) -> Iterator[None]:
        """While a message's text comes in: a time of its own for all of it, and within that a pace."""
        self._data_ends_at = self.loop.time() + self._door.limits.data_seconds
        self._expect_data()
        yield
        self._data_ends_at = None
        self._reset_timeout()

    @contextmanager
    def committing(self) -> Iterator[None]:
        """While a message is being stored, no time runs out."""
        self._is_committing = True
        try:
            yield
        finally:
            self._is_committing = False

    def end(self) -> asyncio.Task[None] | None:
        """The service ends: good-bye now, or after the command that is under way. Answers what to wait for."""
        if not self._is_busy:
            self.say(smtp_replies.CLOSING)
            self._hang_up()
        self._is_closing = True
        return self._handler_coroutine

    async def _handle_client(self) -> None:
        """The dialogue. aiosmtpd starts it when the connection is made and cancels it when it is lost."""
        if not self._is_counted:
            self.say(smtp_replies.TOO_MANY_CONNECTIONS)
            self._hang_up()
            return
        self.say(f"220 {self._door.host_name} ESMTP\r\n".encode("ascii"))
        try:
            while not self._is_closing:
                await self._one_command()
            self._hang_up()
        except ConnectionEndedError:
            self._hang_up()
        except Exception:
            logger.exception("smtp connection failed")
            self.say(smtp_replies.OUR_FAULT)
            self._hang_up()

    async def _one_command(self) -> None:
        self._reset_timeout()
        if not self._may_write.is_set():
            await self._may_write.wait()
        self._is_busy = False
        line = await self._wire.line(MAX_COMMAND_LINE)
        self._is_busy = True
        reply = line if isinstance(line, Reply) else await self._obeyed(line)
        self.say(reply)
        self._is_closing |= reply is smtp_replies.GOODBYE or reply is smtp_replies.TOO_MANY_FAILURES
        self._look_at_limits()

    async def _obeyed(self, line: bytes) -> Reply | bytes:
        try:
            return await self._session.obey(line)
        except ConnectionEndedError:
            raise
        except Exception:
            logger.exception("smtp command failed")
            return smtp_replies.OUR_FAULT

    def _look_at_limits(self) -> None:
        limits = self._door.limits
        if self._is_closing:
            return
        if self._errors >= limits.errors:
            self.say(smtp_replies.TOO_MANY_ERRORS)
            self._is_closing = True
        elif self._session.commands_since_message >= limits.commands_without_message:
            self.say(smtp_replies.TOO_MANY_COMMANDS)
            self._is_closing = True

    def _reset_timeout(self, duration: float | None = None) -> None:
        """The time begins anew. One timer goes on when it goes off, instead of a new one for every command."""
        self._ends_at = self.loop.time() + (duration or self._door.limits.idle_seconds)
        if self._timeout_handle is None or self._ends_at < self._goes_off_at:
            self._set_timer()

    def _expect_data(self) -> None:
        """A message holds memory while it comes: whoever sends one on and on in drops is not waited for."""
        limits, now = self._door.limits, self.loop.time()
        self._octets_due = self._octets + limits.data_window_bytes
        self._reset_timeout(min(limits.data_window_seconds, (self._data_ends_at or now) - now))

    def _set_timer(self) -> None:
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()
        self._goes_off_at = self._ends_at
        self._timeout_handle = self.loop.call_at(self._ends_at, self._timeout_cb)

    def _timeout_cb(self) -> None:
        if self._is_committing:
            self._ends_at = self.loop.time() + self._door.limits.idle_seconds
        if self._is_in_pace():
            self._expect_data()
        if self._ends_at > self.loop.time():
            self._set_timer()
            return
        self.say(smtp_replies.TIMED_OUT)
        self._hang_up()

    def _is_in_pace(self) -> bool:
        """True while a message comes in that came fast enough since the timer was set, and has time left."""
        is_in_time = self._data_ends_at is not None and self.loop.time() < self._data_ends_at
        return is_in_time and self._octets >= self._octets_due

    def _use(self, transport: asyncio.Transport) -> None:
        self.transport = self._link = transport
        self._wire.attach(transport)
        secured = transport.get_extra_info("ssl_object")
        cipher = secured.cipher() if secured is not None else None
        self.tls = f"{cipher[1]} {cipher[0]}" if cipher else ""

    def _flush(self) -> None:
        if self._replies and self._link is not None:
            self._link.write(bytes(self._replies))
        self._replies.clear()

    def _hang_up(self) -> None:
        """Send what is said and close; a peer that does not read is cut off after a moment."""
        self._is_closing = True
        self._flush()
        if self._link is not None:
            self._link.close()
            self.loop.call_later(LAST_WORDS_SECONDS, self._link.abort)


class SmtpService:
    """The SMTP ports of one process, on sockets that were bound by whoever started it."""

    def __init__(self, *, mx: Door, submission: Door) -> None:
        self._doors = {"smtp": mx, "submission": submission, "submissions": submission}
        self._listeners: list[Listener] = []

    async def start(self, sockets: Mapping[str, socket.socket]) -> None:
        """Take connections. Names: ``smtp``, ``submission`` (STARTTLS), ``submissions`` (TLS from the first byte)."""
        loop = asyncio.get_running_loop()
        for name, listening in sockets.items():
            door = self._doors[name]
            tls = door.tls if name == "submissions" else None
            conversation = partial(SmtpConversation, door, loop)
            self._listeners.append(Listener(listening, conversation, tls, door.limits.connection_count()))

    async def close(self) -> None:
        """Take no more connections, let transactions that are under way end, say good-bye to everybody."""
        for listener in self._listeners:
            listener.close()
        everybody = {each for door in self._doors.values() for each in door.conversations}
        ending = [task for conversation in everybody if (task := conversation.end()) is not None]
        if ending:
            await asyncio.wait(ending, timeout=CLOSING_SECONDS)


async def serve(service: SmtpService, sockets: Mapping[str, socket.socket], when_ready: Callable[[], None]) -> None:
    """Take mail on these sockets until SIGTERM."""
    told_to_end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told_to_end.set)
    await service.start(sockets)
    when_ready()
    await told_to_end.wait()
    await service.close()
