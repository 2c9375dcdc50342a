"""Puts the portal's services together from an open appliance."""

from __future__ import annotations

from datetime import timedelta

from appliance.front_door_wiring import RANDOMNESS
from appliance.settings import Settings
from appliance.wiring import Appliance
from portal.account_records import AccountRecords
from portal.archive_room import ArchiveRoom, HealthReport
from portal.conversations import Conversations
from portal.front_door import FrontDoor, RoutePreview
from portal.parts import Parts, accounts_of
from portal.people import People
from portal.reading import Reading
from portal.settings import PasswordCost, Pool, PortalSettings
from portal.sign_in import Desk, SignIn

HTTPS_PORT = 443


def portal_settings(settings: Settings) -> PortalSettings:
    """The portal's share of the settings, in its own words."""
    port = settings.portal.port
    tail = "" if port == HTTPS_PORT else f":{port}"
    names = {settings.portal_host, settings.practice.domain, "localhost", "127.0.0.1"} if _is_local(settings) else set()
    return PortalSettings(
        practice=settings.practice.name,
        origin=f"https://{settings.portal_host}{tail}",
        local_domains=frozenset({settings.practice.domain}),
        recognition_phrase=settings.practice.recognition_phrase,
        other_hosts=frozenset(f"{name}{tail}" for name in names),
        pools=tuple(Pool(pool.name, pool.address, pool.reply_window) for pool in settings.portal.pool),
        session_idle=timedelta(minutes=settings.sign_in.session_idle_minutes),
        session_life=timedelta(hours=settings.sign_in.session_hours),
        enrolment_life=timedelta(hours=settings.sign_in.enrolment_code_hours),
        password_cost=PasswordCost(settings.passwords.memory_kib, settings.passwords.passes, settings.passwords.lanes),
    )


def _is_local(settings: Settings) -> bool:
    return settings.portal.listen == "127.0.0.1"


def records(appliance: Appliance) -> AccountRecords:
    """The accounts."""
    return AccountRecords(
        appliance.database,
        account_key=appliance.ring.account_key,
        lookup_key=appliance.ring.lookup_key,
        randomness=RANDOMNESS,
    )


def desk(appliance: Appliance) -> Desk:
    """What signing in and enrolling work with."""
    settings = portal_settings(appliance.settings)
    return accounts_of(settings, appliance.database, appliance.ring, clock=appliance.clock, randomness=RANDOMNESS)


def sign_in(appliance: Appliance) -> SignIn:
    """Signing in."""
    return SignIn(desk(appliance))


def people(appliance: Appliance) -> People:
    """The people of the practice and its patients."""
    return People(desk(appliance), lookup_key=appliance.ring.lookup_key)


def parts(
    appliance: Appliance,
    front_door: FrontDoor,
    route_preview: RoutePreview,
    *,
    archive: ArchiveRoom,
    health: HealthReport,
) -> Parts:
    """Everything the pages are built from."""
    return Parts(
        settings=portal_settings(appliance.settings),
        database=appliance.database,
        ring=appliance.ring,
        retrieval=appliance.retrieval,
        front_door=front_door,
        route_preview=route_preview,
        archive=archive,
        health=health,
        clock=appliance.clock,
        randomness=RANDOMNESS,
    )


def conversations(appliance: Appliance) -> Conversations:
    """Which messages a person may see."""
    return Conversations(desk(appliance), appliance.retrieval, lookup_key=appliance.ring.lookup_key)


def reading(appliance: Appliance) -> Reading:
    """Opening messages, with an entry in the audit trail for each."""
    return Reading(desk(appliance), appliance.retrieval, conversations(appliance), people(appliance))
