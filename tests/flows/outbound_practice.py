"""A practice that sends: real rooms on real files, and an outside world of receiving servers."""

from __future__ import annotations

import asyncio
import ipaddress
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, func, select

from appliance import outbound_wiring
from appliance import tables as appliance_tables
from appliance.acceptance import Acceptance
from appliance.bounce_message import ReportingServer
from appliance.directory import Directory
from appliance.dkim_keys import DkimKeys, NewPair
from appliance.dkim_signing import DkimSigning
from appliance.message_trace import MessageTrace, TracedRecipient
from appliance.name_lookup import LookupSettings
from appliance.outbound_wiring import OutboundRules, OutboundStore
from appliance.outbox_worker import Worker, WorkerRules
from appliance.pickup_notice import NoticeSettings
from appliance.policy_fetching import FetchSettings
from appliance.policy_records import PolicyRecords
from appliance.retry_schedule import RetrySchedule
from appliance.settings import RouteSettings
from appliance.smtp_acceptance import AcceptanceLimits
from appliance.smtp_outbound import ClientSettings
from mailstore import audit_trail, mailboxes, message_records, outbox, tables
from mailstore.actor import Actor, Role
from mailstore.addresses import parse_mailbox
from mailstore.database import Database
from mailstore.deposit import Depositor
from mailstore.group_commit import GroupCommit
from mailstore.key_hierarchy import KeyRing, address_index
from mailstore.key_opener import CaptureOpener
from mailstore.mailboxes import Folder
from mailstore.message import AccountId, Envelope, MessageId, Origin, ReceivedMessage
from mailstore.message_keys import MessageKeys
from mailstore.object_store_local import LocalObjectStore
from mailstore.outbox import Kind
from mailstore.retrieval import Retrieval
from mailstore.spool import SpoolWriter
from mailstore.spool_gauge import SpoolGauge
from mailstore.wall_clock import SetClock
from portal.front_door import Accepted
from tests import database_room

DOCTOR = "doctor@clinic.example"
DOCTOR_ACTOR = Actor(AccountId("d" * 26), Role.CLINICIAN)
BEGINNING = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SCHEDULE = RetrySchedule(jitter_share=0)
RING = KeyRing(*(bytes([number]) * 32 for number in range(1, 11)))
LOOKUP_KEY = RING.lookup_key
DKIM_KEYS = DkimKeys(archive_key=RING.archive_key, randomness=os.urandom)
DKIM_PAIR = NewPair.made()
LETTER = b"From: doctor@clinic.example\r\nSubject: CANARY-SUBJECT\r\n\r\nCANARY-BODY\r\n.dot\r\n"


def route(domain: str, port: int, ca_file: str = "", mx_name: str = "") -> RouteSettings:
    """A pinned route to a server of the outside world on this machine."""
    return RouteSettings(domain, mx_name or f"mx.{domain}", "127.0.0.1", port, ca_file)


@dataclass
class Outside:
    """Where the practice finds the world without pinned routes. Port 9 answers nobody."""

    dns_port: int = 9
    dns_proves: bool = False
    dns_seconds: float = 15.0
    mail_port: int = 25
    policy_port: int = 9
    public_certificate_suffices: bool = True


@dataclass
class OutboundPractice:
    """An open practice. ``step`` does everything that is due and returns when nothing more is under way."""

    folder: Path
    database: Database
    front_door: Acceptance
    directory: Directory
    retrieval: Retrieval
    clock: SetClock
    routes: list[RouteSettings] = field(default_factory=list)
    portal_accounts: set[str] = field(default_factory=set)
    reply_seconds: float = 20.0
    attempt_seconds: float = 120.0
    schedule: RetrySchedule = SCHEDULE
    outside: Outside = field(default_factory=Outside)

    def send(self, *recipients: str, content: bytes = LETTER, origin: Origin = Origin.SUBMISSION) -> MessageId:
        envelope = Envelope(parse_mailbox(DOCTOR), tuple(parse_mailbox(each) for each in recipients))
        received = ReceivedMessage(envelope, content, self.clock.now(), origin)
        answer = self.front_door.accept(received, DOCTOR_ACTOR)
        assert isinstance(answer, Accepted), answer
        return answer.message_id

    def rules(self) -> OutboundRules:
        return OutboundRules(
            client=ClientSettings(
                "mail.clinic.example",
                connect_seconds=20,
                reply_seconds=self.reply_seconds,
                data_seconds=self.reply_seconds,
            ),
            lookup=LookupSettings(
                own_name="mail.clinic.example",
                seconds=self.outside.dns_seconds,
                nameservers=("127.0.0.1",),
                nameserver_port=self.outside.dns_port,
                proves=self.outside.dns_proves,
                inner_networks=(ipaddress.ip_network("127.0.0.0/8"),),
                mail_port=self.outside.mail_port,
            ),
            routes=tuple(self.routes),
            schedule=self.schedule,
            notice=NoticeSettings(
                "Clinic", "The blue door is open", "https://portal.clinic.example/", "notices@clinic.example"
            ),
            server=ReportingServer("mail.clinic.example", "postmaster@clinic.example", "Clinic"),
            public_certificate_suffices=self.outside.public_certificate_suffices,
            fetching=FetchSettings(seconds=15, port=self.outside.policy_port),
            attempt_seconds=self.attempt_seconds,
        )

    def policies(self) -> PolicyRecords:
        return PolicyRecords(self.database, lookup_key=LOOKUP_KEY, account_key=RING.account_key, randomness=os.urandom)

    def worker(self) -> Worker:
        parts = outbound_wiring.outbound(
            OutboundStore(
                self.database, self.retrieval, self.clock, os.urandom, lambda: 0.0, LOOKUP_KEY, RING.account_key
            ),
            self.rules(),
            front_door=self.front_door,
            directory=self.directory,
            signing=DkimSigning(self.database, DKIM_KEYS, domain="clinic.example", clock=self.clock),
            has_portal_account=lambda address: address.canonical in self.portal_accounts,
            link_of=lambda message: f"https://portal.clinic.example/m/{message}",
        )
        return Worker(self.database, parts.work(), clock=self.clock, rules=WorkerRules(poll_seconds=0.02))

    def step(self, *, seconds: float = 20.0) -> None:
        """Do all that is due now, and what follows from it."""
        while not self.nothing_due():
            self.start_worker_once(seconds=seconds)

    def start_worker_once(self, *, seconds: float = 20.0) -> None:
        """A worker that starts, takes back what an earlier one had leased, and works until nothing is due."""
        asyncio.run(self._run_worker(seconds))

    async def _run_worker(self, seconds: float) -> None:
        worker = self.worker()
        running = asyncio.create_task(worker.run())
        async with asyncio.timeout(seconds):
            while not (worker.is_idle and await asyncio.to_thread(self.nothing_due)):  # noqa: ASYNC110 - see below
                await asyncio.sleep(0.01)  # what ends the wait is in the rows, which cannot set an event
        worker.stop()
        await running

    def nothing_due(self) -> bool:
        with self.database.read() as connection:
            due = outbox.next_due(connection, (Kind.DELIVER, Kind.NOTIFY, Kind.REPORT, Kind.BOUNCE))
            leased = connection.execute(select(func.count(tables.outbox.c.leased_until))).scalar_one()
        return not leased and (due is None or due > self.clock.now())

    def later(self, **span: float) -> None:
        self.clock.advance(timedelta(**span))

    def recipient(self, message: MessageId, position: int = 0) -> TracedRecipient:
        return MessageTrace(self.database, self.retrieval).trace(message).recipients[position]

    def events(self, message: MessageId) -> list[str]:
        with self.database.read() as connection:
            return [entry.event for entry in audit_trail.about(connection, message)]

    def inbox(self) -> list[bytes]:
        """What lies in the doctor's inbox, newest first."""
        with self.database.read() as connection:
            mailbox = mailboxes.of_account(connection, DOCTOR_ACTOR.account)
            assert mailbox is not None
            found = mailboxes.entries(connection, mailbox.id, Folder.INBOX, limit=100)
        return [self.retrieval.content(entry.message) for entry in found]

    def origins(self) -> list[Origin]:
        with self.database.read() as connection:
            ids = list(message_records.all_ids(connection))
            return [message_records.stored(connection, each).origin for each in ids]

    def waiting(self, kind: Kind) -> int:
        with self.database.read() as connection:
            return outbox.waiting(connection)[kind]


def doctor(_connection: Connection) -> AccountId:
    """Who reads what is written to the practice as such."""
    return DOCTOR_ACTOR.account


@contextmanager
def practice(folder: Path, *, make: bool = True, at: datetime = BEGINNING) -> Iterator[OutboundPractice]:
    """Open a practice in a folder; ``make`` it first, or find it as an earlier one left it."""
    ring = RING
    keystore = database_room.keystore_of(folder)
    database = Database(database_room.rows_url(folder), ring.row_key)
    if make:
        _create(database, ring)
    clock = SetClock(at)
    spool = folder / "spool"
    commit = GroupCommit(
        SpoolWriter(spool, os.urandom),
        keystore,
        database,
        capture_public=ring.capture.public,
        clock=clock,
        randomness=os.urandom,
    )
    depositor = Depositor(commit, lookup_key=ring.lookup_key, randomness=os.urandom)
    directory = Directory(database, lookup_key=ring.lookup_key, domains=["clinic.example"], caretaker=doctor)
    front_door = Acceptance(
        depositor,
        directory,
        gauge=SpoolGauge(spool, cap_bytes=1 << 40),
        limits=AcceptanceLimits(10_000_000),
        host_name="mail.clinic.example",
    )
    objects = LocalObjectStore.made(folder / "objects")
    retrieval = Retrieval(
        database, MessageKeys(keystore, CaptureOpener.of(ring)), spool, objects, randomness=os.urandom
    )
    try:
        yield OutboundPractice(folder, database, front_door, directory, retrieval, clock)
    finally:
        depositor.close()
        keystore.close()
        database.dispose()


def _create(database: Database, ring: KeyRing) -> None:
    database.create_all()
    database.create_all(appliance_tables.METADATA)
    with database.write() as connection:
        index = address_index(ring.lookup_key, parse_mailbox(DOCTOR))
        mailboxes.create(connection, DOCTOR_ACTOR.account, index)
    able_to_sign(database)


def able_to_sign(database: Database) -> None:
    """Give the practice a key to sign mail with."""
    with database.write() as connection:
        DKIM_KEYS.begin(connection, "clinic.example", DKIM_PAIR, now=BEGINNING)
