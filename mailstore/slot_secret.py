"""The port of what opens an unlock slot: a secret of some kind, which comes to 32 bytes with what its slot notes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from mailstore.sealed_format import Randomness

Noted = Mapping[str, str | int]
"""What a slot notes of its secret to find the same bytes again. None of it is secret."""


class SlotSecret(Protocol):
    """A secret that a person or a machine has, by a reference to where it lies; never by itself on a command line."""

    @property
    def kind(self) -> str:
        """The word that slots of this kind bear."""

    def noted(self, randomness: Randomness) -> Noted:
        """What a new slot for this secret shall note."""

    def slot_key(self, noted: Noted) -> bytes:
        """The 32 bytes that it comes to with what a slot notes.

        Raises ``WrongKeyError`` when it cannot be the secret of that slot, ``TamperedError`` when the slot asks for
        what we never wrote, ``NotFoundError`` or ``StorageUnavailableError`` when it cannot be read.
        """


class RememberedSecret:
    """A secret that is needed several times in a row: what it comes to with a slot is worked out once."""

    def __init__(self, secret: SlotSecret) -> None:
        self._secret = secret
        self._found: list[tuple[Noted, bytes]] = []

    @property
    def kind(self) -> str:
        """As ``SlotSecret``."""
        return self._secret.kind

    def noted(self, randomness: Randomness) -> Noted:
        """As ``SlotSecret``."""
        return self._secret.noted(randomness)

    def slot_key(self, noted: Noted) -> bytes:
        """As ``SlotSecret``."""
        for before, key in self._found:
            if before == noted:
                return key
        self._found.append((dict(noted), self._secret.slot_key(noted)))
        return self._found[-1][1]
