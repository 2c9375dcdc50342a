"""The records desk: schedules, holds and disposals put together over one archive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from archive.certificates import Certificates
from archive.certification import Certification, Issuer
from archive.disposal_certificate import public_key_pem
from archive.disposal_run import DisposalRun
from archive.disposals import Disposals
from archive.due_records import DueRecords
from archive.evidence import DocumentSource, EvidenceReader, OwnMailboxes, captured_at_of, own_mailboxes_of
from archive.holds import Holds
from archive.ledger_book import LedgerBook
from archive.living_holds import LivingHolds
from archive.object_guarding import ObjectGuarding
from archive.reclassification import Reclassification
from archive.record_fate import RecordFates
from archive.schedules import Schedules
from archive.sealed_details import SealedDetails
from archive.search_index import SearchIndex
from mailstore.database import Database
from mailstore.guard_work import NO_GUARD_WORK, GuardWork
from mailstore.keystore import Keystore
from mailstore.object_guard import NoGuard, ObjectGuard
from mailstore.object_store import ObjectStore
from mailstore.part_records import PartLinks
from mailstore.sealed_format import Randomness
from mailstore.trusted_clock import TrustedClock
from mailstore.wall_clock import Clock
from mailstore.working_keys import WorkingKeys


def _no_copies() -> None:
    """Keys lie in the keystore and in backups alone."""


@dataclass(frozen=True)
class ArchiveParts:
    """What the desk stands on. ``documents`` opens messages and takes them apart."""

    database: Database
    keystore: Keystore
    spool_directory: Path
    objects: ObjectStore
    index: SearchIndex
    documents: DocumentSource
    ring: WorkingKeys = field(repr=False)
    clock: Clock
    trusted_clock: TrustedClock
    randomness: Randomness
    guard: ObjectGuard = field(default_factory=NoGuard)
    guard_work: GuardWork = NO_GUARD_WORK
    refuse_copies: Callable[[], None] = _no_copies
    """Raises while a copy of the keys lies where no disposal reaches it."""


@dataclass(frozen=True)
class RecordsDesk:
    """Every service about records. ``living_holds`` and ``evidence`` are what the intake asks."""

    schedules: Schedules
    holds: Holds
    living_holds: LivingHolds
    evidence: EvidenceReader
    due_records: DueRecords
    disposals: Disposals
    disposal_run: DisposalRun
    certification: Certification
    certificates: Certificates
    fates: RecordFates
    reclassification: Reclassification
    guarding: ObjectGuarding
    ledger: LedgerBook


def open_desk(
    parts: ArchiveParts,
    *,
    issuer: Issuer,
    certificates_directory: Path,
    checkpoints_path: Path,
    ledger_directory: Path,
    cooling_off_hours: int,
) -> RecordsDesk:
    """The desk over these parts."""
    ledger = LedgerBook(
        ledger_directory,
        database=parts.database,
        keystore=parts.keystore,
        signer=issuer.signer,
        clock=parts.clock,
    )
    return _Furnishing(
        parts, issuer, certificates_directory, checkpoints_path, cooling_off_hours=cooling_off_hours, ledger=ledger
    ).desk()


@dataclass(frozen=True)
class _Furnishing:
    """Makes each service once, after those that it stands on."""

    parts: ArchiveParts
    issuer: Issuer
    certificates_directory: Path
    checkpoints_path: Path
    cooling_off_hours: int
    ledger: LedgerBook

    def desk(self) -> RecordsDesk:
        certificates = Certificates(
            database=self.parts.database,
            public_key=public_key_pem(self.issuer.signer.certificate_public),
            directory=self.certificates_directory,
        )
        return RecordsDesk(
            schedules=self.schedules,
            holds=self.holds(),
            living_holds=self.living,
            evidence=self.evidence,
            due_records=self.due_records,
            disposals=self.disposals(),
            disposal_run=self.disposal_run(),
            certification=self.certification,
            certificates=certificates,
            fates=RecordFates(database=self.parts.database, due_records=self.due_records),
            reclassification=self.reclassification(),
            guarding=self.guarding,
            ledger=self.ledger,
        )

    @cached_property
    def details(self) -> SealedDetails:
        return SealedDetails(self.parts.ring.archive_key, self.parts.randomness)

    @cached_property
    def own_mailboxes(self) -> OwnMailboxes:
        return own_mailboxes_of(self.parts.database, self.parts.ring.lookup_key)

    @cached_property
    def evidence(self) -> EvidenceReader:
        return EvidenceReader(
            documents=self.parts.documents,
            own_mailboxes=self.own_mailboxes,
            captured_at=captured_at_of(self.parts.database),
        )

    @cached_property
    def living(self) -> LivingHolds:
        return LivingHolds(details=self.details, own_mailboxes=self.own_mailboxes)

    @cached_property
    def schedules(self) -> Schedules:
        return Schedules(
            database=self.parts.database,
            details=self.details,
            evidence=self.evidence,
            clock=self.parts.clock,
            randomness=self.parts.randomness,
        )

    @cached_property
    def due_records(self) -> DueRecords:
        return DueRecords(
            database=self.parts.database,
            schedules=self.schedules,
            living=self.living,
            evidence=self.evidence,
            clock=self.parts.trusted_clock,
        )

    @cached_property
    def guarding(self) -> ObjectGuarding:
        return ObjectGuarding(
            database=self.parts.database, schedules=self.schedules, guard=self.parts.guard, clock=self.parts.clock
        )

    @cached_property
    def certification(self) -> Certification:
        return Certification(
            database=self.parts.database,
            schedules=self.schedules,
            issuer=self.issuer,
            directory=self.certificates_directory,
            checkpoints_path=self.checkpoints_path,
            clock=self.parts.clock,
        )

    def holds(self) -> Holds:
        return Holds(
            database=self.parts.database,
            details=self.details,
            living=self.living,
            schedules=self.schedules,
            evidence=self.evidence,
            due_records=self.due_records,
            clock=self.parts.clock,
            trusted_clock=self.parts.trusted_clock,
            randomness=self.parts.randomness,
            keep_ledger=self.ledger.keep,
            guard_work=self.parts.guard_work,
        )

    def disposals(self) -> Disposals:
        return Disposals(
            database=self.parts.database,
            due_records=self.due_records,
            schedules=self.schedules,
            clock=self.parts.clock,
            trusted_clock=self.parts.trusted_clock,
            randomness=self.parts.randomness,
            cooling_off_hours=self.cooling_off_hours,
        )

    def disposal_run(self) -> DisposalRun:
        return DisposalRun(
            database=self.parts.database,
            keystore=self.parts.keystore,
            spool_directory=self.parts.spool_directory,
            objects=self.parts.objects,
            links=PartLinks(self.parts.ring.archive_key, self.parts.randomness),
            index=self.parts.index,
            due_records=self.due_records,
            guarding=self.guarding,
            certification=self.certification,
            clock=self.parts.clock,
            trusted_clock=self.parts.trusted_clock,
            randomness=self.parts.randomness,
            keep_ledger=self.ledger.keep,
            refuse_copies=self.parts.refuse_copies,
        )

    def reclassification(self) -> Reclassification:
        return Reclassification(
            database=self.parts.database,
            schedules=self.schedules,
            evidence=self.evidence,
            index=self.parts.index,
            clock=self.parts.clock,
            guard_work=self.parts.guard_work,
        )
