"""Core: what a practice may set about its portal, as one frozen value checked when it is made."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import urlsplit

from mailstore.errors import RefusedError

MEGABYTE = 1_000_000
LEAST_CONTRAST = 4.5  # WCAG 2.2 success criterion 1.4.3: text on its background


class SettingsError(RefusedError):
    """A setting that cannot be used, named with what to write instead."""

    code = "bad_setting"


@dataclass(frozen=True)
class Pool:
    """A group at the practice that patients write to by name. ``address`` is a mailbox that the group shares."""

    name: str
    address: str
    reply_window: str = "one working day"


@dataclass(frozen=True)
class PasswordCost:
    """Argon2id's parameters (RFC 9106 section 4, second recommended option, with one lane for a small machine)."""

    memory_kib: int = 65_536
    passes: int = 3
    lanes: int = 1
    at_once: int = 2


@dataclass(frozen=True)
class PortalSettings:
    """The portal of one practice.

    ``origin`` is the address people type, ``https://host[:port]``: passkeys, links and the allowed Host header
    follow from it. Limits are bytes; durations are what their names say.
    """

    practice: str
    origin: str
    local_domains: frozenset[str]
    recognition_phrase: str = ""
    other_hosts: frozenset[str] = frozenset()
    pools: tuple[Pool, ...] = ()
    accent: str = "#0b5f6b"
    reply_window: str = "one working day"
    time_zone: str = "UTC"
    session_idle: timedelta = timedelta(minutes=30)
    session_life: timedelta = timedelta(hours=12)
    enrolment_life: timedelta = timedelta(days=14)
    shortest_password: int = 12
    password_cost: PasswordCost = field(default_factory=PasswordCost)
    upload_limit_bytes: int = 25 * MEGABYTE
    files_at_most: int = 10
    recipients_at_most: int = 100

    def __post_init__(self) -> None:
        parts = urlsplit(self.origin)
        if parts.scheme != "https" or not parts.hostname or parts.path not in {"", "/"}:
            raise SettingsError(f"portal origin {self.origin!r} is not an https address", fix="Write https://host.")
        if contrast_with_white(self.accent) < LEAST_CONTRAST:
            raise SettingsError(
                f"accent colour {self.accent} is too light to read", fix="Choose one with 4.5:1 against white."
            )

    @property
    def host(self) -> str:
        """The host name alone: the relying party of passkeys."""
        return urlsplit(self.origin).hostname or ""

    @property
    def hosts(self) -> frozenset[str]:
        """What the Host header may say."""
        return self.other_hosts | {urlsplit(self.origin).netloc.lower()}


def contrast_with_white(colour: str) -> float:
    """The contrast ratio of ``#rrggbb`` on white, from 1 to 21 (WCAG 2.2, relative luminance)."""
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
        raise SettingsError(f"{colour!r} is not a colour", fix="Write six hexadecimal digits after #.")
    red, green, blue = (_linear(int(colour[at : at + 2], 16) / 255) for at in (1, 3, 5))
    return 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4  # noqa: PLR2004 - sRGB curve
