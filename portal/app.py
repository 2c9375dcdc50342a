"""The web application: routes, limits, headers and error pages put together. No state but what ``Parts`` brings."""

from __future__ import annotations

from collections.abc import Sequence

from litestar import Litestar, Router
from litestar.datastructures import MutableScopeHeaders, State
from litestar.types import ControllerRouterHandler, Message, Scope

from portal import error_pages, security_headers
from portal.pages import (
    account,
    app_password,
    archive,
    assets_page,
    audit,
    compose,
    conversations,
    disposals,
    drafts,
    enrol,
    health,
    holds,
    inbox,
    message,
    patients,
    pickup,
    saved_searches,
    schedule,
    sent,
    sign_in,
    start,
    unseal,
    write,
)
from portal.parts import Parts, open_portal
from portal.visit import guard_the_gate, guard_the_uploads

FORM_OVERHEAD_BYTES = 1_000_000
"""Room beside the files of an upload for the text and the multipart frame."""

PAGES: tuple[Sequence[ControllerRouterHandler], ...] = (
    assets_page.ROUTES,
    start.ROUTES,
    sign_in.ROUTES,
    enrol.ROUTES,
    pickup.ROUTES,
    conversations.ROUTES,
    write.ROUTES,
    account.ROUTES,
    app_password.ROUTES,
    inbox.ROUTES,
    message.ROUTES,
    compose.ROUTES,
    drafts.ROUTES,
    sent.ROUTES,
    patients.ROUTES,
    archive.ROUTES,
    saved_searches.ROUTES,
    holds.ROUTES,
    disposals.ROUTES,
    schedule.ROUTES,
    audit.ROUTES,
    health.ROUTES,
    unseal.ROUTES,
)
"""One line a page module. The authorisation matrix in the tests is made from what stands here."""


def create_app(parts: Parts) -> Litestar:
    """The portal over these parts."""
    settings = parts.settings
    return Litestar(
        route_handlers=[Router(path="/", route_handlers=list(routes)) for routes in PAGES],
        guards=[guard_the_gate, guard_the_uploads],
        exception_handlers=error_pages.handlers(),
        before_send=[add_headers],
        request_max_body_size=settings.upload_limit_bytes + FORM_OVERHEAD_BYTES,
        state=State({"portal": open_portal(parts)}),
        openapi_config=None,
        logging_config=None,
        debug=False,
    )


async def add_headers(message: Message, scope: Scope) -> None:
    """The security headers on every answer, errors included; a page that set its own keeps them."""
    del scope
    if message["type"] != "http.response.start":
        return
    headers = MutableScopeHeaders.from_message(message)
    for name, value in security_headers.for_page().items():
        headers.setdefault(name, value)
