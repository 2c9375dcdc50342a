from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance import object_store_founding, object_store_wiring
from appliance.data_directory import DataDirectory
from appliance.settings import ObjectStoreSettings, PracticeSettings, Settings
from mailstore import store_probe
from mailstore.errors import ObjectStoreDownError, RefusedError
from mailstore.object_guard import NoGuard
from mailstore.object_guard_s3 import S3ObjectGuard
from mailstore.object_layout import new_object_name
from mailstore.object_store_local import LocalObjectStore
from mailstore.object_store_s3 import S3ObjectStore
from tests import s3_servers
from tests.free_ports import free_port

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
KEY, OTHER_KEY = b"k" * 32, b"o" * 32


def a_place(folder: Path) -> DataDirectory:
    place = DataDirectory(folder)
    for each in (place.path, place.keys, place.run):
        each.mkdir()
    return place


def settings(url: str) -> Settings:
    return Settings(PracticeSettings("P", "clinic.example"), object_store=ObjectStoreSettings(url=url))


def fresh_url() -> str:
    return s3_servers.minio().url(f"init-{os.urandom(6).hex()}")


def found(place: DataDirectory, told: Settings, key: bytes = KEY) -> None:
    credentials = str(s3_servers.minio().credentials_file)
    with object_store_founding.founded(place, told, row_key=key, credentials=credentials, now=NOW):
        pass


def test_bucket_is_made_with_lock_claimed_and_tried_out(tmp_path: Path) -> None:
    place, told = a_place(tmp_path / "a"), settings(fresh_url())
    found(place, told)
    store, mine = object_store_wiring.objects(place, told, KEY), new_object_name(os.urandom)
    store.put(mine, b"x")
    assert isinstance(store, S3ObjectStore)
    assert store.get(mine) == b"x"
    assert stat.S_IMODE(place.object_store_credentials.stat().st_mode) == 0o600
    seen = object_store_wiring.remembered(place, told)
    assert seen is not None
    assert seen.enforces == frozenset(store_probe.Enforced)
    guard = object_store_wiring.guard(place, told)
    assert isinstance(guard, S3ObjectGuard)
    assert guard.is_enforced


def test_second_appliance_is_refused_and_may_have_a_prefix_of_its_own(tmp_path: Path) -> None:
    url = fresh_url()
    found(a_place(tmp_path / "a"), settings(url))
    with pytest.raises(RefusedError, match="another appliance"):
        found(a_place(tmp_path / "b"), settings(url), OTHER_KEY)
    found(a_place(tmp_path / "c"), settings(f"{url}?prefix=second"), OTHER_KEY)


def test_store_is_left_free_when_what_follows_goes_wrong(tmp_path: Path) -> None:
    url, credentials = fresh_url(), str(s3_servers.minio().credentials_file)
    place, told = a_place(tmp_path / "a"), settings(url)
    with (
        pytest.raises(OSError, match="disk"),
        object_store_founding.founded(place, told, row_key=KEY, credentials=credentials, now=NOW),
    ):
        raise OSError("the disk is full")
    found(a_place(tmp_path / "b"), settings(url), OTHER_KEY)


def test_store_that_is_away_is_said_at_once(tmp_path: Path) -> None:
    url = f"s3+http://127.0.0.1:{free_port()}/mail"
    with pytest.raises(ObjectStoreDownError) as refused:
        found(a_place(tmp_path / "a"), settings(url))
    assert "start the object store" in refused.value.fix


@pytest.mark.parametrize("text", ["", "only-a-key\n", "a\nb\nc\n", "\n\n", "key\n\u00e9\n", "key\x00\nsecret\n"])
def test_file_that_holds_no_credentials_is_refused_before_anything_is_asked(tmp_path: Path, text: str) -> None:
    path = tmp_path / "credentials"
    path.write_text(text, "utf-8")
    told = settings("s3+http://127.0.0.1:9/mail")
    with (
        pytest.raises(RefusedError, match="two lines"),
        object_store_founding.founded(a_place(tmp_path / "a"), told, row_key=KEY, credentials=str(path), now=NOW),
    ):
        pass


def test_wrong_secret_is_named_as_such_and_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text(f"{s3_servers.minio().access_key}\nwrong-secret-of-somebody\n")
    told = settings(fresh_url())
    with (
        pytest.raises(ObjectStoreDownError, match="credentials") as refused,
        object_store_founding.founded(a_place(tmp_path / "a"), told, row_key=KEY, credentials=str(path), now=NOW),
    ):
        pass
    assert "wrong-secret" not in str(refused.value) + refused.value.fix


def test_one_option_without_the_other_is_refused() -> None:
    for given in (("s3+https://host/mail", None), (None, "credentials")):
        with pytest.raises(RefusedError, match="go together"):
            object_store_founding.settings_of(*given)
    assert object_store_founding.settings_of(None, None) == ObjectStoreSettings()


def test_local_disk_needs_nothing_and_guards_nothing(tmp_path: Path) -> None:
    place, told = a_place(tmp_path / "a"), settings("")
    with object_store_founding.founded(place, told, row_key=KEY, credentials=None, now=NOW):
        pass
    assert isinstance(object_store_wiring.objects(place, told, KEY), LocalObjectStore)
    assert isinstance(object_store_wiring.guard(place, told), NoGuard)
    assert object_store_wiring.remembered(place, told) is None
