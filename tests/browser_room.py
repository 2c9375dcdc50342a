"""A portal served over TLS on the loopback interface, and a real Chromium that trusts its certificate.

Debian packs the same Chromium a second time without the parts of a desktop that no page sees: it is at a page in a
third of the processor time.
"""

from __future__ import annotations

import base64
import hashlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import trustme
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from portal.app import create_app
from tests.portal_room import PortalRoom, Somebody

CHROMIUM = "/usr/bin/chromium-headless-shell"
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PHONE, DESK = 360, 1440
ONE_CODE = timedelta(minutes=1)
AXE = Axe().axe_script
PATIENCE_SECONDS = 60
"""A browser beside other work is late now and then."""
expect.set_options(timeout=PATIENCE_SECONDS * 1000)
AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("localhost")


@contextmanager
def served(room: PortalRoom) -> Iterator[str]:
    """The portal's address while it is served; its settings are those of the room under that address."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    origin = f"https://localhost:{listener.getsockname()[1]}"
    parts = replace(room.parts, settings=replace(room.settings, origin=origin))
    config = uvicorn.Config(create_app(parts), log_config=None, access_log=False, lifespan="on", ws="none")
    config.load()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CERTIFICATE.configure_cert(context)
    config.ssl = context
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield origin
    finally:
        server.should_exit = True
        thread.join(timeout=60)
        listener.close()


@contextmanager
def chromium() -> Iterator[Browser]:
    """A Chromium without a window."""
    certificate = x509.load_pem_x509_certificate(CERTIFICATE.cert_chain_pems[0].bytes())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    trusted = base64.b64encode(hashlib.sha256(key).digest()).decode("ascii")
    arguments = ["--no-sandbox", "--disable-dev-shm-usage", f"--ignore-certificate-errors-spki-list={trusted}"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def window(
    browser: Browser,
    origin: str,
    *,
    width: int = DESK,
    script: bool = True,
) -> Iterator[Page]:
    """One page of a fresh browser context."""
    context: BrowserContext = browser.new_context(
        base_url=origin,
        viewport={"width": width, "height": 900},
        java_script_enabled=script,
        reduced_motion="reduce",
    )
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    try:
        yield context.new_page()
    finally:
        context.close()


def sign_in(page: Page, room: PortalRoom, somebody: Somebody) -> None:
    """Password and one-time code, as a person types them."""
    page.goto("/sign-in")
    page.get_by_label("E-mail address").fill(somebody.email)
    page.get_by_label("Password", exact=True).fill(somebody.password)
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("One-time code").fill(room.code(somebody.totp_secret))
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "/sign-in" not in url)
    room.clock.advance(ONE_CODE)


def barriers(page: Page, *, in_the_dark: bool = True) -> list[str]:
    """What axe finds against WCAG 2.2 AA, one line each, in light and, for contrast, in dark. Needs script."""
    found = _found_by_axe(page, {"type": "tag", "values": WCAG})
    if not in_the_dark:
        return found
    page.emulate_media(color_scheme="dark")
    found += [f"in the dark, {each}" for each in _found_by_axe(page, {"type": "rule", "values": ["color-contrast"]})]
    page.emulate_media(color_scheme="light")
    return found


def _found_by_axe(page: Page, only: dict[str, Any]) -> list[str]:
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    asked = {"runOnly": only, "resultTypes": ["violations"], "selectors": False}
    violations: Any = page.evaluate("asked => axe.run(asked).then(found => found.violations)", asked)
    return [f"{found['id']}: {found['help']} {[node['html'][:120] for node in found['nodes']]}" for found in violations]


def scrolls_sideways(page: Page) -> bool:
    """True when the page is wider than its window."""
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


def scrolls_sideways_in_large_text(page: Page) -> bool:
    """True when the page is wider than its window once its text is twice as large (WCAG 2.2, 1.4.4)."""
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    return scrolls_sideways(page)


def screenshot(page: Page, path: Path) -> None:
    """The whole page as a picture."""
    page.screenshot(path=path, full_page=True)
