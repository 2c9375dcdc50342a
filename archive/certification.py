"""Issues the certificate of a completed disposal: proof from the audit log, signature, files that a stranger can take.

The certificate is a row first and files second, so that a crash between them, or a lost file, is mended by asking for
it again: the same bytes come out.
"""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from archive import disposal_records, schedule_records
from archive.disposal_certificate import (
    AuditProof,
    Authority,
    Destroyed,
    Disposal,
    Person,
    issue,
    public_key_pem,
)
from archive.disposal_records import CertificateRecord, DisposalItem, DisposalRecord, ItemState
from archive.schedules import Schedules
from archive.verify_certificate import COMPLETED
from mailstore import audit_trail, key_copies
from mailstore.audit_entry import AuditEntry
from mailstore.database import Database
from mailstore.document_signing import DocumentSigner
from mailstore.durable_file import make_directory, replace
from mailstore.errors import StorageUnavailableError, TamperedError
from mailstore.failpoint import reached
from mailstore.message import AccountId
from mailstore.wall_clock import Clock

PUBLIC_KEY_FILE = "disposal.pem"


@dataclass(frozen=True)
class StaffMember:
    """Who an account belongs to, for a certificate."""

    name: str
    role: str


@dataclass(frozen=True)
class Issuer:
    """What the practice brings to its certificates. ``key_backup_days``: how long backups of keys are kept at most."""

    practice: str
    signer: DocumentSigner
    key_backup_days: int
    staff: Callable[[AccountId], StaffMember]


class Certification:
    """Issues certificates, once each, and writes their files."""

    def __init__(
        self,
        *,
        database: Database,
        schedules: Schedules,
        issuer: Issuer,
        directory: Path,
        checkpoints_path: Path,
        clock: Clock,
    ) -> None:
        self._database = database
        self._schedules = schedules
        self._issuer = issuer
        self._directory = directory
        self._checkpoints_path = checkpoints_path
        self._clock = clock

    def refuse_damaged_log(self) -> None:
        """Raises ``TamperedError`` when the audit log does not hold: then nobody can say what was approved."""
        key = self._issuer.signer.audit_public
        report = audit_trail.verify(self._database, public_key=key, checkpoints_path=self._checkpoints_path)
        if report.first_bad is not None:
            raise TamperedError(f"the audit log does not hold: {report.first_bad.problem}")

    def certify(self, record: DisposalRecord) -> Path:
        """The path of the JSON of a completed disposal's certificate, which is issued when it was not yet."""
        with self._database.read() as connection:
            issued = disposal_records.certificate_of(connection, record.id)
        document = issued.document if issued else self._issued(record)
        return self._written(str(record.certificate), document)

    def _issued(self, record: DisposalRecord) -> bytes:
        now = self._clock.now()
        proof = self._proof(record, now)
        document = issue(self._statement(record), proof=proof, issued_at=now, signer=self._issuer.signer)
        issued = CertificateRecord(str(record.certificate), record.id, now, document)
        with self._database.write() as connection:
            found = disposal_records.certificate_of(connection, record.id)
            if found is None:
                disposal_records.insert_certificate(connection, issued)
        reached("certification.after_row")
        return found.document if found else document

    def _proof(self, record: DisposalRecord, now: datetime) -> AuditProof:
        signer = self._issuer.signer
        checkpoint = audit_trail.write_checkpoint(self._database, self._checkpoints_path, signer=signer, now=now)
        with self._database.read() as connection:
            entry = self._completion(audit_trail.about(connection, record.id))
            proof = audit_trail.prove_inclusion(connection, entry.sequence, checkpoint.size)
        return AuditProof(entry, proof.proof, checkpoint, signer.audit_public)

    def _completion(self, entries: Iterable[AuditEntry]) -> AuditEntry:
        found = [entry for entry in entries if entry.event == COMPLETED]
        if len(found) != 1:
            raise TamperedError("the audit log does not tell of the completion of this disposal")
        return found[0]

    def _statement(self, record: DisposalRecord) -> Disposal:
        with self._database.read() as connection:
            items = disposal_records.items(connection, record.id)
            copies = tuple(key_copies.known(connection))
        kept = Counter(str(item.why) for item in items if item.state is ItemState.KEPT)
        return Disposal(
            certificate=str(record.certificate),
            disposal=record.id,
            practice=self._issuer.practice,
            authority=self._authority(record.schedule),
            proposed=self._person(record.proposed_by, record.proposed_at),
            approved=self._person(record.approved_by, record.approved_at),
            cooled_off_at=_known(record.cooled_off_at),
            run=self._person(record.run_by, record.started_at),
            completed_at=_known(record.completed_at),
            set_hash=record.set_hash,
            approved_count=record.messages,
            kept=kept,
            records=destroyed_records(items),
            key_backup_days=self._issuer.key_backup_days,
            key_copies=copies,
        )

    def _authority(self, schedule: str) -> Authority:
        with self._database.read() as connection:
            record = schedule_records.of(connection, schedule)
        return Authority(
            schedule=schedule,
            proposed_by=record.proposed_by,
            approved_by=str(record.approved_by),
            approved_at=_known(record.approved_at),
            categories=self._schedules.version(schedule).schedule.categories,
        )

    def _person(self, account: AccountId | None, at: datetime | None) -> Person:
        if account is None:
            raise TamperedError("a step of the disposal names nobody")
        member = self._issuer.staff(account)
        return Person(account=account, name=member.name, role=member.role, at=_known(at))

    def _written(self, certificate: str, document: bytes) -> Path:
        """The certificate, its picture for people, and the key to check it with, side by side."""
        from archive.certificate_pdf import certificate_pdf  # noqa: PLC0415 - fonts and all, 25 MB that no other step needs

        path = self._directory / f"{certificate}.json"
        key = public_key_pem(self._issuer.signer.certificate_public)
        files = {
            path: document,
            path.with_suffix(".pdf"): certificate_pdf(document),
            self._directory / PUBLIC_KEY_FILE: key,
        }
        try:
            make_directory(self._directory)
            with _one_writer(self._directory):
                for name, data in files.items():
                    if not name.exists() or name.read_bytes() != data:
                        replace(name, data)
                        reached("certification.after_file")
        except OSError as error:
            raise StorageUnavailableError("the certificate could not be written") from error
        return path


@contextmanager
def _one_writer(directory: Path) -> Iterator[None]:
    """Two runs of one disposal may end together; the lock falls with the process that holds it."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def destroyed_records(items: Iterable[DisposalItem]) -> tuple[Destroyed, ...]:
    """The records that died, as the certificate lists them: in the order of their ids."""
    return tuple(_destroyed(item) for item in items if item.state is ItemState.DESTROYED)


def _destroyed(item: DisposalItem) -> Destroyed:
    if item.salt is None or item.destroyed_at is None:
        raise TamperedError(f"the destruction of message {item.message} is not on record whole")
    return Destroyed(
        message=item.message,
        sealed_digest=item.sealed_digest,
        received_at=item.received_at,
        category=item.category,
        destroyed_at=item.destroyed_at,
        salt=item.salt,
    )


def _known(moment: datetime | None) -> datetime:
    if moment is None:
        raise TamperedError("a step of the disposal has no time")
    return moment
