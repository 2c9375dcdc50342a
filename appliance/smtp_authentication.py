"""Who may submit mail: PLAIN (RFC 4616) and LOGIN over TLS, with bounded guessing (RFC 4954).

The check itself belongs to whoever keeps the accounts; here are the words of the protocol and the bounds.
"""

from __future__ import annotations

import base64
import binascii
import time
from dataclasses import dataclass, field
from typing import Protocol

from mailstore.actor import Actor
from mailstore.peer_network import network_of

MAX_CREDENTIAL_LINE = 12_288
"""Octets of one line of the exchange (RFC 4954 section 4)."""

FAILURES_PER_CONNECTION = 3
FAILURES_PER_PEER = 10
FAILURE_WINDOW_SECONDS = 900.0
FAILURE_SECONDS = 1.0
"""Every failed attempt takes this long at least, whatever was wrong with it."""

PEERS_REMEMBERED = 10_000
LOGIN_ASKS_NAME = base64.b64encode(b"User Name\x00")
LOGIN_ASKS_PASSWORD = base64.b64encode(b"Password\x00")
"""The prompts of the LOGIN mechanism (draft-murchison-sasl-login-00)."""


@dataclass(frozen=True)
class Submitter:
    """A person who proved to be allowed to submit. Which addresses are theirs, the directory knows."""

    actor: Actor


class SubmissionDirectory(Protocol):
    """Knows the app passwords. Must cost the same time for an unknown login as for a wrong password."""

    def authenticate(self, login: str, password: str) -> Submitter | None:
        """Who this is, or None. May block; called in a thread. May raise any ``StrongroomError``."""
        ...


@dataclass(frozen=True)
class Credentials:
    """What a mail program offered."""

    login: str = field(repr=False)
    password: str = field(repr=False)


def plain_credentials(encoded: bytes) -> Credentials | None:
    """The base64 of ``[authzid] NUL login NUL password``; None when it is none, or asks to act for another."""
    octets = decoded(encoded)
    if octets is None or octets.count(b"\0") != 2:  # noqa: PLR2004 - RFC 4616 section 2: three parts
        return None
    acting_as, login, password = octets.split(b"\0")
    if acting_as not in {b"", login}:
        return None
    return credentials_from(login, password)


def credentials_from(login: bytes, password: bytes) -> Credentials | None:
    """Both as text; None when they are empty or not UTF-8."""
    try:
        found = Credentials(login.decode("utf-8"), password.decode("utf-8"))
    except UnicodeDecodeError:
        return None
    return found if found.login and found.password else None


def decoded(encoded: bytes) -> bytes | None:
    """Strict base64, or None. A lone ``=`` stands for nothing (RFC 4954 section 4)."""
    if encoded == b"=":
        return b""
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None


class FailureCount:
    """Failed sign-ins of each peer in the last quarter of an hour. A peer is its network.

    Whoever signed in from a network before is heard there all the while: a practice is one network, and neither
    somebody in its waiting room nor a telephone with an old password may shut out the mail programs of everybody else.
    """

    def __init__(self) -> None:
        self._failures: dict[str, list[float]] = {}
        self._known: dict[str, set[str]] = {}

    def is_blocked(self, peer: str, login: str | None = None) -> bool:
        """True when this peer guessed too often of late, and so this login is not heard; without one: when none is."""
        network = network_of(peer)
        if len(self._recent(network)) < FAILURES_PER_PEER:
            return False
        known = self._known.get(network, set())
        return not known if login is None else login.casefold() not in known

    def begin(self, peer: str) -> None:
        """An attempt begins, and counts as failed until it succeeds: attempts side by side are counted too."""
        network = network_of(peer)
        recent = [*self._recent(network), time.monotonic()]
        self._failures.pop(network, None)
        self._failures[network] = recent[-2 * FAILURES_PER_PEER :]  # a good attempt that ends pushes none of them out
        if len(self._failures) > PEERS_REMEMBERED:
            self._failures.pop(next(iter(self._failures)))

    def succeeded(self, peer: str, login: str) -> None:
        """The newest attempt was good after all; older failures stay."""
        network = network_of(peer)
        recent = self._failures.get(network)
        if recent:
            recent.pop()
        if network not in self._known and len(self._known) >= PEERS_REMEMBERED:
            self._known.pop(next(iter(self._known)))
        self._known.setdefault(network, set()).add(login.casefold())

    def _recent(self, network: str) -> list[float]:
        horizon = time.monotonic() - FAILURE_WINDOW_SECONDS
        return [at for at in self._failures.get(network, []) if at > horizon]
