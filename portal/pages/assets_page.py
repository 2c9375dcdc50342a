"""The style sheet and the scripts."""

from __future__ import annotations

from litestar import Response

from portal import security_headers
from portal.visit import ANYBODY, Visit, shows


@shows("/static/{name:str}", audience=ANYBODY)
def asset(visit: Visit) -> Response[bytes]:
    """One static file, the same for everybody."""
    found = visit.portal.assets.get(visit.path("name"))
    return Response(found.content, media_type=found.content_type, headers=security_headers.for_asset())


ROUTES = (asset,)
