"""A whole vault in a folder, with real files, for tests that deposit, open, move and destroy."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from sqlalchemy import Connection

from mailstore import mailboxes, message_records
from mailstore.addresses import parse_mailbox
from mailstore.audit_entry import AuditFact
from mailstore.database import Database
from mailstore.deposit import Deposit, Depositor, FollowUp
from mailstore.destruction import Destruction
from mailstore.group_commit import GroupCommit
from mailstore.key_hierarchy import KeyRing, address_index
from mailstore.key_opener import CaptureOpener
from mailstore.message import (
    AccountId,
    Envelope,
    MessageId,
    MessageSummary,
    Origin,
    ReceivedMessage,
    RecipientPlan,
    RecipientState,
    Route,
    StoredMessage,
)
from mailstore.message_keys import MessageKeys
from mailstore.object_store import ObjectStore
from mailstore.object_store_local import LocalObjectStore
from mailstore.orphan_sweep import OrphanSweep, Swept
from mailstore.outbox import Kind
from mailstore.part_records import PartLinks
from mailstore.promotion import Promotion
from mailstore.repacking import Repacking
from mailstore.retrieval import Retrieval
from mailstore.spool import SpoolWriter
from mailstore.spool_gauge import SpoolGauge
from mailstore.spool_release import Released, SpoolRelease
from mailstore.time_witnesses import SetMachine
from mailstore.trusted_clock import TrustedClock
from mailstore.wall_clock import SetClock
from tests import database_room

NOW = datetime(2026, 3, 4, 5, 6, 7, 8, tzinfo=UTC)
RING = KeyRing(*(bytes([number]) * 32 for number in range(1, 11)))
ALICE = "alice@clinic.example"


@dataclass
class Vault:
    """Every part of the ground floor that holds mail, over one directory."""

    directory: Path
    ring: KeyRing = RING
    clock: SetClock = field(default_factory=lambda: SetClock(NOW))

    def __post_init__(self) -> None:
        self.directory.mkdir(exist_ok=True)
        self.keystore = database_room.keystore_of(self.directory)
        self.database = Database(database_room.rows_url(self.directory), self.ring.row_key)
        self.database.create_all()
        self.objects: ObjectStore = LocalObjectStore.made(self.directory / "objects")
        self.spool = self.directory / "spool"
        self.machine = SetMachine(self.clock)
        self.trusted_clock = TrustedClock(self.database, self.machine)

    def depositor(self, *, segment_bytes: int = 1 << 26) -> Depositor:
        commit = self.group_commit(segment_bytes=segment_bytes)
        return Depositor(commit, lookup_key=self.ring.lookup_key, randomness=os.urandom)

    def group_commit(self, *, segment_bytes: int = 1 << 26) -> GroupCommit:
        return GroupCommit(
            SpoolWriter(self.spool, os.urandom, segment_bytes=segment_bytes),
            self.keystore,
            self.database,
            capture_public=self.ring.capture.public,
            clock=self.clock,
            randomness=os.urandom,
        )

    def retrieval(self, ring: KeyRing | None = None) -> Retrieval:
        return Retrieval(self.database, self.message_keys(ring), self.spool, self.objects, randomness=os.urandom)

    def message_keys(self, ring: KeyRing | None = None) -> MessageKeys:
        return MessageKeys(self.keystore, CaptureOpener.of(ring or self.ring))

    def promotion(self, *, repacks: bool = True) -> Promotion:
        repack = self.repacking() if repacks else None
        return Promotion(
            self.database, self.spool, self.objects, clock=self.clock, randomness=os.urandom, repack=repack
        )

    def repacking(self) -> Repacking:
        return Repacking.over(
            self.database,
            self.keystore,
            self.objects,
            self.message_keys(),
            archive_key=self.ring.archive_key,
            clock=self.clock,
            randomness=os.urandom,
        )

    def gauge(self, cap_bytes: int = 1 << 40) -> SpoolGauge:
        """A gauge that looks at the disk whenever it is asked."""
        return SpoolGauge(self.spool, cap_bytes=cap_bytes, seconds=count().__next__)

    def release(self, dwell: timedelta = timedelta(0), *, cap_bytes: int = 1 << 40) -> Released:
        return SpoolRelease(
            self.database,
            self.keystore,
            self.spool,
            self.objects,
            links=PartLinks(self.ring.archive_key, os.urandom),
            clock=self.clock,
            dwell=dwell,
            is_pressed=self.gauge(cap_bytes).is_pressed,
        ).run()

    def orphan_sweep(self) -> OrphanSweep:
        return OrphanSweep(self.database, self.keystore, self.objects, clock=self.clock)

    def tidy(self) -> Swept:
        """All that the worker clears away, as if two hours passed between its two looks at the objects."""
        self.release()
        sweep = self.orphan_sweep()
        sweep.run()
        self.clock.advance(timedelta(hours=2))
        return sweep.run()

    def destruction(self) -> Destruction:
        links = PartLinks(self.ring.archive_key, os.urandom)
        return Destruction(self.database, self.keystore, self.spool, self.objects, links=links, clock=self.clock)

    def destroy(self, messages: Sequence[MessageId]) -> None:
        self.destruction().destroy(messages, certificate="certificate-1", forget=forget_nothing)

    def deposit(self, *deposits: Deposit) -> list[MessageId]:
        depositor = self.depositor()
        futures = [depositor.submit(each) for each in deposits]
        depositor.close()
        return [future.result() for future in futures]

    def mailbox(self, account: str = "a" * 26, address: str = ALICE) -> str:
        with self.database.write() as connection:
            index = address_index(self.ring.lookup_key, parse_mailbox(address))
            return mailboxes.create(connection, AccountId(account), index).id

    def stored(self, message: MessageId) -> StoredMessage:
        with self.database.read() as connection:
            return message_records.stored(connection, message)

    def files_hold(self, needle: bytes) -> bool:
        return any(needle in path.read_bytes() for path in self.directory.rglob("*") if path.is_file())

    def close(self) -> None:
        self.keystore.close()
        self.database.dispose()


def forget_nothing(connection: Connection, messages: Sequence[MessageId]) -> None:
    del connection, messages


def a_deposit(
    content: bytes = b"Subject: hello\r\n\r\nworld\r\n",
    *,
    summary: MessageSummary | None = None,
    mailbox: str | None = None,
    sent_mailbox: str | None = None,
    recipients: int = 1,
) -> Deposit:
    plans = tuple(
        RecipientPlan(
            parse_mailbox(f"alice+{number}@clinic.example"),
            Route.MAILBOX,
            ("the address is ours",),
            RecipientState.DELIVERED,
            mailbox,
        )
        for number in range(recipients)
    )
    envelope = Envelope(parse_mailbox("sender@elsewhere.example"), tuple(plan.address for plan in plans))
    return Deposit(
        received=ReceivedMessage(envelope, content, NOW, Origin.SMTP),
        summary=summary or MessageSummary(subject="hello", from_="Sender", sender="sender@elsewhere.example"),
        recipients=plans,
        follow_up=(FollowUp(Kind.CAPTURE),),
        facts=(AuditFact("message.accepted", "system"),),
        sent_mailbox=sent_mailbox,
    )


def sent_by(deposit: Deposit, sender: str) -> Deposit:
    """The same deposit with another sender in the envelope."""
    envelope = replace(deposit.received.envelope, sender=parse_mailbox(sender))
    return replace(deposit, received=replace(deposit.received, envelope=envelope))
