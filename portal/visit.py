"""One request as a page sees it, and the two ways of declaring a page: ``shows`` (GET) and ``takes`` (POST).

Each page says for whom it is; the wrapper checks host, origin, session, form token and audience, in this order,
before the page's own code runs. The services check again on their own. Whether htmx asks changes how much is
rendered, never what is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

from litestar import Request, Response, get, post
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.types import Empty
from litestar_htmx import HTMXRequest

from mailstore.actor import Actor, Role
from portal import access_rules, forms, security_headers
from portal.errors import ForbiddenError, ForgedFormError, NotSignedInError, StepMissingError, UnknownHostError
from portal.forms import Form
from portal.parts import Portal
from portal.sessions import COOKIE, Session
from portal.sign_in_rules import Step

HTML = "text/html"
AUDIENCE = "audience"
UPLOADS = "uploads"
LONGEST_PATH = 512
FORM_LIMIT_BYTES = 1_000_000
"""For forms without files; those with files have the limit of the settings."""
NO_FORM = Form()


@dataclass(frozen=True)
class Audience:
    """Whom a page is for: visitors at certain steps, and of the signed-in ones those in certain roles."""

    name: str
    steps: frozenset[Step]
    roles: frozenset[Role] = frozenset()

    def admits(self, session: Session) -> bool:
        """True when the page may be shown to this session."""
        if session.step not in self.steps:
            return False
        return session.step is not Step.SIGNED_IN or session.role in self.roles


def _signed_in(name: str, roles: frozenset[Role]) -> Audience:
    return Audience(name, frozenset({Step.SIGNED_IN}), roles)


ANYBODY = Audience("anybody", frozenset(Step), access_rules.EVERYBODY)
WITH_PASSWORD = Audience("visitors who have given their password", frozenset({Step.PASSWORD_PROVEN}))
WITH_CODE = Audience("visitors who have given their code", frozenset({Step.CODE_PROVEN}))
WITH_NEW_PASSWORD = Audience("visitors who have chosen a password", frozenset({Step.PASSWORD_CHOSEN}))
EVERYBODY = _signed_in("everybody signed in", access_rules.EVERYBODY)
PATIENTS = _signed_in("patients", frozenset({Role.PATIENT}))
STAFF = _signed_in("staff", access_rules.STAFF)
CORRESPONDENTS = _signed_in("clinicians and front desk", access_rules.CORRESPONDENTS)
ENROLLERS = _signed_in("those who enrol patients", access_rules.CORRESPONDENTS | {Role.ADMIN})
RECORDS_OFFICERS = _signed_in("records officers and approvers", access_rules.RECORDS_OFFICERS)
ADMINISTRATORS = _signed_in("administrators", frozenset({Role.ADMIN}))


@dataclass(frozen=True)
class Visit:
    """A request, its session and its form, with the portal's services at hand."""

    portal: Portal
    request: HTMXRequest
    session: Session
    form: Form = field(default=NO_FORM, repr=False)
    is_new: bool = False

    @property
    def actor(self) -> Actor:
        """The signed-in person. Raises NotSignedInError."""
        actor = self.session.actor
        if actor is None:
            raise NotSignedInError("not signed in", fix="Sign in.")
        return actor

    @property
    def now(self) -> datetime:
        """The present instant, as the portal's clock tells it."""
        return self.portal.parts.clock.now()

    @property
    def address(self) -> str:
        """The network address that asks."""
        return self.request.client.host if self.request.client else "unknown"

    def path(self, name: str) -> str:
        """A piece of the path."""
        return str(self.request.path_params[name])

    def query(self, name: str, default: str = "") -> str:
        """A value from the query string."""
        return str(self.request.query_params.get(name, default))

    def number(self, name: str) -> int:
        """A whole number from 1 on from the query string; 1 for anything else, such as a page that cannot be."""
        text = self.query(name, "1")
        return max(int(text), 1) if re.fullmatch(r"[0-9]{1,9}", text) else 1

    def page(self, template: str, *, status: int = 200, **values: Any) -> Response[str]:
        """The rendered page, with this session's token for its forms."""
        is_part = bool(self.request.htmx) and not self.request.htmx.history_restore_request
        text = self.portal.templates.render(
            template,
            layout="part.html" if is_part else "base.html",
            form_token=self.session.form_token,
            actor=self.session.actor,
            ends_at=self.session.expires_at if self.session.actor else None,
            here=self.request.url.path,
            now=self.now,
            **values,
        )
        return Response(
            text, media_type=HTML, status_code=status, cookies=self._cookies(self.session if self.is_new else None)
        )

    def go(self, path: str, session: Session | None = None) -> Response[str]:
        """See Other (RFC 9110 section 15.4.4), with the cookie of a new session where there is one."""
        kept = session or (self.session if self.is_new else None)
        return Response("", media_type=HTML, status_code=303, headers={"Location": path}, cookies=self._cookies(kept))

    def plain(self, text: str, media_type: str, session: Session | None = None) -> Response[str]:
        """A small answer for a script."""
        return Response(text, media_type=media_type, status_code=200, cookies=self._cookies(session))

    def signed_out(self, path: str, session: Session) -> Response[str]:
        """As ``go``, and the browser forgets what it kept of us."""
        answer = self.go(path, session)
        answer.headers["Clear-Site-Data"] = '"cache", "storage"'
        return answer

    def _cookies(self, session: Session | None) -> list[Cookie]:
        if session is None:
            return []
        return [Cookie(key=COOKIE, value=session.id, path="/", secure=True, httponly=True, samesite="lax")]


Page = Callable[[Visit], Response[Any]]


def shows(path: str, *, audience: Audience) -> Callable[[Page], HTTPRouteHandler]:
    """Declare a page that is looked at. It changes nothing but what reading itself records."""

    def declare(page: Page) -> HTTPRouteHandler:
        def handler(request: Request[Any, Any, Any]) -> Response[Any]:
            return page(_admitted(_visit(request), audience))

        return _named(get(path, sync_to_thread=True, opt={AUDIENCE: audience}, media_type=HTML), page)(handler)

    return declare


def takes(path: str, *, audience: Audience, uploads: bool = False) -> Callable[[Page], HTTPRouteHandler]:
    """Declare a page that takes a form. ``uploads`` allows files, for people who are signed in."""

    def declare(page: Page) -> HTTPRouteHandler:
        def handler(request: Request[Any, Any, Any], body: bytes) -> Response[Any]:
            visit = _visit(request, _form(request, body))
            forms.require_token(visit.form, visit.session.form_token)
            return page(_admitted(visit, audience))

        options = {AUDIENCE: audience, UPLOADS: uploads}
        most = Empty if uploads else FORM_LIMIT_BYTES
        declared = post(
            path, sync_to_thread=True, opt=options, media_type=HTML, status_code=200, request_max_body_size=most
        )
        return _named(declared, page)(handler)

    return declare


def _named(declared: Any, page: Page) -> Callable[[Callable[..., Response[Any]]], HTTPRouteHandler]:
    def finish(handler: Callable[..., Response[Any]]) -> HTTPRouteHandler:
        handler.__name__, handler.__doc__, handler.__module__ = page.__name__, page.__doc__, page.__module__
        made: HTTPRouteHandler = declared(handler)
        return made

    return finish


def _visit(request: Request[Any, Any, Any], form: Form = NO_FORM) -> Visit:
    portal: Portal = request.app.state.portal
    found = portal.desk.sessions.find(request.cookies.get(COOKIE), portal.parts.clock.now())
    session = found or portal.desk.sessions.anonymous()
    return Visit(portal, HTMXRequest(request.scope), session, form, is_new=found is None)


def _form(request: Request[Any, Any, Any], body: bytes) -> Form:
    portal: Portal = request.app.state.portal
    content_type = request.headers.get("content-type", "")
    return forms.parse(body, content_type, files_at_most=portal.parts.settings.files_at_most)


def _admitted(visit: Visit, audience: Audience) -> Visit:
    """The visit, if the page is for it; otherwise the refusal that fits."""
    session = visit.session
    if audience.admits(session):
        return visit
    if session.step is Step.SIGNED_IN:
        if audience.roles:
            raise ForbiddenError("this page is for others", fix="Ask the administrator.")
        raise StepMissingError("already signed in")
    if audience.roles:
        raise NotSignedInError("this page needs a sign-in", fix="Sign in.")
    raise StepMissingError("an earlier step is missing", fix="Start at the sign-in page.")


async def guard_the_gate(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Before a body is read: the Host header must name us, and a form must come from our own pages."""
    del handler
    portal: Portal = connection.app.state.portal
    if connection.headers.get("host", "").lower() not in portal.parts.settings.hosts:
        raise UnknownHostError("the Host header names another site", fix="Use the address of the portal.")
    if connection.scope.get("method") in {"GET", "HEAD"}:
        return
    if not _comes_from_us(connection, portal.parts.settings.hosts):
        raise ForgedFormError("the form was sent from another site", fix="Open the page again.")


def _comes_from_us(connection: ASGIConnection[Any, Any, Any, Any], hosts: frozenset[str]) -> bool:
    """What the browser says of where a form stood. Silent browsers are left to the form token.

    ``Origin: null`` is what a page that sends no referrer says even to itself; Sec-Fetch-Site tells the two apart.
    """
    if connection.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return False
    origin = connection.headers.get("origin", "null")
    return origin == "null" or urlsplit(origin).netloc.lower() in hosts


def guard_the_uploads(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Before a large body is read: the sender must be signed in and in the right role."""
    if not handler.opt.get(UPLOADS):
        return
    portal: Portal = connection.app.state.portal
    session = portal.desk.sessions.find(connection.cookies.get(COOKIE), portal.parts.clock.now())
    audience: Audience = handler.opt[AUDIENCE]
    if session is None or session.actor is None:
        raise NotSignedInError("files are taken from people who are signed in", fix="Sign in.")
    if not audience.admits(session):
        raise ForbiddenError("this page is for others")


def local_path(text: str) -> str | None:
    """``text`` when it is a path of ours to go on to after signing in, else None (no open redirect)."""
    if not text.startswith("/") or text.startswith("//") or len(text) > LONGEST_PATH:
        return None
    return text if re.fullmatch(r"[!-\[\]-~]+", text) else None


def sign_in_path(next_path: str) -> str:
    """The sign-in page, remembering where the visitor wanted to go."""
    return f"/sign-in?next={quote(next_path, safe='/')}" if local_path(next_path) else "/sign-in"


__all__ = [
    "ADMINISTRATORS",
    "ANYBODY",
    "CORRESPONDENTS",
    "ENROLLERS",
    "EVERYBODY",
    "PATIENTS",
    "RECORDS_OFFICERS",
    "STAFF",
    "WITH_CODE",
    "WITH_NEW_PASSWORD",
    "WITH_PASSWORD",
    "Audience",
    "Visit",
    "security_headers",
    "shows",
    "takes",
]
