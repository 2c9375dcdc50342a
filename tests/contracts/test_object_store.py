"""What every object store promises. A new adapter joins by one line in ``STORES``."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from mailstore.errors import NotFoundError, RefusedError, TamperedError
from mailstore.object_layout import new_object_name
from mailstore.object_store import ObjectStore
from mailstore.object_store_awaited import AwaitedObjects
from mailstore.object_store_local import LocalObjectStore
from mailstore.restore_plan import RestorePlan
from tests import s3_servers
from tests.chaos_proxy import Behaviour, ChaosProxy

LONG_WAY_BYTES, LONG_WAY_SECONDS = 100_000, 0.01
"""10 MB a second, and 10 ms more each way."""


def slow_minio(_: Path) -> ObjectStore:
    """As over a long way: every piece of a question or an answer takes a while."""
    server = s3_servers.minio()
    return server.store(port=slow_way(server.port).port)


@cache
def slow_way(port: int) -> ChaosProxy:
    target = ("127.0.0.1", port)
    return ChaosProxy(target, Behaviour.SLOW, slow_bytes=LONG_WAY_BYTES, slow_seconds=LONG_WAY_SECONDS)


STORES: dict[str, Callable[[Path], ObjectStore]] = {
    "local": lambda folder: LocalObjectStore.made(folder / "objects"),
    "awaited": lambda folder: AwaitedObjects(LocalObjectStore.made(folder / "objects"), RestorePlan(folder / "plan")),
    "minio": lambda _: s3_servers.minio().store(),
    "slow": slow_minio,
    "seaweedfs": lambda _: s3_servers.seaweedfs().store(),
}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return STORES[request.param](tmp_path)


def name() -> str:
    return new_object_name(os.urandom)


@pytest.mark.parametrize("size", [0, 1, 70_000, 3_000_000])
def test_what_was_put_is_got(store: ObjectStore, size: int) -> None:
    data, mine = os.urandom(size), name()
    store.put(mine, data)
    assert store.get(mine) == data
    assert store.exists(mine)


def test_a_name_is_written_once(store: ObjectStore) -> None:
    mine = name()
    store.put(mine, b"first")
    with pytest.raises(RefusedError):
        store.put(mine, b"second")
    assert store.get(mine) == b"first"


def test_objects_put_together_are_each_there(store: ObjectStore) -> None:
    objects = {name(): os.urandom(size) for size in (0, 10, 100_000)}
    store.put_all(objects)
    assert {each: store.get(each) for each in store.names()} == objects
    with pytest.raises(RefusedError):
        store.put_all({name(): b"new", next(iter(objects)): b"other"})
    assert {each: store.get(each) for each in objects} == objects


def test_a_range_is_exactly_that_range(store: ObjectStore) -> None:
    mine = name()
    store.put(mine, bytes(range(100)))
    assert store.get_range(mine, 0, 100) == bytes(range(100))
    assert store.get_range(mine, 10, 5) == bytes(range(10, 15))
    assert store.get_range(mine, 99, 1) == b"\x63"


def test_a_range_beyond_the_end_is_refused(store: ObjectStore) -> None:
    mine = name()
    store.put(mine, bytes(100))
    for offset, length in ((90, 11), (100, 1), (1000, 10)):
        with pytest.raises(TamperedError, match=mine):
            store.get_range(mine, offset, length)


def test_what_is_not_there_is_not_found(store: ObjectStore) -> None:
    mine = name()
    with pytest.raises(NotFoundError):
        store.get(mine)
    with pytest.raises(NotFoundError):
        store.get_range(mine, 0, 1)
    assert not store.exists(mine)


def test_what_was_deleted_is_gone(store: ObjectStore) -> None:
    mine, other = name(), name()
    store.put(mine, b"mine")
    store.put(other, b"other")
    store.delete(mine)
    store.delete(mine)
    assert not store.exists(mine)
    assert list(store.names()) == [other]
    with pytest.raises(NotFoundError):
        store.get(mine)


def test_every_object_is_listed_once(store: ObjectStore) -> None:
    assert list(store.names()) == []
    put = {name() for _ in range(20)}
    for each in put:
        store.put(each, b"x")
    listed = list(store.names())
    assert len(listed) == 20
    assert set(listed) == put
    for letters in (1, 2):
        found = {
            beginning: list(store.names(beginning)) for beginning in {each[:letters] for each in put} | {"2" * letters}
        }
        assert sorted(each for names in found.values() for each in names) == sorted(put)
        assert all(each.startswith(beginning) for beginning, names in found.items() for each in names)


@pytest.mark.parametrize(
    "hostile", ["", "..", "../keys/slots.json", "aa/../../x", "/etc/passwd", "aa/" + "a" * 25, "AA/" + "A" * 24, "aa\0"]
)
def test_name_that_we_do_not_make_is_refused(store: ObjectStore, hostile: str) -> None:
    for call in (store.get, store.delete, store.exists, lambda bad: store.put(bad, b"x")):
        with pytest.raises(RefusedError):
            call(hostile)
