"""One contract for every place that backups go to: a directory, and a bucket under credentials that only add."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mailstore import backup_listing
from mailstore.backup_listing import GenerationKind
from mailstore.backup_target import BackupTarget
from mailstore.backup_target_directory import DirectoryTarget
from mailstore.backup_target_s3 import S3Target
from mailstore.errors import NotFoundError, RefusedError, StorageUnavailableError
from mailstore.s3_bucket import RefusedByStore
from tests import add_only_bucket, s3_servers
from tests.free_ports import free_port

DATA = GenerationKind.DATA


def name_of(content: bytes, kind: GenerationKind = DATA) -> str:
    return backup_listing.piece_name(kind, hashlib.sha256(content).hexdigest())


@pytest.fixture(params=["directory", "bucket"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> BackupTarget:
    if request.param == "directory":
        return DirectoryTarget(tmp_path)
    return add_only_bucket.made(s3_servers.minio(), tmp_path).target()


def test_what_was_put_is_there_to_the_byte(target: BackupTarget) -> None:
    for content in (b"", b"sealed", bytes(range(256)) * 4096):
        target.put(name_of(content), content)
        assert target.get(name_of(content)) == content


def test_putting_the_same_again_is_nothing_to_do(target: BackupTarget) -> None:
    for _ in range(2):
        target.put(name_of(b"one"), b"one")
    assert list(target.held("data/pieces/")) == [(name_of(b"one"), 3)]


def test_a_name_that_is_taken_keeps_what_it_has(target: BackupTarget) -> None:
    target.put("target.json", b"first")
    with pytest.raises(RefusedError):
        target.put("target.json", b"other")
    assert target.get("target.json") == b"first"


def test_what_is_not_there_is_not_found(target: BackupTarget) -> None:
    with pytest.raises(NotFoundError):
        target.get("target.json")
    assert list(target.held("keys/")) == []


def test_names_that_are_none_of_ours_are_refused(target: BackupTarget) -> None:
    for name in ("../target.json", "/etc/passwd", "data/pieces/aa/x", "data", "", "keys/generations/1.json"):
        with pytest.raises(RefusedError):
            target.put(name, b"x")
        with pytest.raises(RefusedError):
            target.get(name)


def test_what_is_held_is_told_by_kind_with_its_length(target: BackupTarget) -> None:
    for kind in GenerationKind:
        target.put(name_of(b"12345", kind), b"12345")
        target.put(backup_listing.listing_name(kind, 7), b"1234567")
    assert list(target.held("keys/pieces/")) == [(name_of(b"12345", GenerationKind.KEYS), 5)]
    assert list(target.held("data/generations/")) == [("data/generations/000000000007.json", 7)]
    assert len(list(target.held(""))) == 4


def test_removing_is_done_or_refused_as_the_target_says(target: BackupTarget) -> None:
    target.put(name_of(b"old"), b"old")
    if target.may_remove:
        target.remove(name_of(b"old"))
        target.remove(name_of(b"old"))
        assert list(target.held("")) == []
    else:
        with pytest.raises(RefusedError):
            target.remove(name_of(b"old"))
        assert target.get(name_of(b"old")) == b"old"


def test_what_was_never_finished_is_cleared_away(tmp_path: Path) -> None:
    target = DirectoryTarget(tmp_path)
    target.put("target.json", b"kept")
    left = tmp_path / "target.json.12-34.aside"
    left.write_bytes(b"half")
    target.tidy(before=left.stat().st_mtime - 1)
    assert left.exists()
    target.tidy(before=left.stat().st_mtime + 1)
    assert [path.name for path in tmp_path.iterdir()] == ["target.json"]


def test_many_writers_of_one_name_leave_one_whole_file(target: BackupTarget) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: target.put("target.json", b"the same" * 1000), range(16)))
    assert target.get("target.json") == b"the same" * 1000
    assert list(target.held("")) == [("target.json", 8000)]


def test_the_credentials_of_a_bucket_really_cannot_delete(tmp_path: Path) -> None:
    bucket = add_only_bucket.made(s3_servers.minio(), tmp_path)
    target = bucket.target()
    target.put("target.json", b"kept")
    with pytest.raises((StorageUnavailableError, RefusedByStore)):
        target._bucket.request("DELETE", "target.json")
    assert target.get("target.json") == b"kept"


def test_a_bucket_says_when_it_removes_old_keys(tmp_path: Path) -> None:
    bucket = add_only_bucket.made(s3_servers.minio(), tmp_path)
    assert bucket.target().days_until_removed("keys/") is None
    bucket.expire("data/", 3)
    assert bucket.target().days_until_removed("keys/") is None
    bucket.expire("keys/", 30)
    assert bucket.target().days_until_removed("keys/") == 30


def test_a_bucket_that_hides_its_rules_says_nothing(tmp_path: Path) -> None:
    bucket = add_only_bucket.made(s3_servers.minio(), tmp_path, may_see_rules=False)
    bucket.expire("keys/", 30)
    assert bucket.target().days_until_removed("keys/") is None


def test_a_directory_that_is_not_there_is_no_empty_target(tmp_path: Path) -> None:
    target = DirectoryTarget(tmp_path / "not mounted")
    for ask in (
        lambda: target.put("target.json", b"x"),
        lambda: target.get("target.json"),
        lambda: list(target.held("")),
    ):
        with pytest.raises(StorageUnavailableError):
            ask()


def test_a_bucket_that_is_away_is_named(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text("key\nsecret\n")
    bucket = add_only_bucket.AddOnlyBucket(
        f"s3+http://127.0.0.1:{free_port()}/backups", credentials, s3_servers.minio().bucket()
    )
    with pytest.raises(StorageUnavailableError, match="the target s3"):
        bucket.target().get("target.json")


def test_a_listing_longer_than_a_page_is_whole(tmp_path: Path) -> None:
    for number in range(1203):
        path = tmp_path / backup_listing.listing_name(DATA, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    assert len(list(DirectoryTarget(tmp_path).held("data/"))) == 1203


def test_s3_and_directory_are_the_two_adapters() -> None:
    assert (DirectoryTarget.may_remove, S3Target.may_remove) == (True, False)
