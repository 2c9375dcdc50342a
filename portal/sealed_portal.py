"""The pages while the appliance is sealed: one calm answer to everything, and the page that unseals.

Whatever is asked, the answer is the same bytes, made before anybody asked: there is nothing here that could know more.
The style sheet is the only other thing for everybody. The page that unseals is shown to some addresses and is
"temporarily unavailable" to all others.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

from mailstore.errors import NotFoundError, StrongroomError
from mailstore.wall_clock import Clock
from portal import bounded_body, forms, security_headers, unsealing
from portal.assets import Asset, Assets
from portal.bounded_body import Receive
from portal.forms import TOKEN_FIELD, Form
from portal.page_templates import PageTemplates
from portal.settings import PortalSettings
from portal.unsealing import Busy, FormTokens, Network, Opened, TooSoon, Tried, Unsealer, Wrong

LOG = logging.getLogger(__name__)

RETRY_AFTER_SECONDS: Final = 600
FORM_LIMIT_BYTES: Final = 32_768
STATIC: Final = "/static/"
HTML: Final = "text/html; charset=utf-8"

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True)
class Answer:
    """One whole answer."""

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str]

    async def to(self, send: Send) -> None:
        """Send it."""
        told = {**self.headers, "content-length": str(len(self.body))}
        headers = [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in told.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


@dataclass(frozen=True)
class SealedParts:
    """What the floor above hands in. ``near``: from where the page that unseals is shown."""

    settings: PortalSettings
    unsealer: Unsealer
    near: tuple[Network, ...]
    clock: Clock
    token_key: bytes = field(repr=False)


class SealedPortal:
    """The application, as ASGI has it (https://asgi.readthedocs.io/en/latest/specs/www.html)."""

    def __init__(self, parts: SealedParts) -> None:
        self._parts = parts
        self._tokens = FormTokens(parts.token_key)
        self._assets = Assets(parts.settings)
        self._templates = PageTemplates(parts.settings, self._assets.versions())
        hosts = {parts.settings.origin.removeprefix("https://"), *parts.settings.other_hosts}
        self._hosts = frozenset(host.lower() for host in hosts)
        self._unavailable = self._page(
            503, "pages/sealed.html", extra={"Retry-After": str(RETRY_AFTER_SECONDS), "Vary": "Cookie"}
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or live through start and end of the server."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            await (await self._answer(scope, receive)).to(send)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        path, method = str(scope["path"]), str(scope["method"])
        if path.startswith(STATIC) and method in {"GET", "HEAD"}:
            return self._asset(path.removeprefix(STATIC))
        if path != unsealing.PATH or not unsealing.comes_from(_address(scope), self._parts.near):
            return self._unavailable
        if method in {"GET", "HEAD"}:
            return self._form(_address(scope))
        if method == "POST" and self._is_from_here(scope):
            return await self._tried(
                _address(scope),
                await bounded_body.read(receive, at_most=FORM_LIMIT_BYTES),
                _header(scope, b"content-type"),
            )
        return self._unavailable

    def _is_from_here(self, scope: Scope) -> bool:
        """Under our own name, and not sent by a page of another site (Fetch Metadata Request Headers section 2.4)."""
        site = _header(scope, b"sec-fetch-site")
        return _header(scope, b"host").lower() in self._hosts and site in {"", "same-origin", "none"}

    async def _tried(self, address: str, body: bytes | None, content_type: str) -> Answer:
        form = _form_in(body, content_type)
        if form is None or not self._tokens.is_good(form.get(TOKEN_FIELD), address, self._parts.clock.now()):
            return self._form(address, problem="This form is out of date. Please try once more.", status=403)
        passphrase, shares = form.get("passphrase"), form.get("shares").strip()
        if not passphrase and not shares:
            return self._form(address, problem="Enter the passphrase or the recovery shares.", status=400)
        unsealer = self._parts.unsealer
        if passphrase:
            tried = await asyncio.to_thread(unsealer.try_passphrase, passphrase)
        else:
            tried = await asyncio.to_thread(unsealer.try_shares, shares)
        return self._outcome(address, tried)

    def _outcome(self, address: str, tried: Tried) -> Answer:
        match tried:
            case Opened():
                return self._page(200, "pages/unsealed.html", percent=0)
            case Wrong():
                return self._form(address, problem="This opens nothing. Check it and try again.", status=403)
            case TooSoon(seconds):
                words = f"There were wrong tries. Wait {seconds} seconds, then try again."
                return self._form(address, problem=words, status=429, extra={"Retry-After": str(seconds)})
            case Busy():
                words = "It could not be tried just now. Please try again in a moment."
                return self._form(address, problem=words, status=503)
            case _:
                assert_never(tried)

    def _form(
        self, address: str, *, problem: str = "", status: int = 200, extra: Mapping[str, str] | None = None
    ) -> Answer:
        token = self._tokens.made(address, self._parts.clock.now())
        return self._page(status, "pages/unseal.html", extra=extra, form_token=token, problem=problem)

    def _page(self, status: int, template: str, *, extra: Mapping[str, str] | None = None, **values: Any) -> Answer:
        text = self._templates.render(template, layout="bare.html", **values)
        headers = {**security_headers.for_page(), "Content-Type": HTML, **(extra or {})}
        return Answer(status, text.encode(), headers)

    def _asset(self, name: str) -> Answer:
        try:
            found: Asset = self._assets.get(name)
        except NotFoundError:
            return self._unavailable
        return Answer(200, found.content, {**security_headers.for_asset(), "Content-Type": found.content_type})


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _header(scope: Scope, name: bytes) -> str:
    values = [value for found, value in scope["headers"] if found == name]
    return values[0].decode("latin-1") if len(values) == 1 else ""


def _form_in(body: bytes | None, content_type: str) -> Form | None:
    if body is None:
        return None
    try:
        return forms.parse(body, content_type, files_at_most=0)
    except StrongroomError:
        return None


async def _live(receive: Receive, send: Send) -> None:
    while True:
        told = await receive()
        await send({"type": f"{told['type']}.complete"})
        if told["type"] == "lifespan.shutdown":
            return
