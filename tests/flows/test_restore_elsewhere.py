"""A restore from a bucket with shares, into databases on a server, and onto the store that outlived the box."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance import restore_rest
from appliance.front_door_wiring import settings_of
from appliance.roles import opening
from appliance.wiring import Appliance
from appliance.workplace import WorksElsewhereError
from mailstore.errors import BeingRestoredError
from mailstore.message import MessageId
from tests import add_only_bucket, database_room, lived_practice, s3_servers
from tests.lived_practice import KEPT, LivedPractice, archived, taken_in

pytestmark = pytest.mark.sqlite_files(reason="it backs up and restores a data directory of files")


@dataclass
class Burnt:
    """What is left of a practice: a target, two of three shares, and nothing of its own."""

    practice: LivedPractice
    shares: Path
    messages: list[MessageId]

    def restored(self, name: str, *words: str) -> tuple[LivedPractice, dict[str, Any]]:
        new = LivedPractice(self.practice.path.parent / name)
        return new, new.told("restore", "--shares", str(self.shares), *words)


def made(folder: Path, *init_words: str) -> Burnt:
    """A practice with mail, filed, and shares of which a person typed two."""
    practice = lived_practice.founded(folder, init_words=init_words)
    with practice.opened() as appliance:
        messages = [taken_in(appliance, KEPT) for _ in range(2)]
        archived(appliance, messages)
        messages.append(taken_in(appliance, KEPT))
    pages = folder / "pages"
    practice.told("key", "shares", "make", "--need", "2", "--of", "3", "--into", str(pages))
    typed = folder / "typed"
    typed.write_bytes(b"\n".join((pages / f"share-{number}-of-3.txt").read_bytes() for number in (1, 3)))
    shutil.rmtree(pages)
    return Burnt(practice, typed, messages)


def contents(practice: LivedPractice, burnt: Burnt) -> list[bytes]:
    with Appliance.opened(practice.data, other=("shares", burnt.shares)) as appliance:
        return [appliance.retrieval.content(message) for message in burnt.messages]


def test_bucket_that_may_only_be_added_to_and_two_shares_bring_everything_back_and_servers_take_it(
    tmp_path: Path,
) -> None:
    burnt = made(tmp_path)
    bucket = add_only_bucket.made(s3_servers.minio(), tmp_path)
    there = ("--credentials", str(bucket.credentials_file))
    assert burnt.practice.told("backup", "create", "--to", bucket.url, *there)["problems"] == []
    shutil.rmtree(burnt.practice.path)
    new, told = burnt.restored("new", "--from", bucket.url, *there, "--objects-later")
    assert (told["messages"], told["problems"], told["without_key"]) == (3, [], [])
    assert told["objects_to_come"] >= 2
    with Appliance.opened(new.data, other=("shares", burnt.shares)) as appliance:
        with pytest.raises(BeingRestoredError):
            appliance.retrieval.content(burnt.messages[0])
        assert restore_rest.go_on(appliance, should_stop=lambda: False)
    assert contents(new, burnt) == [KEPT] * 3
    rows = database_room.rows_url(new.path, is_empty=True, engine=database_room.Engine.POSTGRESQL)
    words = ("database", "move", "--to", rows, "--keystore-to", database_room.keystore_url(new.path))
    moved = new.told(*words, "--shares", str(burnt.shares))
    assert moved["moved"] == moved["verified"]
    assert contents(new, burnt) == [KEPT] * 3
    assert not new.data.rows.exists()


@pytest.fixture
def on_a_server(tmp_path: Path) -> Burnt:
    """The practice's mail lies in a bucket, where it was at work until its box burnt."""
    server = s3_servers.minio()
    url = server.url("restores", prefix=secrets.token_hex(6))
    burnt = made(tmp_path, "--object-store", url, "--object-store-credentials", str(server.credentials_file))
    (tmp_path / "target").mkdir()
    with burnt.practice.opened() as appliance:
        opening.bring_up_to_date(appliance.data, appliance.settings, appliance.ring, now=appliance.clock.now())
    assert burnt.practice.told("backup", "create", "--to", str(tmp_path / "target"))["problems"] == []
    return burnt


def test_copy_on_the_store_that_outlived_the_box_waits_for_the_person_who_takes_it_over(
    on_a_server: Burnt, tmp_path: Path
) -> None:
    with on_a_server.practice.opened() as appliance:
        before, [lost, *_] = sorted(appliance.objects.names()), sorted(appliance.objects.names())
        appliance.objects.delete(lost)
    new, told = on_a_server.restored("new", "--from", str(tmp_path / "target"), "--keep-store")
    assert (told["messages"], told["problems"], told["missing"], told["objects_to_come"]) == (3, [], [], 1)
    assert "object_store.url" not in told["moved_here"]
    assert settings_of(new.data).object_store.url
    refused = new.ask("store", "status", "--shares", str(on_a_server.shares))
    assert (refused.code, refused.json["error"]["code"]) == (1, "works_elsewhere")
    with on_a_server.practice.opened() as appliance:
        assert sorted(appliance.objects.names()) == [name for name in before if name != lost]
    new.told("store", "take-over", "--shares", str(on_a_server.shares))
    with Appliance.opened(new.data, other=("shares", on_a_server.shares)) as appliance:
        assert restore_rest.go_on(appliance, should_stop=lambda: False)
        assert sorted(appliance.objects.names()) == before
    assert contents(new, on_a_server) == [KEPT] * 3
    assert not [path for path in new.data.objects.rglob("*") if path.is_file()]
    with on_a_server.practice.opened() as old, pytest.raises(WorksElsewhereError):
        opening.bring_up_to_date(old.data, old.settings, old.ring, now=old.clock.now())


def test_store_is_kept_only_where_there_was_one(tmp_path: Path) -> None:
    burnt = made(tmp_path)
    (tmp_path / "target").mkdir()
    burnt.practice.told("backup", "create", "--to", str(tmp_path / "target"))
    new = LivedPractice(tmp_path / "new")
    words = ("restore", "--shares", str(burnt.shares), "--from", str(tmp_path / "target"), "--keep-store")
    assert "lay on its own disk" in new.ask(*words).json["error"]["message"]
