"""The mail role: the pages of staff and patients over TLS, and the front door for what they write."""

from __future__ import annotations

from appliance import (
    delivery_wiring,
    health,
    mail_scanning,
    portal_server,
    portal_wiring,
    published_files,
    scanned_front_door,
    wiring,
)
from appliance.refusal_record import AuditedRefusals
from appliance.role_life import Station
from portal.app import create_app


def work(station: Station) -> None:
    """Serve pages until SIGTERM; requests under way are answered first."""
    portal_server.outlive_the_server()
    with wiring.in_role(station) as appliance, appliance.front_door() as front:
        lamps = delivery_wiring.route_preview(appliance, front)
        archive, report = portal_wiring.archive_room(appliance), health.WholeReport(appliance)
        record = AuditedRefusals(appliance.database, appliance.clock)
        scanning = mail_scanning.of_settings(appliance.settings.scanning, record)
        door = scanned_front_door.before(front.acceptance, scanning)
        pages = create_app(portal_wiring.parts(appliance, door, lamps, archive=archive, health=report))
        app = published_files.before(pages, appliance.settings)
        portal_server.serve(app, station.data, station.sockets["portal"], station.when_ready)
