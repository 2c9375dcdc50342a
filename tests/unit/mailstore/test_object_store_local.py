from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from mailstore import durable_file
from mailstore.errors import StorageUnavailableError
from mailstore.object_layout import new_object_name
from mailstore.object_store_local import LocalObjectStore


def test_only_we_can_read_the_files(tmp_path: Path) -> None:
    name = new_object_name(os.urandom)
    LocalObjectStore.made(tmp_path / "objects").put(name, b"x")
    path = tmp_path / "objects" / name
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (path.parent, path.parent.parent)} == {0o700}


def test_unfinished_object_is_not_an_object(tmp_path: Path) -> None:
    store, name = LocalObjectStore(tmp_path), new_object_name(os.urandom)
    (tmp_path / name).parent.mkdir()
    (tmp_path / (name + durable_file.ASIDE)).write_bytes(b"half")
    assert list(store.names()) == []
    assert not store.exists(name)
    store.put(name, b"whole")
    assert store.get(name) == b"whole"
    assert [path.name for path in (tmp_path / name).parent.iterdir()] == [name[3:]]


def test_unfinished_object_is_deleted_with_its_name(tmp_path: Path) -> None:
    store, name = LocalObjectStore(tmp_path), new_object_name(os.urandom)
    store.put(name, b"whole")
    (tmp_path / (name + durable_file.ASIDE)).write_bytes(b"half")
    store.delete(name)
    assert list((tmp_path / name).parent.iterdir()) == []


def test_store_that_is_no_directory_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "objects").write_text("a file")
    store, name = LocalObjectStore(tmp_path / "objects"), new_object_name(os.urandom)
    for call in (store.get, store.delete, lambda mine: store.put(mine, b"x"), lambda mine: store.get_range(mine, 0, 1)):
        with pytest.raises(StorageUnavailableError):
            call(name)


def test_directory_that_is_not_mounted_is_no_empty_store(tmp_path: Path) -> None:
    """Nothing may be proved gone, or put beside the disk, because a disk is not mounted."""
    store, name = LocalObjectStore.made(tmp_path / "objects"), new_object_name(os.urandom)
    store.put(name, b"x")
    (tmp_path / "objects").rename(tmp_path / "away")
    for call in (store.get, store.delete, store.exists, lambda mine: store.put(mine, b"x")):
        with pytest.raises(StorageUnavailableError):
            call(name)
    with pytest.raises(StorageUnavailableError):
        list(store.names())
    (tmp_path / "away").rename(tmp_path / "objects")
    assert store.get(name) == b"x"
