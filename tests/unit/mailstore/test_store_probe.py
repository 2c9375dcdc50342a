from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailstore import store_probe
from mailstore.errors import ObjectStoreDownError
from mailstore.s3_bucket import S3Bucket
from mailstore.store_probe import Enforced, Probe
from tests import s3_servers
from tests.free_ports import free_port
from tests.s3_servers import S3Server

SERVERS: dict[str, Callable[[], S3Server]] = {"minio": s3_servers.minio, "seaweedfs": s3_servers.seaweedfs}
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> S3Server:
    return SERVERS[request.param]()


def test_what_is_enforced_is_found_by_trying_and_nothing_of_it_stays(server: S3Server) -> None:
    bucket = server.bucket("shared", prefix=os.urandom(6).hex())
    found = store_probe.probe(bucket, now=NOW, randomness=os.urandom)
    assert found.enforces == frozenset(Enforced)
    assert found.has_second_guard
    assert len(list(bucket.names(store_probe.PREFIX))) == 1, "one object is locked for some seconds"
    time.sleep(store_probe.LOCK_SECONDS + 1)
    store_probe.clear(bucket)
    assert list(bucket.names()) == []


def test_bucket_without_versions_or_lock_enforces_neither() -> None:
    """Its name says nothing, nor does the server's: only what it does counts."""
    server = s3_servers.minio()
    name = f"plain-{os.urandom(6).hex()}"
    plain(server, name)
    bucket = server.bucket(name)
    found = store_probe.probe(bucket, now=NOW, randomness=os.urandom)
    assert found.enforces == {Enforced.NO_OVERWRITE}
    assert not found.has_second_guard
    assert list(bucket.names()) == []


def test_server_that_is_away_is_no_server_that_enforces_nothing() -> None:
    bucket = s3_servers.minio().bucket("shared", port=free_port())
    with pytest.raises(ObjectStoreDownError):
        store_probe.probe(bucket, now=NOW, randomness=os.urandom)


def test_what_was_found_is_remembered_for_this_store_alone(tmp_path: Path) -> None:
    path = tmp_path / "object-store.json"
    found = Probe("s3+http://127.0.0.1:9/mail", NOW, frozenset({Enforced.LEGAL_HOLD, Enforced.VERSIONS}))
    store_probe.remember(path, found)
    assert store_probe.remembered(path, url=found.url) == found
    assert store_probe.remembered(path, url=found.url + "2") is None
    assert found.words == ["versions", "legal_hold"]


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"format": "strongroom/store-probe/v1", "url": "u"}'])
def test_damaged_memory_is_no_memory(tmp_path: Path, text: str) -> None:
    path = tmp_path / "object-store.json"
    path.write_text(text)
    assert store_probe.remembered(path, url="u") is None
    assert store_probe.remembered(tmp_path / "none", url="u") is None


def plain(server: S3Server, name: str) -> None:
    """A bucket as somebody makes it who thinks of nothing."""
    bucket: S3Bucket = server.bucket("shared")
    bucket.attempted(lambda: bucket._client.make_bucket(name))
