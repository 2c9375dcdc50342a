"""What the floor above hands in, and the services that the pages call, made of it once."""

from __future__ import annotations

from dataclasses import dataclass, field

from mailstore.database import Database
from mailstore.retrieval import Retrieval
from mailstore.wall_clock import Clock
from mailstore.working_keys import WorkingKeys
from portal.account_records import AccountRecords, Randomness
from portal.archive_room import ArchiveRoom, HealthReport
from portal.assets import Assets
from portal.audit_log import AuditLog
from portal.conversations import Conversations
from portal.drafts import Drafts
from portal.enrolment import Enrolment
from portal.front_door import FrontDoor, RoutePreview
from portal.lamps import Lamps
from portal.own_account import OwnAccount
from portal.page_templates import PageTemplates
from portal.passwords import PasswordVault
from portal.people import Announce, People
from portal.reading import Reading
from portal.sessions import Sessions
from portal.settings import PortalSettings
from portal.sign_in import Desk, SignIn
from portal.throttles import Throttles
from portal.tracking import Tracking
from portal.unsealing import Opening
from portal.writing import Writing


@dataclass(frozen=True)
class Parts:
    """Everything the portal is built from. ``appliance.wiring`` picks the concrete pieces."""

    settings: PortalSettings
    database: Database
    ring: WorkingKeys = field(repr=False)
    retrieval: Retrieval
    front_door: FrontDoor
    route_preview: RoutePreview
    archive: ArchiveRoom
    health: HealthReport
    announce: Announce
    opening: Opening
    clock: Clock
    randomness: Randomness


@dataclass(frozen=True)
class Portal:
    """The services behind the pages."""

    parts: Parts
    desk: Desk
    sign_in: SignIn
    enrolment: Enrolment
    people: People
    own_account: OwnAccount
    conversations: Conversations
    reading: Reading
    writing: Writing
    lamps: Lamps
    tracking: Tracking
    archive: ArchiveRoom
    audit_log: AuditLog
    assets: Assets
    templates: PageTemplates


def accounts_of(
    settings: PortalSettings, database: Database, ring: WorkingKeys, *, clock: Clock, randomness: Randomness
) -> Desk:
    """Accounts, sessions and passwords alone: what commands need to add people and to sign them in."""
    records = AccountRecords(database, account_key=ring.account_key, lookup_key=ring.lookup_key, randomness=randomness)
    sessions = Sessions(
        database, settings, account_key=ring.account_key, lookup_key=ring.lookup_key, randomness=randomness
    )
    return Desk(
        database=database,
        settings=settings,
        records=records,
        sessions=sessions,
        throttles=Throttles(database, lookup_key=ring.lookup_key),
        vault=PasswordVault(settings.password_cost),
        clock=clock,
        randomness=randomness,
    )


def open_portal(parts: Parts) -> Portal:
    """The portal's services."""
    desk = accounts_of(parts.settings, parts.database, parts.ring, clock=parts.clock, randomness=parts.randomness)
    people = People(desk, lookup_key=parts.ring.lookup_key, announce=parts.announce)
    conversations = Conversations(desk, parts.retrieval, lookup_key=parts.ring.lookup_key)
    assets = Assets(parts.settings)
    return Portal(
        parts=parts,
        desk=desk,
        sign_in=SignIn(desk),
        enrolment=Enrolment(desk),
        people=people,
        own_account=OwnAccount(desk),
        conversations=conversations,
        reading=Reading(desk, parts.retrieval, conversations, people),
        writing=Writing(
            desk, people, conversations, Drafts(desk, account_key=parts.ring.account_key), parts.front_door
        ),
        lamps=Lamps(people, parts.route_preview),
        tracking=Tracking(desk, parts.retrieval, conversations, people, lookup_key=parts.ring.lookup_key),
        archive=parts.archive,
        audit_log=AuditLog(
            database=parts.database,
            people=people,
            audit_public=parts.archive.audit_public,
            checkpoints_path=parts.archive.checkpoints_path,
            clock=parts.clock,
        ),
        assets=assets,
        templates=PageTemplates(parts.settings, assets.versions()),
    )
