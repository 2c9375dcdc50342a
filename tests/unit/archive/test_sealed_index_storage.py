from __future__ import annotations

from pathlib import Path

import pytest

from archive.sealed_index_file import CHUNK_BYTES
from archive.sealed_index_storage import SealedIndexStorage
from mailstore.errors import StorageUnavailableError, TamperedError
from tests import index_files

KEY = bytes(range(32))
LARGE = bytes(range(256)) * 1_000
SECRET = b"potassium"


def storage_in(directory: Path, key: bytes = KEY) -> SealedIndexStorage:
    return index_files.storage_in(directory, key, words="1").create()


def write(storage: SealedIndexStorage, **files: bytes) -> None:
    with storage.exclusively(seconds=1):
        for name, content in files.items():
            with storage.create_file(name) as file:
                file.write(content)
        storage.publish()


def read(storage: SealedIndexStorage, name: str) -> bytes:
    storage.refresh()
    with storage.open_file(name) as file:
        content: bytes = file.read()
    return content


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "index"


def test_what_was_published_is_read_by_another(directory: Path) -> None:
    write(storage_in(directory), empty=b"", small=SECRET, large=LARGE)
    other = storage_in(directory)
    assert [read(other, name) for name in ("empty", "small", "large")] == [b"", SECRET, LARGE]
    assert [other.file_length(name) for name in ("empty", "small", "large")] == [0, len(SECRET), len(LARGE)]


def test_any_range_is_read_across_chunks(directory: Path) -> None:
    write(storage_in(directory), large=LARGE)
    other = storage_in(directory)
    other.refresh()
    with other.open_file("large") as file:
        for position in (0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, 2 * CHUNK_BYTES - 5, len(LARGE) - 3, len(LARGE)):
            for length in (0, 1, 7, CHUNK_BYTES, 2 * CHUNK_BYTES + 9):
                assert file.get(position, length) == LARGE[position : position + length]
                file.seek(position)
                assert file.read(length) == LARGE[position : position + length]


def test_nothing_of_a_file_is_plain_on_disk_not_even_its_name(directory: Path) -> None:
    write(storage_in(directory), diabetes=SECRET * 100)
    for path in directory.iterdir():
        assert SECRET not in path.read_bytes()
        assert b"diabetes" not in path.read_bytes()
        assert "diabetes" not in path.name


def test_what_is_not_published_is_not_there(directory: Path) -> None:
    write(storage_in(directory), a=b"one")
    storage = storage_in(directory)
    with storage.exclusively(seconds=1):
        storage.delete_file("a")
        with storage.create_file("b") as file:
            file.write(b"two")
    other = storage_in(directory)
    other.refresh()
    assert other.list() == ["a"]


def test_what_an_interrupted_writer_left_is_swept_away(directory: Path) -> None:
    storage = storage_in(directory)
    write(storage, a=b"one")
    (directory / ("0" * 32 + ".sealed")).write_bytes(b"half")
    (directory / "manifest.sealed.aside").write_bytes(b"half")
    write(storage, b=b"two")
    assert len(list(directory.iterdir())) == len({"a", "b", "manifest", "lock"})


def test_a_deleted_file_leaves_the_disk_with_the_commit(directory: Path) -> None:
    storage = storage_in(directory)
    write(storage, a=b"one", b=b"two")
    before = set(directory.iterdir())
    with storage.exclusively(seconds=1):
        storage.delete_file("a")
        storage.publish()
    assert len(before - set(directory.iterdir())) == 1


def test_every_changed_byte_is_noticed_and_the_file_named(directory: Path) -> None:
    write(storage_in(directory), a=SECRET)
    for path in [path for path in directory.iterdir() if path.name != "lock"]:
        original = path.read_bytes()
        for position in range(len(original)):
            path.write_bytes(original[:position] + bytes([original[position] ^ 1]) + original[position + 1 :])
            with pytest.raises(TamperedError, match=path.name):
                read(storage_in(directory), "a")
        path.write_bytes(original)


def test_a_cut_or_lengthened_or_missing_file_is_noticed(directory: Path) -> None:
    write(storage_in(directory), a=LARGE)
    [path] = [path for path in directory.iterdir() if path.name not in {"lock", "manifest.sealed"}]
    original = path.read_bytes()
    for damaged in (b"", original[:-1], original[: CHUNK_BYTES + 40], original + b"x"):
        path.write_bytes(damaged)
        with pytest.raises(TamperedError, match=path.name):
            read(storage_in(directory), "a")
    path.unlink()
    with pytest.raises(TamperedError, match=path.name):
        read(storage_in(directory), "a")


def test_two_files_cannot_change_places(directory: Path) -> None:
    write(storage_in(directory), a=b"one", b=b"two")
    first, second = (path for path in directory.iterdir() if path.name not in {"lock", "manifest.sealed"})
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)
    with pytest.raises(TamperedError):
        read(storage_in(directory), "a")


def test_an_older_version_of_one_file_cannot_come_back(directory: Path) -> None:
    storage = storage_in(directory)
    write(storage, a=b"old")
    [old] = [path for path in directory.iterdir() if path.name not in {"lock", "manifest.sealed"}]
    content = old.read_bytes()
    write(storage, a=b"new")
    [new] = [path for path in directory.iterdir() if path.name not in {"lock", "manifest.sealed"}]
    new.write_bytes(content)
    with pytest.raises(TamperedError, match=new.name):
        read(storage_in(directory), "a")


def test_an_older_manifest_without_its_files_is_noticed(directory: Path) -> None:
    storage = storage_in(directory)
    write(storage, a=b"old")
    manifest = (directory / "manifest.sealed").read_bytes()
    write(storage, a=b"new")
    (directory / "manifest.sealed").write_bytes(manifest)
    with pytest.raises(TamperedError):
        read(storage_in(directory), "a")


def test_another_key_opens_nothing(directory: Path) -> None:
    write(storage_in(directory), a=SECRET)
    with pytest.raises(TamperedError):
        read(storage_in(directory, key=bytes(32)), "a")


def test_a_second_writer_waits_and_is_told(directory: Path) -> None:
    first, second = storage_in(directory), storage_in(directory)
    with first.exclusively(seconds=1), pytest.raises(StorageUnavailableError), second.exclusively(seconds=0.05):
        pass
    with second.exclusively(seconds=1):
        pass


def test_erasing_works_on_what_cannot_be_read(directory: Path) -> None:
    write(storage_in(directory), a=SECRET)
    (directory / "manifest.sealed").write_bytes(b"nonsense")
    storage_in(directory).erase(seconds=1)
    assert [path.name for path in directory.iterdir()] == ["lock"]
    fresh = storage_in(directory)
    write(fresh, b=b"two")
    assert read(fresh, "b") == b"two"


def test_an_open_file_stays_readable_after_its_removal(directory: Path) -> None:
    storage, other = storage_in(directory), storage_in(directory)
    write(storage, a=LARGE)
    other.refresh()
    with other.open_file("a") as file:
        write(storage, a=b"new")
        assert file.read() == LARGE
