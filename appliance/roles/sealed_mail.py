"""The mail role while the appliance is sealed: one calm page for everybody, and the page that unseals for some.

It has no key and opens no database. What a person types goes to the key agent and nowhere else.
"""

from __future__ import annotations

from appliance import drain_progress, portal_server, sealed_pages
from appliance.role_life import Station


def work(station: Station) -> None:
    """Serve pages until SIGTERM; requests under way are answered first."""
    drain_progress.forget(station.data.drain_progress)
    portal_server.outlive_the_server()
    portal_server.serve(sealed_pages.portal(station), station.data, station.sockets["portal"], station.when_ready)
