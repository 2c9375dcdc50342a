"""Core: what holds and schedules say in words, sealed under the archive key and bound to their own row."""

from __future__ import annotations

from dataclasses import dataclass, field

from mailstore.sealed_format import NONCE_BYTES, Randomness, open_field, seal_field

DETAILS_VERSION = 1


@dataclass(frozen=True)
class SealedDetails:
    """Seals and opens the details of rows. ``kind`` says which column, ``row`` is the row's id."""

    archive_key: bytes = field(repr=False)
    randomness: Randomness = field(repr=False)

    def seal(self, kind: str, row: str, details: bytes) -> bytes:
        """The sealed form, which opens in this place only."""
        context = (kind, row, DETAILS_VERSION)
        return seal_field(details, key=self.archive_key, context=context, nonce=self.randomness(NONCE_BYTES))

    def open(self, kind: str, row: str, sealed: bytes) -> bytes:
        """The details. Raises ``TamperedError`` when they are not what was sealed for this place."""
        return open_field(sealed, key=self.archive_key, context=(kind, row, DETAILS_VERSION))
