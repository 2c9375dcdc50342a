"""The files of a search index, for tests that look at them."""

from __future__ import annotations

from pathlib import Path

from archive.index_document import DEFINITION
from archive.index_secret import IndexSecrets
from archive.sealed_index_storage import SealedIndexStorage
from archive.search_index import SearchIndex
from archive.search_index_sqlite import LIST_FOLDER, MOST_PART_MESSAGES, QUERY_SECONDS, SqliteIndex
from archive.search_index_whoosh import WhooshIndex


def secrets_path(directory: Path) -> Path:
    """Where the secret of the index in this directory lies: never in it."""
    return directory.with_name(f"{directory.name}.secrets")


def storage_in(directory: Path, key: bytes, *, words: str = DEFINITION) -> SealedIndexStorage:
    """The storage of the index in a directory, as any process opens it."""
    return SealedIndexStorage(directory, IndexSecrets(secrets_path(directory), key), words=words)


def sqlite_in(
    directory: Path,
    key: bytes,
    *,
    words: str = DEFINITION,
    most_part_messages: int = MOST_PART_MESSAGES,
    query_seconds: float = QUERY_SECONDS,
) -> SqliteIndex:
    """The index of the engine ``sqlite`` in a directory, as any process opens it."""
    secrets_of_index = IndexSecrets(secrets_path(directory), key)
    storage = SealedIndexStorage(directory / LIST_FOLDER, secrets_of_index, words=words)
    return SqliteIndex(directory, storage, most_part_messages=most_part_messages, query_seconds=query_seconds)


def index_of(engine: str, directory: Path, key: bytes) -> SearchIndex:
    """An empty index of one of the engines, ready."""
    return sqlite_in(directory, key) if engine == "sqlite" else WhooshIndex(storage_in(directory, key).create())
