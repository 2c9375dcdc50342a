"""The records desk: schedules, holds and disposals put together over one archive."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from archive.certificates import Certificates
from archive.certification import Certification, Issuer
from archive.disposal_run import DisposalRun
from archive.disposals import Disposals
from archive.due_records import DueRecords
from archive.evidence import DocumentSource, EvidenceReader, own_mailboxes_of
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
    database, clock, trusted, randomness = parts.database, parts.clock, parts.trusted_clock, parts.randomness
    details = SealedDetails(parts.ring.archive_key, randomness)
    own_mailboxes = own_mailboxes_of(database, parts.ring.lookup_key)
    evidence = EvidenceReader(documents=parts.documents, own_mailboxes=own_mailboxes)
    living = LivingHolds(details=details, own_mailboxes=own_mailboxes)
    schedules = Schedules(database=database, details=details, evidence=evidence, clock=clock, randomness=randomness)
    due_records = DueRecords(database=database, schedules=schedules, living=living, evidence=evidence, clock=trusted)
    guarding = ObjectGuarding(database=database, schedules=schedules, guard=parts.guard, clock=clock)
    certification = Certification(
        database=database,
        schedules=schedules,
        issuer=issuer,
        directory=certificates_directory,
        checkpoints_path=checkpoints_path,
        clock=clock,
    )
    ledger = LedgerBook(
        ledger_directory, database=database, keystore=parts.keystore, audit_seed=parts.ring.audit_seed, clock=clock
    )
    return RecordsDesk(
        schedules=schedules,
        holds=Holds(
            database=database,
            details=details,
            living=living,
            schedules=schedules,
            evidence=evidence,
            due_records=due_records,
            clock=clock,
            trusted_clock=trusted,
            randomness=randomness,
            keep_ledger=ledger.keep,
            guard_work=parts.guard_work,
        ),
        living_holds=living,
        evidence=evidence,
        due_records=due_records,
        disposals=Disposals(
            database=database,
            due_records=due_records,
            schedules=schedules,
            clock=clock,
            trusted_clock=trusted,
            randomness=randomness,
            cooling_off_hours=cooling_off_hours,
        ),
        disposal_run=DisposalRun(
            database=database,
            keystore=parts.keystore,
            spool_directory=parts.spool_directory,
            objects=parts.objects,
            links=PartLinks(parts.ring.archive_key, randomness),
            index=parts.index,
            due_records=due_records,
            guarding=guarding,
            certification=certification,
            clock=clock,
            trusted_clock=trusted,
            randomness=randomness,
            keep_ledger=ledger.keep,
        ),
        certification=certification,
        certificates=Certificates(database=database, certificate_seed=issuer.certificate_seed),
        fates=RecordFates(database=database, due_records=due_records),
        reclassification=Reclassification(
            database=database,
            schedules=schedules,
            evidence=evidence,
            index=parts.index,
            clock=clock,
            guard_work=parts.guard_work,
        ),
        guarding=guarding,
        ledger=ledger,
    )
