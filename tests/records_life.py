"""A practice with records: two officers, an administrator, a schedule in force and some mail in the archive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from appliance.health_finding import Finding, State
from mailstore.actor import Role
from mailstore.addresses import parse_mailbox
from mailstore.audit_entry import AuditFact
from mailstore.deposit import Deposit
from mailstore.message import Envelope, MessageId, Origin, ReceivedMessage, RecipientPlan, RecipientState, Route
from mailstore.message_parts import summary_of
from tests.portal_room import RUIZ, PortalRoom, Somebody, portal_room

SCHEDULE = """
[category.passing]
title = "Passing mail"
retain = "30 days"
clock = "receipt"
citation = "Practice policy 4.2"

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

CLOSED_PART = (
    "see the file\r\n--b\r\nContent-Type: application/zip; name=scan.zip\r\n"
    "Content-Disposition: attachment; filename=scan.zip\r\n\r\nPK\x03\x04\r\n--b--\r\n"
)
CHECKS = [
    Finding("disk space", State.FAIL, "120 MiB are free", "make room now"),
    Finding("certificate", State.WARN, "valid until 2026-04-30", "put a new server.pem into tls/"),
    Finding("audit", State.OK, "all is as it was written"),
    Finding("object lock", State.OFF, "mail lies on this disk, where nothing locks it"),
]


@dataclass
class RecordsLife:
    """The room, its people and its mail: newsletters that are due, an invoice, a scan that nobody can read."""

    room: PortalRoom
    officer: Somebody
    approver: Somebody
    administrator: Somebody
    newsletters: list[MessageId]
    river: MessageId
    invoice: MessageId
    scan: MessageId
    designed: MessageId

    def receive(self, subject: str, body: str = "hello", *, kind: str = "text/plain") -> MessageId:
        message = accept(self.room, subject, body, kind=kind)
        self.room.archive.take(message)
        return message


def accept(room: PortalRoom, subject: str, body: str, *, kind: str = "text/plain") -> MessageId:
    """A message from outside, stored and not yet archived."""
    head = f"From: Sam Sender <sam@elsewhere.example>\r\nMIME-Version: 1.0\r\nContent-Type: {kind}\r\n"
    start = "--b\r\nContent-Type: text/plain\r\n\r\n" if kind.startswith("multipart/") else ""
    return accept_from(room, head, subject, "sam@elsewhere.example", f"{start}{body}")


def accept_from(room: PortalRoom, head: str, subject: str, sender: str | None, body: str = "") -> MessageId:
    """As ``accept``, with header fields of its own; ``sender`` is the envelope's, None as of a bounce."""
    text = f"{head}To: <{RUIZ}>\r\nSubject: {subject}\r\n\r\n{body}\r\n"
    envelope = Envelope(parse_mailbox(sender) if sender else None, (parse_mailbox(RUIZ),))
    received = ReceivedMessage(envelope, text.encode(), room.clock.now(), Origin.SMTP)
    plan = RecipientPlan(envelope.recipients[0], Route.MAILBOX, (), RecipientState.DELIVERED)
    facts = (AuditFact("message.accepted", "system"),)
    message = room.depositor.deposit(Deposit(received, summary_of(received, ""), (plan,), (), facts))
    room.clock.advance(timedelta(minutes=1))
    return message


@contextmanager
def records_life(directory: Path) -> Iterator[RecordsLife]:
    """Everything above, 40 days after the mail came."""
    with portal_room(directory) as room:
        officer = room.staff("rita@clinic.example", Role.RECORDS, "Rita Records")
        approver = room.staff("paula@clinic.example", Role.APPROVER, "Paula Approver")
        administrator = room.staff("ada@clinic.example", Role.ADMIN, "Ada Admin")
        schedules = room.archive.desk.schedules
        schedules.approve(approver.actor, schedules.propose(officer.actor, SCHEDULE))
        room.health.found = list(CHECKS)
        life = RecordsLife(
            room,
            officer,
            approver,
            administrator,
            newsletters=[accept(room, f"Newsletter {number} of the gym", "Come and see") for number in (1, 2, 3)],
            river=accept(room, "Newsletter of the river walk", "Knee-friendly walks by the river"),
            invoice=accept(room, "Invoice 2026004", "For the surgery of the left knee"),
            scan=accept(room, "Scan", CLOSED_PART, kind="multipart/mixed; boundary=b"),
            designed=accept(room, "Results", "<p>The <b>knee</b> heals</p><script>1</script>", kind="text/html"),
        )
        room.archive.take(*life.newsletters, life.river, life.invoice, life.scan, life.designed)
        room.clock.advance(timedelta(days=40))
        yield life
