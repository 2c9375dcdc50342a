"""A secret as the key agent gets it: by the place where it lies, or by what its file holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance import typed_secret
from mailstore.slot_kinds import secret_in
from mailstore.slot_secret import SlotSecret


def secret_of(kind: str, path: Path) -> SlotSecret:
    """The secret that lies in a file. ``RefusedError`` for a kind that is unknown."""
    return secret_in(kind, path)


@contextmanager
def given(kind: str, content: bytes) -> Iterator[SlotSecret]:
    """A secret that was handed over, gone afterwards."""
    with typed_secret.in_memory(content) as path:
        yield secret_of(kind, path)
