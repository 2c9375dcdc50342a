"""Somebody with write access to the disk puts code into the index: it must never be unpickled."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from archive.sealed_index_file import SealedFile, seal
from archive.search_index_whoosh import WhooshIndex
from archive.search_query import parse
from mailstore.errors import TamperedError
from tests import index_files

KEY = bytes(range(32))


class Payload:
    def __init__(self, witness: Path) -> None:
        self._witness = witness

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self._witness),)


def opened(directory: Path) -> WhooshIndex:
    return WhooshIndex(index_files.storage_in(directory, KEY))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    storage = index_files.storage_in(tmp_path / "index", KEY).create()
    with storage.exclusively(seconds=1):
        with storage.create_file("_ARCHIVE_0.toc") as file:
            file.write(b"table of contents")
        storage.publish()
    return tmp_path / "index"


def test_a_pickle_put_in_the_place_of_any_file_never_runs(directory: Path, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    for path in directory.glob("*.sealed"):
        original = path.read_bytes()
        for evil in (pickle.dumps(Payload(witness)), original[:24] + pickle.dumps(Payload(witness))):
            path.write_bytes(evil)
            with pytest.raises(TamperedError, match=path.name):
                opened(directory).search(parse("word"), limit=1)
        path.write_bytes(original)
    assert not witness.exists()


def test_a_pickle_sealed_under_another_key_never_runs(directory: Path, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    [path] = [path for path in directory.glob("*.sealed") if path.name != "manifest.sealed"]
    plain = pickle.dumps(Payload(witness)).ljust(len(b"table of contents"), b".")
    path.write_bytes(seal(SealedFile(path.stem, len(plain), bytes(32)), plain))
    with pytest.raises(TamperedError):
        opened(directory).search(parse("word"), limit=1)
    assert not witness.exists()


def test_a_file_that_the_manifest_does_not_list_is_never_opened(directory: Path, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    (directory / "_ARCHIVE_9.toc").write_bytes(pickle.dumps(Payload(witness)))
    (directory / ("f" * 32 + ".sealed")).write_bytes(pickle.dumps(Payload(witness)))
    storage = index_files.storage_in(directory, KEY)
    storage.refresh()
    assert storage.list() == ["_ARCHIVE_0.toc"]
    assert not witness.exists()


def test_a_lost_manifest_is_an_empty_index_and_no_error_of_another_kind(directory: Path) -> None:
    (directory / "manifest.sealed").unlink()
    assert opened(directory).document_count() == 0
