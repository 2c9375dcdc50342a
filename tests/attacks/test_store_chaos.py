"""The object store behind a network that does not work, and a server that lies: a proxy before a real MinIO."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mailstore import s3_bucket
from mailstore.errors import ObjectStoreDownError, RefusedError, StorageUnavailableError
from mailstore.object_layout import new_object_name
from mailstore.object_store_s3 import S3ObjectStore
from mailstore.s3_bucket import Limits, S3Bucket
from mailstore.s3_credentials import CredentialsFile
from tests import s3_servers
from tests.chaos_proxy import Behaviour, ChaosProxy

IMPATIENT = Limits(connections=4, silence_seconds=0.6, call_seconds=1.5)
CONTENT = os.urandom(60_000)


@pytest.fixture
def proxy() -> Iterator[ChaosProxy]:
    proxy = ChaosProxy(("127.0.0.1", s3_servers.minio().port))
    yield proxy
    proxy.close()


@pytest.fixture
def prefix() -> str:
    return os.urandom(6).hex()


@pytest.fixture
def store(proxy: ChaosProxy, prefix: str) -> S3ObjectStore:
    """The store behind the proxy, whose answers are waited for as long as in service."""
    return behind(proxy, prefix, Limits(connections=4))


@pytest.fixture
def impatient(proxy: ChaosProxy, prefix: str) -> S3ObjectStore:
    """The same, soon given up."""
    return behind(proxy, prefix, IMPATIENT)


def behind(proxy: ChaosProxy, prefix: str, limits: Limits) -> S3ObjectStore:
    return S3ObjectStore(s3_servers.minio().bucket("shared", prefix=prefix, port=proxy.port, limits=limits))


@pytest.fixture
def direct(prefix: str) -> S3ObjectStore:
    """The same objects, past the proxy."""
    return S3ObjectStore(s3_servers.minio().bucket("shared", prefix=prefix))


def name() -> str:
    return new_object_name(os.urandom)


def again(store: S3ObjectStore, mine: str) -> bytes:
    """What the store gives as soon as it is asked again: it is left alone for a moment after it was silent."""
    ends = time.monotonic() + 60
    while True:
        try:
            return store.get(mine)
        except StorageUnavailableError:
            assert time.monotonic() < ends
            time.sleep(0.1)


@pytest.mark.parametrize(
    ("behaviour", "cut_after"),
    [
        (Behaviour.BLACK_HOLE, 0),
        (Behaviour.REFUSE, 0),
        (Behaviour.GARBAGE, 0),
        (Behaviour.CUT, 0),
        (Behaviour.CUT, 20),
        (Behaviour.CUT, 30_000),
        (Behaviour.SLOW, 0),
    ],
)
def test_every_broken_network_ends_in_time_with_our_own_error(
    proxy: ChaosProxy, impatient: S3ObjectStore, direct: S3ObjectStore, behaviour: Behaviour, cut_after: int
) -> None:
    mine = name()
    direct.put(mine, CONTENT)
    proxy.drop_all()
    proxy.behave(behaviour, cut_after=cut_after)
    began = time.monotonic()
    with pytest.raises(StorageUnavailableError) as refused:
        impatient.get(mine)
    assert time.monotonic() - began < 2 * Limits().silence_seconds
    assert refused.value.retry_may_help
    assert refused.value.fix
    proxy.behave(Behaviour.HONEST)
    assert again(impatient, mine) == CONTENT


def test_silent_store_is_not_waited_for_twice(
    proxy: ChaosProxy, impatient: S3ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads a message must not wait for a dead store once for each."""
    proxy.behave(Behaviour.BLACK_HOLE)
    monkeypatch.setattr(s3_bucket, "SILENCE_SECONDS", 300)
    with pytest.raises(ObjectStoreDownError):
        impatient.get(name())
    asked = proxy.connections
    for _ in range(50):
        with pytest.raises(ObjectStoreDownError):
            impatient.get(name())
    assert proxy.connections == asked


def test_many_readers_of_a_silent_store_all_get_their_answer(proxy: ChaosProxy, impatient: S3ObjectStore) -> None:
    proxy.behave(Behaviour.BLACK_HOLE)
    errors: list[StorageUnavailableError] = []

    def read() -> None:
        try:
            impatient.get(name())
        except StorageUnavailableError as error:
            errors.append(error)

    readers = [threading.Thread(target=read) for _ in range(24)]
    for each in readers:
        each.start()
    for each in readers:
        each.join(60)
    assert len(errors) == len(readers)


def heal_after_the_first_cut(proxy: ChaosProxy) -> None:
    for _ in range(6_000):
        if proxy.struck:
            break
        time.sleep(0.01)
    proxy.behave(Behaviour.HONEST)


@pytest.mark.parametrize("cut_after", [0, 10])
def test_put_whose_answer_was_cut_off_is_done_once_and_called_done(
    proxy: ChaosProxy, store: S3ObjectStore, direct: S3ObjectStore, cut_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has the object and we do not know: the second attempt finds the name taken by our own bytes."""
    mine = name()
    proxy.behave(Behaviour.CUT, cut_after=cut_after)
    monkeypatch.setattr(s3_bucket, "PAUSES", (0.1, 10.0))
    healing = threading.Thread(target=heal_after_the_first_cut, args=(proxy,))
    healing.start()
    store.put(mine, CONTENT)
    healing.join()
    assert direct.get(mine) == CONTENT
    assert len(direct._bucket.versions(mine)) == 1
    with pytest.raises(RefusedError):
        store.put(mine, CONTENT)


def test_put_that_failed_left_the_whole_object_or_none(
    proxy: ChaosProxy, store: S3ObjectStore, direct: S3ObjectStore
) -> None:
    names = [name() for _ in range(6)]
    for number, mine in enumerate(names):
        cut = threading.Timer(0.002 * number, proxy.drop_all)
        cut.start()
        with suppress(StorageUnavailableError):
            store.put(mine, CONTENT)
        cut.join()
    for mine in names:
        assert not direct.exists(mine) or direct.get(mine) == CONTENT


def test_connections_that_die_now_and_then_stop_nobody(proxy: ChaosProxy, store: S3ObjectStore) -> None:
    """While every tenth object is put, the connections are cut at some moment, each time a little later."""
    objects = {name(): os.urandom(2_000) for _ in range(60)}
    for number, (mine, data) in enumerate(objects.items()):
        cutter = threading.Timer(number / 10_000, proxy.drop_all)
        if number % 10 == 0:
            cutter.start()
        store.put(mine, data)
        if number % 10 == 0:
            cutter.join()
    assert {mine: again(store, mine) for mine in objects} == objects


def test_altered_bytes_come_as_they_are_and_are_the_readers_to_refuse(
    proxy: ChaosProxy, store: S3ObjectStore, direct: S3ObjectStore
) -> None:
    """The store vouches for nothing; ``retrieval`` holds every byte against the digest in its sealed row."""
    mine = name()
    direct.put(mine, b"sealed")
    with proxy.behaving(Behaviour.ALTER):
        assert store.get(mine) == bytes(byte ^ 1 for byte in b"sealed")


def test_lists_that_are_garbage_never_mean_that_nothing_is_there(
    proxy: ChaosProxy, store: S3ObjectStore, direct: S3ObjectStore
) -> None:
    """A sweep or a proof of absence that believed it would lose or leave mail."""
    mine = name()
    direct.put(mine, b"x")
    for behaviour in (Behaviour.GARBAGE, Behaviour.ALTER):
        with proxy.behaving(behaviour):
            for look in (lambda: store.exists(mine), lambda: list(store.names()), lambda: store.delete(mine)):
                with pytest.raises(StorageUnavailableError):
                    look()
            proxy.drop_all()
    assert direct.get(mine) == b"x"


def test_credentials_that_run_out_say_what_to_do_and_new_ones_work_at_once(prefix: str, tmp_path: Path) -> None:
    server = s3_servers.minio()
    bucket = server.bucket("shared", prefix=prefix)
    path = tmp_path / "credentials"
    path.write_text(f"{server.access_key}\nexpired-secret\n")
    store, mine = S3ObjectStore(S3Bucket(bucket.url, CredentialsFile(path))), name()
    for call in (lambda: store.put(mine, b"x"), lambda: store.get(mine), lambda: store.exists(mine)):
        with pytest.raises(ObjectStoreDownError, match="credentials") as refused:
            call()
        assert "expired-secret" not in f"{refused.value} {refused.value.fix}"
    path.write_text(f"{server.access_key}\n{server.secret_key}\n")
    store.put(mine, b"x")
    path.unlink()
    with pytest.raises(StorageUnavailableError, match="cannot be read"):
        store.get(mine)


def test_clock_that_is_wrong_is_named_as_the_reason(prefix: str) -> None:
    """S3 refuses requests that are more than 15 minutes off; the process that asks runs a day ahead."""
    server = s3_servers.minio()
    server.bucket("shared")
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from mailstore import object_store_url\n"
        "from mailstore.s3_bucket import S3Bucket\n"
        "from mailstore.s3_credentials import CredentialsFile\n"
        "from mailstore.errors import StrongroomError\n"
        "try:\n"
        "    S3Bucket(object_store_url.parsed(sys.argv[1]), CredentialsFile(Path(sys.argv[2]))).exists()\n"
        "except StrongroomError as error:\n"
        "    print(error.code, error.message, error.fix)\n"
    )
    url, credentials = server.url("shared", prefix=prefix), str(server.credentials_file)
    done = subprocess.run(
        ["faketime", "-f", "+1d", sys.executable, "-c", code, url, credentials],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert "object_store_down the clocks of this machine and of the object store are too far apart" in done.stdout


def test_server_that_is_killed_and_started_again_has_what_it_acknowledged(tmp_path: Path) -> None:
    server = s3_servers.new_server("minio", tmp_path)
    server.start()
    try:
        store, objects = server.store(), {name(): os.urandom(3_000) for _ in range(20)}
        store.put_all(objects)
        server.stop()
        with pytest.raises(ObjectStoreDownError):
            store.get(next(iter(objects)))
        server.start()
        assert {mine: again(store, mine) for mine in objects} == objects
    finally:
        server.stop()


def test_bucket_that_was_lost_is_down_and_its_objects_are_not_called_missing(prefix: str) -> None:
    server = s3_servers.minio()
    bucket = server.bucket(f"lost-{prefix}")
    store = S3ObjectStore(bucket)
    bucket.attempted(lambda: bucket._client.remove_bucket(bucket.url.bucket))
    for call in (lambda: store.get(name()), lambda: store.exists(name()), lambda: list(store.names())):
        with pytest.raises(ObjectStoreDownError, match="bucket"):
            call()
