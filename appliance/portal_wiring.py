"""Puts the portal's services together from an open appliance."""

from __future__ import annotations

from appliance import account_wiring, archive_wiring, drain_progress
from appliance.account_wiring import portal_settings
from appliance.front_door_wiring import RANDOMNESS
from appliance.wiring import Appliance
from portal import unsealing
from portal.archive_room import ArchiveRoom, HealthReport
from portal.conversations import Conversations
from portal.front_door import FrontDoor, RoutePreview
from portal.parts import Parts, accounts_of
from portal.people import People
from portal.reading import Reading
from portal.sign_in import Desk, SignIn
from portal.unsealing import Opening


def desk(appliance: Appliance) -> Desk:
    """What signing in and enrolling work with."""
    settings = portal_settings(appliance.settings)
    return accounts_of(settings, appliance.database, appliance.ring, clock=appliance.clock, randomness=RANDOMNESS)


def sign_in(appliance: Appliance) -> SignIn:
    """Signing in."""
    return SignIn(desk(appliance))


def people(appliance: Appliance) -> People:
    """The people of the practice and its patients."""
    announce = account_wiring.door_list_file(appliance).bring_up_to_date
    return People(desk(appliance), lookup_key=appliance.ring.lookup_key, announce=announce)


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
        announce=account_wiring.door_list_file(appliance).bring_up_to_date,
        opening=_opening(appliance),
        clock=appliance.clock,
        randomness=RANDOMNESS,
    )


def _opening(appliance: Appliance) -> Opening:
    def percent() -> int | None:
        drained = drain_progress.read(appliance.data.drain_progress)
        if drained is None:
            return 0
        return None if drained.is_over else drained.percent

    return Opening(unsealing.networks_of(appliance.settings.portal.unseal_from), percent)


def conversations(appliance: Appliance) -> Conversations:
    """Which messages a person may see."""
    return Conversations(desk(appliance), appliance.retrieval, lookup_key=appliance.ring.lookup_key)


def reading(appliance: Appliance) -> Reading:
    """Opening messages, with an entry in the audit trail for each."""
    return Reading(desk(appliance), appliance.retrieval, conversations(appliance), people(appliance))


def archive_room(appliance: Appliance) -> ArchiveRoom:
    """Everything that the pages about records ask, with one reader of attachments for all of it."""
    reader = archive_wiring.documents(appliance)
    return ArchiveRoom(
        search=archive_wiring.search(appliance, reader),
        reading=archive_wiring.reading(appliance),
        exports=archive_wiring.exports(appliance),
        saved=archive_wiring.saved_searches(appliance),
        unread=archive_wiring.unread_mail(appliance),
        listing=archive_wiring.listing(appliance),
        desk=archive_wiring.desk(appliance, reader),
        checkpoints_path=appliance.data.checkpoints,
        audit_public=appliance.signer.audit_public,
    )
