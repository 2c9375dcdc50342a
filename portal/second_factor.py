"""Core: time-based one-time codes (RFC 6238) of which each is used once.

The caller keeps the last step that was accepted; a code of that step or an earlier one is a replay (RFC 6238
section 5.2). One step of clock difference is allowed each way.
"""

from __future__ import annotations

import base64
import hmac
import io
import re
from datetime import datetime

import pyotp
import segno

PERIOD_SECONDS = 30
DIGITS = 6
SECRET_BYTES = 20
"""160 bits: RFC 4226 section 4 R6."""
STEPS_OF_DRIFT = 1


def secret_from(randomness: bytes) -> str:
    """The secret as authenticator apps take it: base32 without padding."""
    if len(randomness) != SECRET_BYTES:
        raise ValueError("a one-time secret takes 20 random bytes")
    return base64.b32encode(randomness).decode("ascii")


def accepted_step(secret: str, code: str, *, now: datetime, last_step: int) -> int | None:
    """The time step whose code this is, or None when it is wrong or was used before. Spaces in ``code`` are allowed."""
    digits = re.sub(r"[\s-]", "", code)
    if not re.fullmatch(r"[0-9]{6}", digits):
        return None
    present = int(now.timestamp()) // PERIOD_SECONDS
    generator = pyotp.HOTP(secret, digits=DIGITS)
    found = None
    for step in range(present - STEPS_OF_DRIFT, present + STEPS_OF_DRIFT + 1):
        if hmac.compare_digest(generator.at(step), digits) and step > last_step:
            found = step
    return found


def provisioning_address(secret: str, *, account: str, practice: str) -> str:
    """The ``otpauth://`` address that the picture carries."""
    return pyotp.TOTP(secret, digits=DIGITS, interval=PERIOD_SECONDS).provisioning_uri(
        name=account, issuer_name=practice
    )


def picture(address: str) -> str:
    """The QR picture as a ``data:`` address of an SVG, black on white so that cameras read it in dark mode too."""
    buffer = io.BytesIO()
    segno.make(address, error="m").save(buffer, kind="svg", scale=5, border=4, dark="#000", light="#fff")
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def in_groups(secret: str) -> str:
    """The secret in groups of four, for typing by hand."""
    return " ".join(secret[at : at + 4] for at in range(0, len(secret), 4))
