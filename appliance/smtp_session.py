"""What a peer may say on an SMTP port, in which order, and what becomes of it (RFC 5321 section 4.1).

One method a command; each answers the reply. How bytes travel and when a connection ends is not known here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Protocol

from appliance import smtp_acceptance, smtp_replies
from appliance.delivery_plan import Located
from appliance.mail_scanning import MailScanning
from appliance.scan_verdict import PutOff
from appliance.smtp_authentication import (
    FAILURE_SECONDS,
    FAILURES_PER_CONNECTION,
    LOGIN_ASKS_NAME,
    LOGIN_ASKS_PASSWORD,
    MAX_CREDENTIAL_LINE,
    Credentials,
    Submitter,
    credentials_from,
    decoded,
    plain_credentials,
)
from appliance.smtp_door import CannotTellError, Door, DoorKind
from appliance.smtp_replies import Reply
from appliance.smtp_wire import SmtpWire, Unread
from mailstore.addresses import Address
from mailstore.message import Envelope, Origin, Peer, ReceivedMessage, Scan
from mailstore.spool_gauge import SpoolFullError
from portal.front_door import Refused

logger = logging.getLogger(__name__)

SMALL_MESSAGE = 262_144
"""Bytes up to which sealing is quick enough to be done between two other peers' commands."""

MAX_HELO = 255


class Link(Protocol):
    """The connection that a session speaks over."""

    peer_address: str

    @property
    def tls(self) -> str:
        """Version and cipher when the connection is encrypted, else empty."""
        ...

    def say(self, reply: Reply | bytes) -> None:
        """Send a reply, at the latest when we next wait for the peer."""
        ...

    async def start_tls(self) -> None:
        """Encrypt the connection from here on."""
        ...

    def receiving(self) -> AbstractContextManager[None]:
        """While a message's text comes in, which may take longer than a command."""
        ...

    def committing(self) -> AbstractContextManager[None]:
        """While a message is being stored, when the peer has to wait for us."""
        ...


@dataclass
class _Transaction:
    """A message being announced: MAIL, then RCPT, until DATA or RSET. Recipients by canonical spelling."""

    sender: Address | None
    allows_utf8: bool
    recipients: dict[str, Address] = field(default_factory=dict)


class SmtpSession:
    """One peer's session: what it said so far, and what it may say next."""

    def __init__(self, door: Door, wire: SmtpWire, link: Link) -> None:
        self._door = door
        self._wire = wire
        self._link = link
        self._helo = ""
        self._is_extended = False
        self._transaction: _Transaction | None = None
        self._submitter: Submitter | None = None
        self._failed_sign_ins = 0
        self.commands_since_message = 0
        self._commands: dict[bytes, Callable[[bytes], Awaitable[Reply | bytes]]] = {
            b"HELO": self._say_helo,
            b"EHLO": self._say_ehlo,
            b"MAIL": self._mail,
            b"RCPT": self._rcpt,
            b"DATA": self._data,
            b"RSET": self._reset,
            b"NOOP": self._nothing,
            b"QUIT": self._quit,
            b"VRFY": self._verify,
            b"HELP": self._help,
            b"STARTTLS": self._start_tls,
            b"AUTH": self._authenticate,
        }

    async def obey(self, line: bytes) -> Reply | bytes:
        """The reply to one command line."""
        self.commands_since_message += 1
        verb, _, argument = line.partition(b" ")
        command = self._commands.get(verb.upper())
        return smtp_replies.UNKNOWN_COMMAND if command is None else await command(argument.strip())

    async def _say_helo(self, argument: bytes) -> Reply | bytes:
        if not self._greet(argument, is_extended=False):
            return smtp_replies.BAD_SYNTAX
        return f"250 {self._door.host_name}\r\n".encode("ascii")

    async def _say_ehlo(self, argument: bytes) -> Reply | bytes:
        if not self._greet(argument, is_extended=True):
            return smtp_replies.BAD_SYNTAX
        lines = [self._door.host_name, *self._extensions()]
        marked = [f"250-{line}" for line in lines[:-1]] + [f"250 {lines[-1]}"]
        return ("\r\n".join(marked) + "\r\n").encode("ascii")

    def _greet(self, argument: bytes, *, is_extended: bool) -> bool:
        """Both greetings also end a transaction (section 4.1.4)."""
        self._transaction = None
        if not argument or len(argument) > MAX_HELO:
            return False
        self._helo = argument.decode("ascii", "replace")
        self._is_extended = is_extended
        return True

    def _extensions(self) -> list[str]:
        found = [
            f"SIZE {self._door.limits.acceptance.message_bytes}",
            "8BITMIME",
            "SMTPUTF8",
            "PIPELINING",
            "ENHANCEDSTATUSCODES",
        ]
        if self._door.tls is not None and not self._link.tls:
            found.append("STARTTLS")
        if self._door.kind is DoorKind.SUBMISSION and self._link.tls:
            found.append("AUTH PLAIN LOGIN")
        return found

    async def _start_tls(self, argument: bytes) -> Reply | bytes:
        if argument:
            return smtp_replies.BAD_SYNTAX
        if self._link.tls:
            return smtp_replies.ALREADY_SECURE
        if self._door.tls is None:
            return smtp_replies.TLS_UNAVAILABLE
        await self._link.start_tls()
        self._helo, self._is_extended, self._transaction = "", False, None  # RFC 3207 section 4.2
        return b""

    async def _authenticate(self, argument: bytes) -> Reply | bytes:
        if self._door.kind is not DoorKind.SUBMISSION:
            return smtp_replies.UNKNOWN_COMMAND
        if not self._link.tls:
            return smtp_replies.TLS_REQUIRED
        if self._door.is_sealed:  # before any name or password is asked for
            return smtp_replies.AUTHENTICATION_DOWN
        if not self._is_extended or self._submitter is not None or self._transaction is not None:
            return smtp_replies.BAD_SEQUENCE
        if self._door.failures.is_blocked(self._link.peer_address):
            return smtp_replies.TOO_MANY_FAILURES
        offered = await self._offered(argument)
        return await self._checked(offered) if isinstance(offered, Credentials) else offered

    async def _offered(self, argument: bytes) -> Credentials | Reply:
        """The exchange of RFC 4954 section 4, with or without an initial response."""
        mechanism, _, initial = argument.partition(b" ")
        match mechanism.upper():
            case b"PLAIN":
                answer = initial or await self._asked(b"")
                found = None if isinstance(answer, Reply) else plain_credentials(answer)
                problem = answer if isinstance(answer, Reply) else smtp_replies.BAD_SYNTAX
            case b"LOGIN":
                name = initial or await self._asked(LOGIN_ASKS_NAME)
                password = name if isinstance(name, Reply) else await self._asked(LOGIN_ASKS_PASSWORD)
                found = _login_credentials(name, password)
                problem = password if isinstance(password, Reply) else smtp_replies.BAD_SYNTAX
            case _:
                return smtp_replies.MECHANISM_UNKNOWN
        return problem if found is None else found

    async def _asked(self, challenge: bytes) -> bytes | Reply:
        self._link.say(b"334 " + challenge + b"\r\n")
        answer = await self._wire.line(MAX_CREDENTIAL_LINE)
        return smtp_replies.SIGN_IN_CANCELLED if answer == b"*" else answer

    async def _checked(self, credentials: Credentials) -> Reply:
        """Success is told at once, failure after a time that says nothing."""
        loop = asyncio.get_running_loop()
        begun_at = loop.time()
        peer = self._link.peer_address
        if self._door.failures.is_blocked(peer, credentials.login):
            return smtp_replies.TOO_MANY_FAILURES
        self._door.failures.begin(peer)
        try:
            self._submitter = await loop.run_in_executor(self._door.password_threads, self._find_submitter, credentials)
        except Exception:
            logger.exception("authentication unavailable")
            return smtp_replies.AUTHENTICATION_DOWN
        if self._submitter is not None:
            self._door.failures.succeeded(peer, credentials.login)
            return smtp_replies.AUTHENTICATED
        logger.info("submission sign-in failed")
        await asyncio.sleep(begun_at + FAILURE_SECONDS - loop.time())
        self._failed_sign_ins += 1
        is_last = self._failed_sign_ins >= FAILURES_PER_CONNECTION
        return smtp_replies.TOO_MANY_FAILURES if is_last else smtp_replies.SIGN_IN_FAILED

    def _find_submitter(self, credentials: Credentials) -> Submitter | None:
        submitters = self._door.submitters
        return submitters.authenticate(credentials.login, credentials.password) if submitters else None

    async def _mail(self, argument: bytes) -> Reply | bytes:
        if closed := self._why_closed():
            return closed
        if not self._helo or self._transaction is not None:
            return smtp_replies.BAD_SEQUENCE
        limit = self._door.limits.acceptance.message_bytes
        command = smtp_acceptance.parse_mail(
            argument,
            is_extended=self._is_extended,
            is_submission=self._door.kind is DoorKind.SUBMISSION,
            message_bytes=limit,
        )
        if isinstance(command, Reply):
            return command
        if not self._may_send_as(command.sender):
            return smtp_replies.FALSE_SENDER
        if not self._door.taker.has_room():  # RFC 1870 section 6.1 (2): before the message is sent
            return smtp_replies.SPOOL_FULL
        self._transaction = _Transaction(command.sender, command.allows_utf8)
        return smtp_replies.SENDER_OK

    def _why_closed(self) -> Reply | None:
        """Why no message of this peer is taken, before anything is known of it."""
        door = self._door
        if door.kind is DoorKind.SUBMISSION and self._submitter is None:
            return self._why_nobody_signed_in()
        if door.latch is not None and door.latch.keeps_out(self._link.peer_address):
            return smtp_replies.NOT_YET
        return None

    def _why_nobody_signed_in(self) -> Reply:
        if self._door.is_sealed:
            return smtp_replies.UNAVAILABLE
        return smtp_replies.SIGN_IN_REQUIRED if self._link.tls else smtp_replies.TLS_REQUIRED

    def _may_send_as(self, sender: Address | None) -> bool:
        if self._submitter is None:
            return True
        return sender is not None and self._door.addresses.owns(self._submitter.actor.account, sender)

    async def _rcpt(self, argument: bytes) -> Reply | bytes:
        transaction = self._transaction
        if transaction is None:
            return smtp_replies.BAD_SEQUENCE
        if len(transaction.recipients) >= self._door.limits.acceptance.recipients:
            return smtp_replies.TOO_MANY_RECIPIENTS
        address = smtp_acceptance.parse_rcpt(
            argument, allows_utf8=transaction.allows_utf8, postmaster_domain=self._door.domain
        )
        if isinstance(address, Reply):
            return address
        try:
            located = await self._located(address)
        except CannotTellError:
            return smtp_replies.CANNOT_TELL
        problem = smtp_acceptance.recipient_problem(located, may_leave_the_practice=self._submitter is not None)
        if problem is not None:
            return problem
        transaction.recipients.setdefault(address.canonical, address)
        return smtp_replies.RECIPIENT_OK

    async def _located(self, address: Address) -> Located:
        found = self._door.addresses.find(address, peer=self._link.peer_address)
        return found if isinstance(found, Located) else await self._door.settlements.of(found)

    async def _data(self, argument: bytes) -> Reply | bytes:
        transaction = self._transaction
        if argument:
            return smtp_replies.BAD_SYNTAX
        if transaction is None or not transaction.recipients:
            return smtp_replies.BAD_SEQUENCE
        self._link.say(smtp_replies.GO_AHEAD)
        with self._door.under_way.share(self._link.peer_address) as share:
            with self._link.receiving():
                content = await self._wire.message(self._door.limits.acceptance.message_bytes, share)
            self._transaction = None
            return await self._taken(transaction, content)

    async def _taken(self, transaction: _Transaction, content: bytes | Unread) -> Reply:
        if isinstance(content, Unread):
            return smtp_replies.TOO_LARGE if content is Unread.TOO_LARGE else smtp_replies.NO_MEMORY
        with self._link.committing():
            received = self._received(transaction, content)
            judged = received if self._door.scanning is None else await self._judged(received, self._door.scanning)
            return judged if isinstance(judged, Reply) else await self._stored(judged)

    async def _judged(self, received: ReceivedMessage, scanning: MailScanning) -> ReceivedMessage | Reply:
        """What the scanners say of it, kept with it; or why it is not taken."""
        try:
            match await scanning.judged(received):
                case Refused() as refused:
                    return smtp_replies.of_refusal(refused)
                case PutOff():
                    return smtp_replies.NOT_SCANNED
                case Scan() as scan:
                    return replace(received, scan=scan)
        except Exception:
            logger.exception("message could not be judged")
            return smtp_replies.OUR_FAULT

    def _received(self, transaction: _Transaction, content: bytes) -> ReceivedMessage:
        account = self._submitter.actor.account if self._submitter else None
        return ReceivedMessage(
            envelope=Envelope(transaction.sender, tuple(transaction.recipients.values())),
            content=content,
            received_at=self._door.clock.now(),
            origin=Origin.SUBMISSION if self._submitter else Origin.SMTP,
            peer=Peer(self._link.peer_address, self._helo, self._link.tls, account),
        )

    async def _stored(self, received: ReceivedMessage) -> Reply:
        """Store and answer. A peer that goes away does not stop the storing."""
        actor = self._submitter.actor if self._submitter else None
        try:
            if len(received.content) <= SMALL_MESSAGE:
                begun = self._door.taker.submit(received, actor)
            else:
                begun = await asyncio.shield(asyncio.to_thread(self._door.taker.submit, received, actor))
            if isinstance(begun, Refused):
                return smtp_replies.of_refusal(begun)
            message = await self._door.settlements.of(begun)
        except SpoolFullError:
            return smtp_replies.SPOOL_FULL
        except Exception:
            logger.exception("message could not be stored")
            return smtp_replies.OUR_FAULT
        logger.debug("message accepted", extra={"message_id": message})
        self.commands_since_message = 0
        return smtp_replies.STORED

    async def _reset(self, argument: bytes) -> Reply | bytes:
        if argument:
            return smtp_replies.BAD_SYNTAX
        self._transaction = None
        return smtp_replies.OK

    async def _nothing(self, _argument: bytes) -> Reply | bytes:
        return smtp_replies.OK

    async def _quit(self, argument: bytes) -> Reply | bytes:
        return smtp_replies.BAD_SYNTAX if argument else smtp_replies.GOODBYE

    async def _verify(self, argument: bytes) -> Reply | bytes:
        return smtp_replies.CANNOT_VERIFY if argument else smtp_replies.BAD_SYNTAX

    async def _help(self, _argument: bytes) -> Reply | bytes:
        return smtp_replies.HELP


def _login_credentials(name: bytes | Reply, password: bytes | Reply) -> Credentials | None:
    if isinstance(name, Reply) or isinstance(password, Reply):
        return None
    login, secret = decoded(name), decoded(password)
    return None if login is None or secret is None else credentials_from(login, secret)
