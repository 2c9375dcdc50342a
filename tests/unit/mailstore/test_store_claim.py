from __future__ import annotations

import os

import pytest

from mailstore.errors import ObjectStoreDownError, RefusedError
from mailstore.object_layout import new_object_name
from mailstore.object_store_s3 import S3ObjectStore
from mailstore.s3_bucket import S3Bucket
from mailstore.store_claim import NAME, StoreClaim, owner_of
from tests import s3_servers

OURS, THEIRS = owner_of(b"o" * 32), owner_of(b"t" * 32)


@pytest.fixture
def bucket() -> S3Bucket:
    return s3_servers.minio().bucket("shared", prefix=os.urandom(6).hex())


def test_store_that_nobody_has_is_ours_again_and_again(bucket: S3Bucket) -> None:
    for _ in range(2):
        StoreClaim(bucket, OURS).make()
    StoreClaim(bucket, OURS).prove()
    assert list(S3ObjectStore(bucket).names()) == [], "the mark is no object"


def test_store_of_another_appliance_is_refused(bucket: S3Bucket) -> None:
    StoreClaim(bucket, THEIRS).make()
    with pytest.raises(RefusedError, match="another appliance"):
        StoreClaim(bucket, OURS).make()
    StoreClaim(bucket, OURS).withdraw()
    StoreClaim(bucket, THEIRS).prove()


def test_objects_without_a_mark_are_somebodys(bucket: S3Bucket) -> None:
    S3ObjectStore(bucket).put(new_object_name(os.urandom), b"x")
    with pytest.raises(RefusedError, match="another appliance"):
        StoreClaim(bucket, OURS).make()


def test_withdrawn_claim_leaves_nothing(bucket: S3Bucket) -> None:
    claim = StoreClaim(bucket, OURS)
    claim.make()
    claim.withdraw()
    assert list(bucket.names()) == []


def test_nothing_is_read_written_or_swept_in_a_store_that_is_not_ours(bucket: S3Bucket) -> None:
    mine = new_object_name(os.urandom)
    S3ObjectStore(bucket).put(mine, b"theirs")
    StoreClaim(bucket, THEIRS)._write()
    store = S3ObjectStore(bucket, claim=StoreClaim(bucket, OURS))
    for call in (store.get, store.delete, store.exists, lambda name: store.put(name, b"x"), lambda _: [*store.names()]):
        with pytest.raises(ObjectStoreDownError, match="another appliance"):
            call(mine)
    assert S3ObjectStore(bucket).get(mine) == b"theirs"


def test_empty_store_in_the_place_of_ours_is_down_and_not_empty(bucket: S3Bucket) -> None:
    """Not one message is "missing" because a bucket was lost, or a URL names the wrong one."""
    store = S3ObjectStore(bucket, claim=StoreClaim(bucket, OURS))
    with pytest.raises(ObjectStoreDownError, match="mark"):
        store.get(new_object_name(os.urandom))
    StoreClaim(bucket, OURS).make()
    assert list(store.names()) == []


def test_mark_says_nothing_of_the_key(bucket: S3Bucket) -> None:
    StoreClaim(bucket, OURS).make()
    told = bucket.request("GET", NAME).body
    assert told == OURS.encode()
    assert (b"o" * 32).hex().encode() not in told
    assert OURS != THEIRS
