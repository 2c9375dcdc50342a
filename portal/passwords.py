"""Passwords: Argon2id in a bounded pool, and the two rules of choosing one.

NIST SP 800-63B-4 section 3.1.1: a length, a list of common passwords, no rules of composition, every character
allowed, pasting allowed. The hash takes memory on purpose, so only a few run at once and the rest wait their turn.
"""

from __future__ import annotations

import threading
import unicodedata
from importlib.resources import files

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from portal.settings import PasswordCost

LONGEST_PASSWORD = 256
"""Characters; longer input is refused before it is hashed."""


def normal(password: str) -> str:
    """The one form in which a password is compared (RFC 8265 section 4.2: NFC, spaces kept as typed)."""
    return unicodedata.normalize("NFC", password)


def common_passwords() -> frozenset[str]:
    """The bundled list of passwords that everybody tries first, lower-case."""
    text = files("portal").joinpath("static", "common-passwords.txt").read_text(encoding="utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))


def problem_with(password: str, *, shortest: int, about: tuple[str, ...] = ()) -> str | None:
    """Why this password cannot be chosen, in words for its owner, or None. ``about``: their name, address, practice."""
    chosen = normal(password)
    if len(chosen) < shortest:
        return f"Use at least {shortest} characters. A short sentence works well."
    if len(chosen) > LONGEST_PASSWORD:
        return f"Use at most {LONGEST_PASSWORD} characters."
    folded = chosen.casefold()
    if folded in common_passwords() or len(set(folded)) <= 2:  # noqa: PLR2004 - "ababab..." is guessed first
        return "This password is on the list that attackers try first. Choose another."
    if any(folded == word.casefold() for word in about if word):
        return "Choose a password that is not your name, your address or the name of the practice."
    return None


class PasswordVault:
    """Hashes and checks passwords, never more than ``cost.at_once`` at the same time."""

    def __init__(self, cost: PasswordCost) -> None:
        self._hasher = PasswordHasher(
            time_cost=cost.passes, memory_cost=cost.memory_kib, parallelism=cost.lanes, hash_len=32, salt_len=16
        )
        self._turns = threading.BoundedSemaphore(cost.at_once)
        self._decoy = self._hasher.hash("a password that nobody has")

    def hashed(self, password: str) -> str:
        """The encoded Argon2id hash with its own random salt."""
        with self._turns:
            return self._hasher.hash(normal(password))

    def matches(self, encoded: str | None, password: str) -> bool:
        """True when ``password`` made ``encoded``. Without a hash the same work is done, and the answer is False."""
        if len(password) > LONGEST_PASSWORD:
            return False
        with self._turns:
            try:
                self._hasher.verify(encoded or self._decoy, normal(password))
            except (VerificationError, InvalidHashError):
                return False
        return encoded is not None
