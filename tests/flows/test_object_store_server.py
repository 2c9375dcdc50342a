"""A practice whose mail lies on a real MinIO: ``init``, ``serve``, promotion, the second guard, and an outage."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from mailstore import object_store_url
from mailstore.object_layout import is_object_name
from mailstore.s3_bucket import S3Bucket
from mailstore.s3_credentials import CredentialsFile
from mailstore.s3_lock import S3Lock
from mailstore.store_probe import Enforced
from tests import running_practice, s3_servers
from tests.running_practice import RunningPractice
from tests.s3_servers import S3Server

DESK = "desk@clinic.example"
CANARY = "Zinnoberlampe"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    server = s3_servers.new_server("minio", tmp_path_factory.mktemp("minio"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def practice(server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> RunningPractice:
    words = ("--object-store", server.url("mail"), "--object-store-credentials", str(server.credentials_file))
    practice = running_practice.made(tmp_path_factory.mktemp("practice"), init_words=words)
    practice.add_user(DESK, "frontdesk")
    return practice


def deliver(practice: RunningPractice, subject: str) -> None:
    text = f"From: a@elsewhere.example\r\nTo: {DESK}\r\nSubject: {CANARY} {subject}\r\n\r\n{CANARY} {'x' * 900}\r\n"
    practice.deliver(text.encode(), sender="a@elsewhere.example", recipients=[DESK])


def objects_in(server: S3Server) -> list[str]:
    url = object_store_url.parsed(server.url("mail"))
    return [name for name in S3Bucket(url, CredentialsFile(server.credentials_file)).names() if is_object_name(name)]


def is_locked(server: S3Server, name: str) -> bool:
    bucket = S3Bucket(object_store_url.parsed(server.url("mail")), CredentialsFile(server.credentials_file))
    return S3Lock(bucket).of(name).is_held


def oldest_read(practice: RunningPractice) -> bytes:
    """The very bytes of the oldest message in the mailbox."""
    listed = practice.told("message", "list", DESK, "--as", DESK)["items"]
    return practice.run("message", "show", listed[-1]["id"], "--raw", "--as", DESK, json=False).stdout


@contextmanager
def stopped(server: S3Server) -> Iterator[None]:
    """The store is away until the end of the block."""
    server.stop()
    try:
        yield
    finally:
        server.start()


def test_mail_moves_to_the_store_is_locked_there_and_outlives_its_outage(
    practice: RunningPractice, server: S3Server
) -> None:
    with practice.serving():
        for number in range(2):
            deliver(practice, f"before {number}")
        practice.until(lambda: practice.told("store", "status")["promoted"] == 2)
        told = practice.told("store", "status")
        assert told["store"] == "ok"
        assert told["enforces"] == [each.value for each in Enforced]
        practice.until(lambda: len(objects_in(server)) == 2)
        practice.until(lambda: all(is_locked(server, name) for name in objects_in(server)))
        with stopped(server):
            deliver(practice, "during")
            assert practice.told("store", "status")["store"] == "down"
            practice.sign_in(DESK)
            assert b"before 0" in oldest_read(practice)
        practice.until(lambda: practice.told("store", "status")["promoted"] == 3, seconds=120)
    assert len(objects_in(server)) == 3
    report = {each["check"]: each["state"] for each in practice.run("doctor", "--quick").json["items"]}
    assert report["object lock"] == "ok"


def test_what_the_server_holds_and_logs_has_no_word_in_plain_text(practice: RunningPractice, server: S3Server) -> None:
    for place in (server.directory, practice.data / "log"):
        for path in (Path(folder, name) for folder, _, names in os.walk(place) for name in names):
            with suppress(FileNotFoundError):  # what the server has removed meanwhile
                told = path.read_bytes()
                assert CANARY.encode() not in told, path
                assert b"elsewhere.example" not in told, path
    secret = server.secret_key.encode()
    assert all(secret not in path.read_bytes() for path in (practice.data / "log").iterdir() if path.is_file())


def test_second_practice_cannot_have_the_bucket_of_the_first(
    practice: RunningPractice, server: S3Server, tmp_path: Path
) -> None:
    assert practice.data.exists()
    second = RunningPractice(tmp_path / "data", 21_000)
    words = ("--object-store", server.url("mail"), "--object-store-credentials", str(server.credentials_file))
    error = second.refused("init", "--practice", "P", "--domain", "clinic.example", *words)
    assert "another appliance" in error["message"]
    assert not any(second.data.iterdir())
