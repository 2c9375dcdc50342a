"""Files for strangers' programs, under names of their own: the policy about our mail servers, and mail programs' setup.

They stand before the pages, sealed or open: under these names there is nothing but these files, no session, no cookie
and no key. Whatever else is asked for there is "not found", whoever asks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from appliance import dns_records, mail_program_setup, published_names
from appliance.dns_records import PublishedNames
from appliance.mail_program_setup import OUTLOOK_PATH, THUNDERBIRD_PATHS, XML
from appliance.settings import Settings
from portal import bounded_body, security_headers
from portal.bounded_body import Receive

POLICY_PATH: Final = "/.well-known/mta-sts.txt"
MOST_ASKED_BYTES: Final = 16_384
"""What Outlook sends is below a thousand bytes."""

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]


@dataclass(frozen=True)
class PublishedFile:
    """A file. ``answers``: what it says to what was sent, for programs that send something first."""

    content_type: str
    answers: Callable[[bytes], bytes]
    takes_body: bool = False


class PublishedFiles:
    """An application (ASGI) that answers under the names of these files, and hands all else to the pages."""

    def __init__(self, pages: App, names: PublishedNames, *, practice: str) -> None:
        self._pages = pages
        self._files = _files(names, practice)
        self._hosts = frozenset(host for host, _ in self._files)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or hand it on."""
        host = _host(scope) if scope["type"] == "http" else ""
        if host not in self._hosts:
            await self._pages(scope, receive, send)
            return
        found = self._files.get((host, str(scope["path"]).lower()))
        if found is None:
            await _answer(send, 404, b"", "text/plain")
        elif scope["method"] in {"GET", "HEAD"}:
            await _answer(send, 200, found.answers(b""), found.content_type, is_shown=scope["method"] == "GET")
        elif scope["method"] == "POST" and found.takes_body:
            body = await bounded_body.read(receive, at_most=MOST_ASKED_BYTES)
            if body is None:
                await _answer(send, 413, b"", "text/plain")
            else:
                await _answer(send, 200, found.answers(body), found.content_type)
        else:
            await _answer(send, 405, b"", "text/plain")


def before(pages: App, settings: Settings) -> PublishedFiles:
    """The files that these settings come to, before these pages."""
    return PublishedFiles(pages, published_names.offered(settings), practice=settings.practice.name)


def _files(names: PublishedNames, practice: str) -> dict[tuple[str, str], PublishedFile]:
    policy = dns_records.policy_text(names).encode()
    thunderbird = mail_program_setup.for_thunderbird(names, practice=practice)
    to_thunderbird, to_outlook = names.program_hosts
    setup = PublishedFile(XML, lambda _: thunderbird)
    outlook = PublishedFile(XML, lambda asked: mail_program_setup.for_outlook(names, asked), takes_body=True)
    return {
        (names.policy_host, POLICY_PATH): PublishedFile("text/plain", lambda _: policy),
        **{(to_thunderbird, path): setup for path in THUNDERBIRD_PATHS},
        (to_outlook, OUTLOOK_PATH): outlook,
    }


def _host(scope: Scope) -> str:
    """The name that was asked for, without a port; empty when there is none or more than one."""
    told = [value for name, value in scope["headers"] if name == b"host"]
    return told[0].decode("latin-1").lower().partition(":")[0].rstrip(".") if len(told) == 1 else ""


async def _answer(send: Send, status: int, body: bytes, content_type: str, *, is_shown: bool = True) -> None:
    told = {
        **security_headers.for_file(),
        "Content-Type": content_type,
        "Content-Length": str(len(body)),
    }
    headers = [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in told.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body if is_shown else b""})
