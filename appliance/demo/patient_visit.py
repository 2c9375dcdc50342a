"""What a patient does in the portal, with forms and links alone."""

from __future__ import annotations

import secrets

import pyotp
from selectolax.lexbor import LexborHTMLParser

from appliance.demo.visitor import Page, Upload, Visitor
from appliance.demo.world import Credentials
from mailstore.errors import RefusedError

CLOSED_PAGES = ("/conversations", "/account", "/write")


def opens_nothing(visitor: Visitor, wanted: str, secret_word: str) -> None:
    """At this step of signing in no page of a patient may show anything. Raises RefusedError when one does."""
    for address in (*CLOSED_PAGES, wanted):
        page = visitor.visit(address)
        if secret_word in page.text or ("/sign-in" not in page.address and "/enrol" not in page.address):
            raise RefusedError(f"{address} opened at {page.address} before both factors were shown")


def enrol(visitor: Visitor, person: Credentials, *, wanted: str, secret_word: str) -> tuple[Page, str, str]:
    """Code, password, authenticator; each step is tried for leaks. Gives the page then shown, and both secrets."""
    password = secrets.token_hex(10)
    step = visitor.visit("/enrol")
    step = visitor.submit(step, "code", {"login": person.email, "code": person.enrolment_code})
    opens_nothing(visitor, wanted, secret_word)
    step = visitor.submit(visitor.visit(step.address), "password", {"password": password})
    opens_nothing(visitor, wanted, secret_word)
    step = visitor.visit(step.address)
    shown = LexborHTMLParser(step.body).css_first(".code strong")
    if shown is None:
        raise RefusedError(f"no secret for an authenticator at {step.address}")
    secret = shown.text(strip=True).replace(" ", "")
    done = visitor.submit(step, "code", {"code": pyotp.TOTP(secret).now()})
    return done, password, secret


def sign_in(visitor: Visitor, email: str, password: str, code: str, *, wanted: str, secret_word: str) -> Page:
    """Password, then the one-time code, looking between the two whether anything opens."""
    step = visitor.submit(visitor.visit(wanted), "password", {"login": email, "password": password})
    opens_nothing(visitor, wanted, secret_word)
    step = visitor.visit(step.address) if "/sign-in" in step.address else visitor.visit("/sign-in/code")
    return visitor.submit(step, "code", {"code": code})


def answer(visitor: Visitor, page: Page, text: str, upload: Upload) -> Page:
    """Answer at the end of a conversation, with one file."""
    return visitor.submit(page, "text", {"text": text}, {"files": upload})
