"""The files of a search index, for tests that look at them."""

from __future__ import annotations

from pathlib import Path

from archive.index_secret import IndexSecrets
from archive.sealed_index_storage import SealedIndexStorage
from archive.words import DEFINITION


def secrets_path(directory: Path) -> Path:
    """Where the secret of the index in this directory lies: never in it."""
    return directory.with_name(f"{directory.name}.secrets")


def storage_in(directory: Path, key: bytes, *, words: str = DEFINITION) -> SealedIndexStorage:
    """The storage of the index in a directory, as any process opens it."""
    return SealedIndexStorage(directory, IndexSecrets(secrets_path(directory), key), words=words)
