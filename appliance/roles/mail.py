"""The mail role: the pages of staff and patients over TLS, and the front door for what they write."""

from __future__ import annotations

from appliance import delivery_wiring, health, portal_server, portal_wiring, published_files, wiring
from appliance.role_life import Station
from portal.app import create_app


def work(station: Station) -> None:
    """Serve pages until SIGTERM; requests under way are answered first."""
    portal_server.outlive_the_server()
    with wiring.in_role(station) as appliance, appliance.front_door() as front:
        lamps = delivery_wiring.route_preview(appliance, front)
        archive, report = portal_wiring.archive_room(appliance), health.WholeReport(appliance)
        pages = create_app(portal_wiring.parts(appliance, front.acceptance, lamps, archive=archive, health=report))
        app = published_files.before(pages, appliance.settings)
        portal_server.serve(app, station.data, station.sockets["portal"], station.when_ready)
