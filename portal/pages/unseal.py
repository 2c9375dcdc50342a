"""How far an appliance is that was just unsealed, for those who may unseal it."""

from __future__ import annotations

from typing import Any

from litestar import Response

from mailstore.errors import NotFoundError
from portal import unsealing
from portal.visit import ANYBODY, Visit, shows


@shows(unsealing.PATH, audience=ANYBODY)
def unseal_page(visit: Visit) -> Response[Any]:
    """How much of what came meanwhile has been sorted in. Nothing is there for those who are far away."""
    opening = visit.portal.parts.opening
    if not unsealing.comes_from(visit.address, opening.near):
        raise NotFoundError("no such page")
    return visit.page("pages/unsealed.html", percent=opening.percent())


ROUTES = (unseal_page,)
