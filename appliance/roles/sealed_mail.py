"""The mail role while the appliance is sealed: one calm page for everybody, and the page that unseals for some.

It has no key and opens no database. What a person types goes to the key agent and nowhere else.
"""

from __future__ import annotations

from typing import Final

from appliance import drain_progress, portal_server, published_files, sealed_pages
from appliance.front_door_wiring import settings_of
from appliance.role_life import Station

GRACE_SECONDS: Final = 2
"""Every answer is short and ready, and whoever unsealed waits for the pages that come after."""


def work(station: Station) -> None:
    """Serve pages until SIGTERM; requests under way are answered first."""
    drain_progress.forget(station.data.drain_progress)
    portal_server.outlive_the_server()
    app = published_files.before(sealed_pages.portal(station), settings_of(station.data))
    listening = station.sockets["portal"]
    portal_server.serve(app, station.data, listening, station.when_ready, grace_seconds=GRACE_SECONDS)
