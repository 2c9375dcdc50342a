"""A running front door on loopback, with real sockets, a real vault and real TLS, for tests that speak SMTP."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import trustme

from appliance.acceptance import Acceptance
from appliance.directory import Caretaker, Directory, nobody
from appliance.first_run_mark import Latch
from appliance.mail_scanning import MailScanning
from appliance.smtp_acceptance import AcceptanceLimits
from appliance.smtp_authentication import Submitter
from appliance.smtp_door import Door, DoorKind, DoorLimits, MessageTaker
from appliance.smtp_inbound import SmtpService
from mailstore import mailboxes, message_records
from mailstore.actor import Actor, Role
from mailstore.deposit import Depositor
from mailstore.mailboxes import Folder
from mailstore.message import AccountId, MessageId, MessageSummary, StoredMessage, StoredRecipient
from tests.vault_room import Vault

DOMAIN = "clinic.example"
ALICE = "alice@clinic.example"
BOB = "bob@clinic.example"
ALICE_ACCOUNT = AccountId("a" * 26)
BOB_ACCOUNT = AccountId("b" * 26)
PASSWORD = "correct horse battery staple"
MAIL = b"From: sender@elsewhere.example\r\nTo: alice@clinic.example\r\nSubject: hello\r\n\r\nworld\r\n"
LIMITS = DoorLimits(AcceptanceLimits(1_000_000, recipients=100, hops=20), idle_seconds=20)


class AppPasswords:
    """Two people's app passwords in memory: the adapter that tests hand to the submission port."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def authenticate(self, login: str, password: str) -> Submitter | None:
        self.asked.append(login)
        accounts = {ALICE: ALICE_ACCOUNT, BOB: BOB_ACCOUNT}
        if login in accounts and password == PASSWORD:
            return Submitter(Actor(accounts[login], Role.CLINICIAN))
        return None


@dataclass
class FrontDoorRoom:
    """The SMTP ports of one clinic. ``taker`` may stand in front of the real acceptance to make it fail or wait."""

    directory: Path
    limits: DoorLimits = LIMITS
    taker: MessageTaker | None = None
    caretaker: Caretaker = nobody
    scanning: MailScanning | None = None
    latch: Latch | None = None
    ports: dict[str, int] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self.vault = Vault(self.directory)
        self.mailbox = self.vault.mailbox(ALICE_ACCOUNT, ALICE)
        self.vault.mailbox(BOB_ACCOUNT, BOB)
        self.depositor: Depositor = self.vault.depositor()
        lookup_key = self.vault.ring.lookup_key
        self.addresses = Directory(
            self.vault.database, lookup_key=lookup_key, domains=[DOMAIN], caretaker=self.caretaker
        )
        self.gauge = self.vault.gauge()
        self.acceptance = Acceptance(
            self.depositor,
            self.addresses,
            gauge=self.gauge,
            limits=self.limits.acceptance,
            host_name=f"mx.{DOMAIN}",
        )
        self.passwords = AppPasswords()
        self.authority = trustme.CA()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._started()
        return self

    def _started(self) -> None:
        mx = self.door(DoorKind.MX)
        submission = self.door(DoorKind.SUBMISSION)
        submission.submitters = self.passwords
        mx.scanning = submission.scanning = self.scanning
        mx.latch = self.latch
        self.service = SmtpService(mx=mx, submission=submission)
        sockets = {name: listening_socket() for name in ("smtp", "submission", "submissions")}
        self.ports = {name: int(each.getsockname()[1]) for name, each in sockets.items()}
        self._run(self.service.start(sockets))

    def door(self, kind: DoorKind) -> Door:
        """A port of this clinic, before anything is set that only some have."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(f"mx.{DOMAIN}", "127.0.0.1").configure_cert(context)
        return Door(
            kind,
            f"mx.{DOMAIN}",
            DOMAIN,
            self.limits,
            self.taker or self.acceptance,
            self.addresses,
            self.vault.clock,
            context,
        )

    def _run(self, coroutine: object) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)  # type: ignore[arg-type]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self.service.close())
        self._run(asyncio.sleep(0.05))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self.depositor.close()
        self.vault.close()

    def stored(self) -> list[StoredMessage]:
        with self.vault.database.read() as connection:
            ids = list(message_records.all_ids(connection))
            return [message_records.stored(connection, MessageId(each)) for each in ids]

    def inbox(self, mailbox: str | None = None, folder: Folder = Folder.INBOX) -> list[MessageId]:
        with self.vault.database.read() as connection:
            found = mailboxes.entries(connection, mailbox or self.mailbox, folder, 1000)
        return [entry.message for entry in found]

    def contents(self) -> list[bytes]:
        return [self.vault.retrieval().content(each.id) for each in self.stored()]

    def summary(self) -> MessageSummary:
        (stored,) = self.stored()
        return self.vault.retrieval().summary(stored)

    def recipients(self) -> tuple[StoredRecipient, ...]:
        (stored,) = self.stored()
        return tuple(self.vault.retrieval().recipients(stored.id))

    def client_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context

    @contextmanager
    def client(self, port: str = "smtp") -> Iterator[smtplib.SMTP]:
        number = self.ports[port]
        client: smtplib.SMTP
        if port == "submissions":
            client = smtplib.SMTP_SSL("127.0.0.1", number, timeout=20, context=self.client_context())
        else:
            client = smtplib.SMTP("127.0.0.1", number, timeout=20)
        try:
            yield client
        finally:
            with suppress(smtplib.SMTPException, OSError):
                client.quit()
            client.close()

    @contextmanager
    def signed_in(self, login: str = ALICE) -> Iterator[smtplib.SMTP]:
        with self.client("submissions") as client:
            client.login(login, PASSWORD)
            yield client

    @contextmanager
    def raw(self, port: str = "smtp", *, greet: bool = True) -> Iterator[RawClient]:
        with socket.create_connection(("127.0.0.1", self.ports[port]), timeout=20) as connection:
            client = RawClient(connection)
            if greet:
                client.reply()
                client.say(b"EHLO test.example\r\n")
            yield client


class RawClient:
    """A peer that sends exactly the bytes it is told to."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._buffer = b""

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def reply(self) -> bytes:
        """The next whole reply, all its lines; empty at the end of the connection."""
        lines = b""
        while True:
            while b"\r\n" not in self._buffer:
                try:
                    more = self.connection.recv(65_536)
                except ConnectionResetError:
                    more = b""
                if not more:
                    return lines
                self._buffer += more
            line, _, self._buffer = self._buffer.partition(b"\r\n")
            lines += line + b"\r\n"
            if line[3:4] != b"-":
                return lines

    def say(self, data: bytes) -> bytes:
        self.send(data)
        return self.reply()

    def say_nothing_for(self, seconds: float) -> None:
        self.connection.settimeout(seconds)
        with suppress(TimeoutError):
            self._buffer += self.connection.recv(65_536)
        self.connection.settimeout(20)

    def encrypt(self, context: ssl.SSLContext) -> None:
        assert self._buffer == b""
        self.connection = context.wrap_socket(self.connection, server_hostname="mx.clinic.example")

    def start_message(self, recipient: bytes = b"alice@clinic.example") -> None:
        assert self.say(b"MAIL FROM:<sender@elsewhere.example>\r\n").startswith(b"250")
        assert self.say(b"RCPT TO:<" + recipient + b">\r\n").startswith(b"250")
        assert self.say(b"DATA\r\n").startswith(b"354")


def listening_socket() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.bind(("127.0.0.1", 0))
    made.listen(128)
    return made


def with_limits(**changes: object) -> DoorLimits:
    return replace(LIMITS, **changes)  # type: ignore[arg-type]
