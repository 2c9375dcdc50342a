"""A person at a browser without JavaScript: follows links and sends the forms that the pages really show."""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPResponse
from http.cookiejar import CookieJar
from pathlib import Path
from typing import IO
from urllib.error import HTTPError
from urllib.parse import urlencode, urljoin
from urllib.request import HTTPCookieProcessor, HTTPSHandler, OpenerDirector, Request, build_opener

from selectolax.lexbor import LexborHTMLParser, LexborNode

from mailstore.errors import RefusedError


@dataclass(frozen=True)
class Upload:
    """A file that a person attaches in a form."""

    file_name: str
    content_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Page:
    """What the server answered: where it is, how it answered, and what it shows."""

    address: str
    status: int
    body: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """The visible text of the page."""
        return LexborHTMLParser(self.body).text(separator=" ")

    def form(self, having: str) -> LexborNode:
        """The first form that has a field by that name."""
        for form in LexborHTMLParser(self.body).css("form"):
            if form.css_first(f'[name="{having}"]') is not None:
                return form
        raise RefusedError(f"no form with a field {having!r} at {self.address} (status {self.status})")


def filled(form: LexborNode) -> dict[str, str]:
    """What the form already holds: hidden fields, chosen options, ticked boxes."""
    values: dict[str, str] = {}
    for node in form.css("input[name], textarea[name], select[name]"):
        attributes = node.attributes
        name, kind = attributes.get("name") or "", (attributes.get("type") or node.tag or "").lower()
        if kind in {"file", "submit", "button"}:
            continue
        if kind in {"radio", "checkbox"} and "checked" not in attributes:
            continue
        if node.tag == "select":
            chosen = node.css_first("option[selected]") or node.css_first("option")
            values[name] = (chosen.attributes.get("value") or "") if chosen is not None else ""
        else:
            values[name] = node.text() if node.tag == "textarea" else attributes.get("value") or ""
    return values


def multipart(values: Mapping[str, str], uploads: Mapping[str, Upload]) -> tuple[str, bytes]:
    """The body of a form with files (RFC 7578), and its content type."""
    mark = secrets.token_hex(16)
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in values.items()
    ]
    parts += [
        f'--{mark}\r\nContent-Disposition: form-data; name="{name}"; filename="{upload.file_name}"\r\n'
        f"Content-Type: {upload.content_type}\r\n\r\n".encode()
        + upload.content
        + b"\r\n"
        for name, upload in uploads.items()
    ]
    return f"multipart/form-data; boundary={mark}", b"".join(parts) + f"--{mark}--\r\n".encode()


class Visitor:
    """One browser with its cookies, trusting the appliance's own certificate authority."""

    def __init__(self, *, portal: str, ca_certificate: Path) -> None:
        self.portal = portal
        context = ssl.create_default_context(cafile=str(ca_certificate))
        self._opener: OpenerDirector = build_opener(HTTPSHandler(context=context), HTTPCookieProcessor(CookieJar()))

    def visit(self, address: str) -> Page:
        """Follow a link, relative to the portal."""
        return self._send(Request(urljoin(self.portal, address)))  # noqa: S310 (https to our own portal)

    def submit(
        self, page: Page, having: str, values: Mapping[str, str], uploads: Mapping[str, Upload] | None = None
    ) -> Page:
        """Fill the form that has the field ``having`` and send it as a browser would."""
        form = page.form(having)
        fields = filled(form) | dict(values)
        target = urljoin(page.address, form.attributes.get("action") or page.address)
        if (form.attributes.get("method") or "get").lower() == "get":
            return self._send(Request(f"{target}?{urlencode(fields)}"))  # noqa: S310 (https to our own portal)
        content_type, body = "application/x-www-form-urlencoded", urlencode(fields).encode()
        if (form.attributes.get("enctype") or "").startswith("multipart"):
            content_type, body = multipart(fields, uploads or {})
        headers = {"Content-Type": content_type, "Origin": self.portal.rstrip("/")}
        return self._send(Request(target, data=body, headers=headers))  # noqa: S310 (https to our own portal)

    def _send(self, request: Request) -> Page:
        try:
            with self._opener.open(request, timeout=30) as response:
                return self._page(response)
        except HTTPError as error:
            with error:
                return Page(error.url or request.full_url, error.code, error.read())

    @staticmethod
    def _page(response: HTTPResponse | IO[bytes]) -> Page:
        status = response.status if isinstance(response, HTTPResponse) else 200
        return Page(getattr(response, "url", ""), status, response.read())
