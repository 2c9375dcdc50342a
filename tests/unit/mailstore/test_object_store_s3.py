"""What only a server with versions can get wrong. What every store promises stands in ``tests/contracts``."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from mailstore.errors import NotFoundError, ObjectLockedError, StorageUnavailableError, TamperedError
from mailstore.object_guard import Guard
from mailstore.object_guard_s3 import S3ObjectGuard
from mailstore.object_layout import new_object_name
from mailstore.object_store_s3 import S3ObjectStore
from mailstore.s3_bucket import S3Bucket
from tests import s3_servers
from tests.s3_servers import S3Server

SERVERS: dict[str, Callable[[], S3Server]] = {"minio": s3_servers.minio, "seaweedfs": s3_servers.seaweedfs}


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> S3Server:
    return SERVERS[request.param]()


@pytest.fixture
def bucket(server: S3Server) -> S3Bucket:
    return server.bucket("shared", prefix=os.urandom(6).hex())


def name() -> str:
    return new_object_name(os.urandom)


def enforced(bucket: S3Bucket) -> S3ObjectGuard:
    return S3ObjectGuard(bucket, is_enforced=lambda: True)


def overwritten(bucket: S3Bucket, mine: str) -> None:
    """What somebody does who has the access key and another program."""
    bucket.request("PUT", mine, body=b"other bytes")


def test_every_version_goes_with_the_object(bucket: S3Bucket) -> None:
    store, mine = S3ObjectStore(bucket), name()
    store.put(mine, b"first")
    overwritten(bucket, mine)
    bucket.request("DELETE", mine)
    assert len(bucket.versions(mine)) == 3
    store.delete(mine)
    assert bucket.versions(mine) == []
    assert list(store.names()) == []


def test_object_behind_a_delete_marker_is_there_and_cannot_be_got(bucket: S3Bucket) -> None:
    store, mine = S3ObjectStore(bucket), name()
    store.put(mine, b"first")
    bucket.request("DELETE", mine)
    with pytest.raises(NotFoundError):
        store.get(mine)
    assert store.exists(mine)
    assert list(store.names()) == [mine]


def test_unfinished_upload_goes_with_the_object(bucket: S3Bucket) -> None:
    store, mine = S3ObjectStore(bucket), name()
    bucket.request("POST", mine, query={"uploads": ""})
    assert len(bucket.unfinished_uploads(mine)) == 1
    store.delete(mine)
    assert bucket.unfinished_uploads(mine) == []


def test_neighbours_that_begin_alike_are_left_alone(bucket: S3Bucket) -> None:
    store, mine = S3ObjectStore(bucket), name()
    store.put(mine, b"mine")
    bucket.request("PUT", mine + "-longer", body=b"not mine")
    store.delete(mine)
    assert [each.size for each in bucket.versions(mine + "-longer")] == [8]


def test_two_prefixes_of_one_bucket_do_not_see_each_other(server: S3Server) -> None:
    ours, theirs = server.store(), server.store()
    mine = name()
    ours.put(mine, b"ours")
    theirs.put(mine, b"theirs")
    assert list(theirs.names(mine[:2])) == [mine]
    theirs.delete(mine)
    assert ours.get(mine) == b"ours"
    assert list(theirs.names()) == []


def test_more_objects_than_one_page_of_a_listing_are_all_listed(
    bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = S3ObjectStore(bucket)
    put = {name(): b"x" for _ in range(25)}
    store.put_all(put)
    overwritten(bucket, min(put))
    monkeypatch.setattr("mailstore.s3_bucket._PAGE", 10)
    assert sorted(store.names()) == sorted(put)


def test_server_that_does_not_refuse_a_taken_name_is_asked_first(bucket: S3Bucket) -> None:
    store, mine = S3ObjectStore(bucket, refuses_taken_names=False), name()
    store.put(mine, b"first")
    with pytest.raises(Exception, match="there already"):
        store.put(mine, b"first")
    assert len(bucket.versions(mine)) == 1


def test_locked_object_is_not_removed_before_its_date_and_says_until_when(bucket: S3Bucket) -> None:
    store, guard, mine = S3ObjectStore(bucket), enforced(bucket), name()
    store.put(mine, b"kept")
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=600)  # noqa: TID251 - the server has its own clock
    assert guard.retain_until(mine, until) == until
    with pytest.raises(ObjectLockedError, match=f"until {until:%Y-%m-%d %H:%M}"):
        store.delete(mine)
    assert store.get(mine) == b"kept"
    assert guard.retain_until(mine, until - timedelta(seconds=300)) == until, "a lock is never shortened"
    assert guard.retain_until(mine, until + timedelta(microseconds=1)) == until + timedelta(seconds=1)


def test_held_object_is_not_removed_until_the_hold_ends(bucket: S3Bucket) -> None:
    store, guard, mine = S3ObjectStore(bucket), enforced(bucket), name()
    store.put(mine, b"kept")
    for _ in range(2):
        guard.hold(mine)
    assert guard.guard_of(mine) == Guard(is_held=True)
    with pytest.raises(ObjectLockedError, match="legal hold"):
        store.delete(mine)
    for _ in range(2):
        guard.release(mine)
    store.delete(mine)
    assert not store.exists(mine)


def test_guard_of_what_is_not_there_says_so(bucket: S3Bucket) -> None:
    """SeaweedFS answers 500 to a change of what is not there: never taken for "not found"."""
    guard, mine = enforced(bucket), name()
    soon = datetime.now(UTC) + timedelta(days=1)  # noqa: TID251 - the server has its own clock
    for call in (guard.guard_of, guard.hold, guard.release, lambda one: guard.retain_until(one, soon)):
        with pytest.raises((NotFoundError, StorageUnavailableError)):
            call(mine)


def test_guard_that_is_not_enforced_says_nothing_to_the_server(bucket: S3Bucket) -> None:
    store, guard, mine = S3ObjectStore(bucket), S3ObjectGuard(bucket, is_enforced=lambda: False), name()
    store.put(mine, b"free")
    guard.hold(mine)
    assert guard.retain_until(mine, datetime(2099, 1, 1, tzinfo=UTC)) is None
    store.delete(mine)
    assert not store.exists(mine)


def test_answer_that_is_longer_than_any_object_is_not_read(bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    store, mine = S3ObjectStore(bucket), name()
    store.put(mine, bytes(3_000_000))
    monkeypatch.setattr("mailstore.s3_bucket.OBJECT_BYTES_MAX", 1_000_000)
    with pytest.raises(TamperedError):
        store.get(mine)
