"""The archive's services over a vault, with a real index and a real reader of attachments, as pages get them."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta

from archive import tables
from archive.archive_listing import ArchiveListing
from archive.archive_reading import ArchiveReading
from archive.archive_search import ArchiveSearch, Mailboxes
from archive.certification import Issuer, StaffMember
from archive.document_reading import DocumentReader
from archive.intake import Intake
from archive.records_desk import ArchiveParts, RecordsDesk, open_desk
from archive.result_export import ResultExports
from archive.saved_searches import SavedSearches
from archive.sealed_details import SealedDetails
from archive.search_index_whoosh import WhooshIndex
from archive.text_extraction import TextExtractor
from archive.unread_mail import UnreadMail
from mailstore.document_signing import SeedSigner, signing_public
from mailstore.message import AccountId, MessageId
from portal.archive_room import ArchiveRoom
from tests import index_files
from tests.vault_room import Vault

NO_COOLING_OFF = timedelta(0)


class VaultArchive:
    """A real archive beside a vault. ``take`` does what the worker does for mail that came in."""

    def __init__(
        self,
        vault: Vault,
        staff: Callable[[AccountId], StaffMember],
        *,
        cooling_off: timedelta,
        mailboxes: Mailboxes = dict,
    ) -> None:
        self.vault = vault
        vault.database.create_all(tables.METADATA)
        self.index = WhooshIndex(index_files.storage_in(vault.directory / "index", vault.ring.index_key).create())
        self.extractor = TextExtractor()
        self.documents = DocumentReader(vault.retrieval(), self.extractor)
        self.checkpoints = vault.directory / "audit" / "checkpoints.jsonl"
        self.desk = self._desk(staff, cooling_off)
        retrieval = vault.retrieval()
        listing = ArchiveListing(database=vault.database, retrieval=retrieval, clock=vault.clock)
        self.room = ArchiveRoom(
            audit_public=signing_public(vault.ring.audit_seed),
            search=ArchiveSearch(
                database=vault.database,
                index=self.index,
                retrieval=retrieval,
                documents=self.documents,
                clock=vault.clock,
                mailboxes=mailboxes,
            ),
            exports=ResultExports(database=vault.database, index=self.index, retrieval=retrieval, clock=vault.clock),
            saved=SavedSearches(
                database=vault.database,
                index=self.index,
                details=SealedDetails(vault.ring.archive_key, os.urandom),
                clock=vault.clock,
                randomness=os.urandom,
            ),
            unread=UnreadMail(database=vault.database, listing=listing),
            reading=ArchiveReading(database=vault.database, retrieval=retrieval, clock=vault.clock),
            listing=listing,
            desk=self.desk,
            checkpoints_path=self.checkpoints,
        )

    def take(self, *messages: MessageId) -> None:
        intake = Intake(
            database=self.vault.database,
            documents=self.documents,
            index=self.index,
            schedule_in_force=self.desk.schedules.in_force,
            living_holds=self.desk.living_holds,
            evidence=self.desk.evidence,
            clock=self.vault.clock,
            trusted_clock=self.vault.trusted_clock,
        )
        for message in messages:
            intake.capture(message)
        intake.index(messages)

    def close(self) -> None:
        self.extractor.rest()

    def _desk(self, staff: Callable[[AccountId], StaffMember], cooling_off: timedelta) -> RecordsDesk:
        vault = self.vault
        parts = ArchiveParts(
            database=vault.database,
            keystore=vault.keystore,
            spool_directory=vault.spool,
            objects=vault.objects,
            index=self.index,
            documents=self.documents,
            ring=vault.ring,
            clock=vault.clock,
            trusted_clock=vault.trusted_clock,
            randomness=os.urandom,
        )
        issuer = Issuer(
            practice="Riverside Clinic",
            signer=SeedSigner.of(vault.ring),
            key_backup_days=30,
            staff=staff,
        )
        return open_desk(
            parts,
            issuer=issuer,
            certificates_directory=vault.directory / "certificates",
            checkpoints_path=self.checkpoints,
            ledger_directory=vault.directory / "ledger",
            cooling_off_hours=int(cooling_off.total_seconds() // 3600),
        )
