"""Every kind of unlock slot by its word, for whoever has a secret in a file and wants in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from mailstore.errors import RefusedError
from mailstore.slot_key_file import Credential, KeyFile
from mailstore.slot_passphrase import PassphraseFile
from mailstore.slot_secret import SlotSecret
from mailstore.slot_shares import SharesFile
from mailstore.slot_token import TokenFile

OF_KIND: Final[Mapping[str, Callable[[Path], SlotSecret]]] = {
    PassphraseFile.kind: PassphraseFile,
    KeyFile.kind: KeyFile,
    Credential.kind: Credential,
    SharesFile.kind: SharesFile,
    TokenFile.kind: TokenFile,
}


def secret_in(kind: str, path: Path) -> SlotSecret:
    """The secret that a file holds. ``RefusedError`` for a kind that is unknown."""
    if kind not in OF_KIND:
        raise RefusedError(f"there is no kind of unlock slot called {kind}")
    return OF_KIND[kind](path)
