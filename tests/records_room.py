"""A whole archive in a folder, with real files and a real index, for tests of schedules, holds and disposals."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from appliance import set_aside
from archive import archive_records, doubted_captures, tables
from archive.archive_records import ArchiveEntry
from archive.certification import Issuer, StaffMember
from archive.evidence import ReadDocument
from archive.index_document import document_of
from archive.records_desk import ArchiveParts, RecordsDesk, open_desk
from archive.retention_schedule import UNCLASSIFIED
from archive.search_index import SearchIndex
from mailstore import audit_trail
from mailstore.actor import Actor, Role
from mailstore.addresses import parse_mailbox
from mailstore.audit_entry import AuditFact
from mailstore.deposit import Deposit
from mailstore.document_signing import SeedSigner
from mailstore.errors import TamperedError
from mailstore.guard_work import NO_GUARD_WORK, GuardWork
from mailstore.message import (
    AccountId,
    Envelope,
    MessageId,
    Origin,
    ReceivedMessage,
    RecipientPlan,
    RecipientState,
    Route,
    StoredMessage,
)
from mailstore.message_parts import parse, summary_of
from mailstore.object_guard import NoGuard, ObjectGuard
from mailstore.object_store import ObjectStore
from mailstore.retrieval import Retrieval
from tests import index_files
from tests.vault_room import Vault

RECORDS = Actor(AccountId("r" * 26), Role.RECORDS)
RECORDS_TOO = Actor(AccountId("s" * 26), Role.RECORDS)
APPROVER = Actor(AccountId("p" * 26), Role.APPROVER)
CLINICIAN = Actor(AccountId("c" * 26), Role.CLINICIAN)

NAMES = {RECORDS.account: "Rita Records", RECORDS_TOO.account: "Sam Second", APPROVER.account: "Paula Approver"}

SCHEDULE = """
[category.passing]
retain = "0 days"
clock = "receipt"
citation = "Practice policy"

[category.billing]
title = "Claims and payment"
retain = "10 years"
clock = "receipt"
citation = "42 CFR 422.504(d)"

[[rule]]
category = "passing"
match = "subject:newsletter"

[[rule]]
category = "billing"
match = "invoice"
"""

COOLING_OFF = timedelta(hours=168)
FIELDS = ("from", "sender", "to", "cc", "bcc", "reply-to", "resent-from", "resent-to", "resent-cc", "resent-bcc")


class OpenedDocuments:
    """Opens messages through the real retrieval; text attachments are read, others with ``secret`` in them are not."""

    def __init__(self, retrieval: Retrieval) -> None:
        self._retrieval = retrieval

    def read(self, message: StoredMessage) -> ReadDocument:
        parsed = parse(self._retrieval.content(message.id))
        summary = self._retrieval.summary(message)
        if parsed.problems:
            raise TamperedError("cannot be taken apart")
        recipients = tuple(parse_mailbox(each.address) for each in self._retrieval.recipients(message.id))
        texts = [part.content.decode() for part in parsed.attachments if part.content_type == "text/plain"]
        document = document_of(
            message=message.id,
            received_at=message.received_at,
            category=UNCLASSIFIED,
            envelope=Envelope(parse_mailbox(summary.sender) if summary.sender else None, recipients),
            header_fields={
                name: [value.decode("utf-8", "replace") for value in parsed.headers.values(name)] for name in FIELDS
            },
            subjects=[summary.subject],
            bodies=[body.text for body in parsed.bodies],
            file_names=[part.file_name for part in parsed.attachments],
            attachment_texts=texts,
            has_attachment=bool(parsed.attachments),
        )
        return ReadDocument(document, len(parsed.attachments) - len(texts))


@dataclass
class RecordsRoom:
    """The vault, its archive and its records desk."""

    directory: Path
    cooling_off: timedelta = COOLING_OFF
    objects: ObjectStore | None = None
    guard: ObjectGuard = field(default_factory=NoGuard)
    guard_work: GuardWork = NO_GUARD_WORK
    engine: str = "whoosh"
    vault: Vault = field(init=False)
    index: SearchIndex = field(init=False)
    desk: RecordsDesk = field(init=False)

    def __post_init__(self) -> None:
        self.vault = Vault(self.directory)
        self.clock = self.vault.clock
        self.vault.objects = self.objects or self.vault.objects
        self.vault.database.create_all(tables.METADATA)
        with self.vault.database.write() as connection:
            self.vault.trusted_clock.begin(connection)
        self.index = index_files.index_of(self.engine, self.directory / "index", self.vault.ring.index_key)
        self.documents = OpenedDocuments(self.vault.retrieval())
        issuer = Issuer(
            practice="Clinic Example",
            signer=SeedSigner.of(self.vault.ring),
            key_backup_days=30,
            staff=lambda account: StaffMember(NAMES[account], "records"),
        )
        parts = ArchiveParts(
            database=self.vault.database,
            keystore=self.vault.keystore,
            spool_directory=self.vault.spool,
            objects=self.vault.objects,
            index=self.index,
            documents=self.documents,
            ring=self.vault.ring,
            clock=self.clock,
            trusted_clock=self.vault.trusted_clock,
            randomness=os.urandom,
            guard=self.guard,
            guard_work=self.guard_work,
            refuse_copies=partial(set_aside.require_none, self.directory),
        )
        self.desk = open_desk(
            parts,
            issuer=issuer,
            certificates_directory=self.certificates,
            checkpoints_path=self.directory / "audit" / "checkpoints.jsonl",
            ledger_directory=self.directory / "ledger",
            cooling_off_hours=int(self.cooling_off.total_seconds() // 3600),
        )

    @property
    def certificates(self) -> Path:
        return self.directory / "certificates"

    def receive(
        self,
        subject: str = "newsletter",
        *,
        body: str = "hello",
        sender: str = "sender@elsewhere.example",
        to: tuple[str, ...] = ("alice@clinic.example",),
        headers: str = "",
        state: RecipientState = RecipientState.DELIVERED,
        content: bytes | None = None,
        mailbox: str | None = None,
        is_captured: bool = True,
        is_indexed: bool = False,
    ) -> MessageId:
        text = f"From: {sender}\r\nSubject: {subject}\r\n{headers}\r\n{body}\r\n"
        envelope = Envelope(parse_mailbox(sender), tuple(map(parse_mailbox, to)))
        received = ReceivedMessage(envelope, content or text.encode(), self.clock.now(), Origin.SMTP)
        plans = tuple(RecipientPlan(each, Route.MAILBOX, (), state, mailbox) for each in envelope.recipients)
        facts = (AuditFact("message.accepted", "system"),)
        [message] = self.vault.deposit(Deposit(received, summary_of(received, ""), plans, (), facts))
        if is_captured:
            self.capture(message, is_indexed=is_indexed)
        return message

    def capture(self, message: MessageId, *, is_indexed: bool = False) -> None:
        """What the intake does: one row, living holds; the index, which is slow, only where a test asks it."""
        stored, now = self.vault.stored(message), self.clock.now()
        evidence = self.desk.evidence.of(stored)
        if is_indexed and evidence.document is not None:
            self.index.add([evidence.document])
        with self.vault.database.write() as connection:
            proved_at = self.vault.trusted_clock.proved(connection) or now
            captured_at = max(now, proved_at)
            evidence = replace(evidence, captured_at=proved_at)
            entry = ArchiveEntry(message, stored.received_at, captured_at, UNCLASSIFIED, None, indexed_at=now)
            archive_records.insert_entries(connection, [entry])
            doubted_captures.note(connection, [message], captured_at=captured_at, proved_at=proved_at)
            self.desk.living_holds.join(connection, {message: evidence}, now=now)

    def put_in_force(self, text: str = SCHEDULE) -> str:
        schedule = self.desk.schedules.propose(RECORDS, text)
        self.desk.schedules.approve(APPROVER, schedule)
        return schedule

    def approved(self) -> str:
        """A disposal of everything due, approved and cooled off."""
        proposed = self.desk.disposals.propose(RECORDS)
        self.desk.disposals.approve(APPROVER, proposed.id, set_hash=proposed.set_hash)
        self.clock.advance(self.cooling_off)
        return proposed.id

    def is_alive(self, message: MessageId) -> bool:
        return self.vault.keystore.has_key(message)

    def events(self, name: str) -> list[str]:
        with self.vault.database.read() as connection:
            return [entry.object for entry in audit_trail.of_events(connection, [name])]
