"""Puts the archive together from an open appliance: index, document reader, records desk, intake and search."""

from __future__ import annotations

from functools import partial

from appliance import account_wiring, object_store_wiring, set_aside
from appliance.front_door_wiring import RANDOMNESS, FrontDoorParts
from appliance.saved_search_duty import SavedSearchDuty
from appliance.wiring import Appliance
from archive import records_desk
from archive.archive_listing import ArchiveListing
from archive.archive_reading import ArchiveReading
from archive.archive_search import ArchiveSearch
from archive.certificates import Certificates
from archive.certification import Issuer, StaffMember
from archive.chosen_index import ChosenIndex, EngineFiles
from archive.decommission import Decommission
from archive.disposal_certificate import public_key_pem
from archive.document_reading import DocumentReader
from archive.engine_change import EngineChange
from archive.engine_records import Engine
from archive.index_care import IndexCare, RebuildMark
from archive.index_document import DEFINITION
from archive.index_secret import IndexSecrets
from archive.intake import Intake
from archive.records_desk import ArchiveParts, RecordsDesk
from archive.result_export import ResultExports
from archive.saved_searches import SavedSearches
from archive.sealed_details import SealedDetails
from archive.sealed_index_storage import SealedIndexStorage
from archive.search_index_sqlite import LIST_FOLDER, SqliteIndex
from archive.search_index_whoosh import WhooshIndex
from archive.text_extraction import TextExtractor
from archive.unread_mail import UnreadMail
from mailstore.addresses import Address, parse_mailbox
from mailstore.message import AccountId
from portal import access_rules

KEY_BACKUP_DAYS = 30
"""Backups of keys are kept this long at most; certificates say so (docs/operations)."""


def index(appliance: Appliance) -> ChosenIndex:
    """The sealed search index, of whichever engine is in use."""
    files = {
        Engine.WHOOSH: EngineFiles(lambda: WhooshIndex(index_storage(appliance)), appliance.data.index),
        Engine.SQLITE: EngineFiles(lambda: sqlite_index(appliance), appliance.data.sqlite_index),
    }
    return ChosenIndex(appliance.database, files, turn=appliance.data.engine_turn)


def index_storage(appliance: Appliance) -> SealedIndexStorage:
    """Where the engine ``whoosh`` keeps its files, and the secret that lists them."""
    secrets_of_index = IndexSecrets(appliance.data.index_secrets, appliance.ring.index_key)
    return SealedIndexStorage(appliance.data.index, secrets_of_index, words=DEFINITION)


def sqlite_index(appliance: Appliance) -> SqliteIndex:
    """The index of the engine ``sqlite``, and the secret that lists its parts."""
    directory = appliance.data.sqlite_index
    secrets_of_index = IndexSecrets(appliance.data.sqlite_index_secrets, appliance.ring.index_key)
    return SqliteIndex(directory, SealedIndexStorage(directory / LIST_FOLDER, secrets_of_index, words=DEFINITION))


def engine_change(appliance: Appliance) -> EngineChange:
    """What builds the index of the other engine beside the one in use, and swaps."""
    return EngineChange(
        database=appliance.database,
        index=index(appliance),
        documents=documents(appliance),
        clock=appliance.clock,
        mark=RebuildMark(appliance.data.engine_mark),
    )


def documents(appliance: Appliance) -> DocumentReader:
    """What opens messages and takes them apart; attachments are read by a limited child process."""
    return DocumentReader(appliance.retrieval, TextExtractor())


def desk(appliance: Appliance, reader: DocumentReader | None = None) -> RecordsDesk:
    """Schedules, holds and disposals. ``reader`` when the caller has one already."""
    parts = ArchiveParts(
        database=appliance.database,
        keystore=appliance.keystore,
        spool_directory=appliance.data.spool,
        objects=appliance.objects,
        index=index(appliance),
        documents=reader or documents(appliance),
        ring=appliance.ring,
        clock=appliance.clock,
        trusted_clock=appliance.trusted_clock,
        randomness=RANDOMNESS,
        guard=appliance.guard,
        guard_work=object_store_wiring.guard_work(appliance.settings),
        refuse_copies=partial(set_aside.require_none, appliance.data.path),
    )
    issuer = Issuer(
        practice=appliance.settings.practice.name,
        signer=appliance.signer,
        key_backup_days=KEY_BACKUP_DAYS,
        staff=lambda account: _staff_member(appliance, account),
    )
    return records_desk.open_desk(
        parts,
        issuer=issuer,
        certificates_directory=appliance.data.certificates,
        checkpoints_path=appliance.data.checkpoints,
        ledger_directory=appliance.data.ledger,
        cooling_off_hours=appliance.settings.disposal.cooling_off_hours,
    )


def decommission(appliance: Appliance) -> Decommission:
    """What two persons say who want the end of all of it."""
    return Decommission(
        database=appliance.database,
        living=desk(appliance).living_holds,
        clock=appliance.clock,
        trusted_clock=appliance.trusted_clock,
        randomness=RANDOMNESS,
        cooling_off_hours=appliance.settings.disposal.cooling_off_hours,
    )


def certificates(appliance: Appliance) -> Certificates:
    """Certificates that were issued."""
    return Certificates(
        database=appliance.database,
        public_key=public_key_pem(appliance.signer.certificate_public),
        directory=appliance.data.certificates,
    )


def intake(appliance: Appliance) -> Intake:
    """What takes every accepted message into the archive and the index."""
    records, reader = desk(appliance), documents(appliance)
    return Intake(
        database=appliance.database,
        documents=reader,
        index=index(appliance),
        schedule_in_force=records.schedules.recorded,
        living_holds=records.living_holds,
        evidence=records.evidence,
        clock=appliance.clock,
        trusted_clock=appliance.trusted_clock,
        guard_work=object_store_wiring.guard_work(appliance.settings),
    )


def search(appliance: Appliance, reader: DocumentReader | None = None) -> ArchiveSearch:
    """What the search page and the command ask."""
    return ArchiveSearch(
        database=appliance.database,
        index=index(appliance),
        retrieval=appliance.retrieval,
        documents=reader or documents(appliance),
        clock=appliance.clock,
        rebuild_mark=RebuildMark(appliance.data.rebuild_mark),
        mailboxes=lambda: _mailboxes(appliance),
    )


def exports(appliance: Appliance) -> ResultExports:
    """Lists of results as files."""
    return ResultExports(
        database=appliance.database, index=index(appliance), retrieval=appliance.retrieval, clock=appliance.clock
    )


def saved_searches(appliance: Appliance) -> SavedSearches:
    """Searches that people saved, and their daily run."""
    return SavedSearches(
        database=appliance.database,
        index=index(appliance),
        details=SealedDetails(appliance.ring.archive_key, RANDOMNESS),
        clock=appliance.clock,
        randomness=RANDOMNESS,
    )


def saved_search_duty(appliance: Appliance, front: FrontDoorParts) -> SavedSearchDuty:
    """What runs saved searches every day and writes to their owners."""
    return SavedSearchDuty(
        saved=saved_searches(appliance),
        accounts=account_wiring.records(appliance),
        database=appliance.database,
        front_door=front.acceptance,
        postmaster=Address("postmaster", appliance.settings.practice.domain),
        host_name=appliance.settings.mx_host,
        page=f"{account_wiring.portal_settings(appliance.settings).origin}/archive/saved",
        clock=appliance.clock,
    )


def listing(appliance: Appliance) -> ArchiveListing:
    """What lists show of messages."""
    return ArchiveListing(database=appliance.database, retrieval=appliance.retrieval, clock=appliance.clock)


def unread_mail(appliance: Appliance) -> UnreadMail:
    """What no search can find by its words."""
    return UnreadMail(database=appliance.database, listing=listing(appliance))


def index_care(appliance: Appliance, taking_in: Intake) -> IndexCare:
    """What makes the index anew when it is not what it was."""
    return IndexCare(
        database=appliance.database,
        intake=taking_in,
        opened=lambda: index(appliance),
        directory=index(appliance).directory,
        mark=RebuildMark(appliance.data.rebuild_mark),
    )


def reading(appliance: Appliance) -> ArchiveReading:
    """The archive's own door to messages."""
    return ArchiveReading(database=appliance.database, retrieval=appliance.retrieval, clock=appliance.clock)


def _mailboxes(appliance: Appliance) -> dict[str, str]:
    """The mailboxes of staff, those who left too, by canonical address."""
    with appliance.database.read() as connection:
        staff = account_wiring.records(appliance).of_roles(connection, access_rules.STAFF)
    return {parse_mailbox(each.person.email).canonical: each.person.name for each in staff}


def _staff_member(appliance: Appliance, account: AccountId) -> StaffMember:
    with appliance.database.read() as connection:
        found = account_wiring.records(appliance).by_id(connection, account)
    return StaffMember(found.person.name, found.role.value)
