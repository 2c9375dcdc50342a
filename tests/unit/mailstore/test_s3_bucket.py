"""TLS to an object store, with a certificate that is proved or not at all; and what a process may cost it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from mailstore import object_store_url
from mailstore.errors import ObjectStoreDownError, StorageUnavailableError
from mailstore.object_layout import new_object_name
from mailstore.object_store_s3 import S3ObjectStore
from mailstore.s3_bucket import Limits, S3Bucket
from mailstore.s3_credentials import CredentialsFile
from tests import s3_servers
from tests.s3_servers import S3Server


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    server = s3_servers.new_server("minio", tmp_path_factory.mktemp("minio"))
    server.certificates = server.directory / "certs"
    server.certificates.mkdir()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(server.certificates / "private.key")
    (server.certificates / "public.crt").write_bytes(b"".join(each.bytes() for each in certificate.cert_chain_pems))
    server.start()
    yield server
    server.stop()


def bucket(server: S3Server, ca_file: Path, host: str = "localhost") -> S3Bucket:
    url = object_store_url.parsed(f"s3+https://{host}:{server.port}/mail")
    return S3Bucket(url, CredentialsFile(server.credentials_file), ca_file=ca_file)


def test_store_is_used_over_tls_with_an_authority_of_its_own(
    server: S3Server, authority: trustme.CA, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    ours = bucket(server, tmp_path / "ca.pem")
    while True:
        try:
            ours.make()
            break
        except StorageUnavailableError:  # its port answers a moment before it does
            time.sleep(0.2)
    store, objects = S3ObjectStore(ours), {new_object_name(os.urandom): os.urandom(50_000) for _ in range(10)}
    store.put_all(objects)
    assert {name: store.get(name) for name in objects} == objects


def test_certificate_of_a_stranger_or_for_another_name_is_refused(
    server: S3Server, authority: trustme.CA, tmp_path: Path
) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "strange.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    for other in (bucket(server, tmp_path / "strange.pem"), bucket(server, tmp_path / "ca.pem", "127.0.0.1")):
        with pytest.raises(ObjectStoreDownError, match="certificate") as refused:
            other.exists()
        assert "ca_file" in refused.value.fix


def test_one_process_never_has_more_requests_under_way_than_it_may() -> None:
    seen: list[int] = []
    under_way = 0
    lock, together = threading.Lock(), threading.Barrier(3)
    ours = s3_servers.minio().bucket("shared", prefix=os.urandom(6).hex(), limits=Limits(connections=3))

    def act() -> None:
        nonlocal under_way
        with lock:
            under_way += 1
            seen.append(under_way)
        together.wait(60)
        time.sleep(0.02)
        with lock:
            under_way -= 1

    threads = [threading.Thread(target=ours.attempted, args=(act,)) for _ in range(12)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert max(seen) == 3


def test_whoever_gets_no_turn_in_time_hears_so() -> None:
    limits = Limits(connections=1, silence_seconds=0.2)
    ours = s3_servers.minio().bucket("shared", prefix=os.urandom(6).hex(), limits=limits)
    begun, release = threading.Event(), threading.Event()

    def act() -> None:
        begun.set()
        release.wait()

    busy = threading.Thread(target=ours.attempted, args=(act,))
    busy.start()
    assert begun.wait(60)
    try:
        with pytest.raises(StorageUnavailableError, match="more to do"):
            ours.exists()
    finally:
        release.set()
        busy.join()
    ours.attempted(lambda: None)
