from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance import cli, process_file, wiring
from appliance.data_directory import DataDirectory
from appliance.key_change import KEPT, KeyChange
from appliance.role_charge import SecretPlace
from appliance.share_pages import SharePage, written
from mailstore import failpoint, key_custody, key_rotation, slot_shares, ways_in
from mailstore.errors import RefusedError, SealedError, WrongKeyError
from mailstore.key_hierarchy import KeyRing, fingerprint
from mailstore.keystore import BatchOfKeys
from mailstore.message import MessageId
from mailstore.slot_key_file import KeyFile, create_key_file
from mailstore.slot_secret import RememberedSecret

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
LATER = NOW + KEPT + timedelta(days=1)


class CutError(Exception):
    """What a failpoint raises here in the place of killing the process."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "data"
    words = ["init", "--practice", "Lakeside Clinic", "--domain", "clinic.example", "--loopback", "21000"]
    assert cli.main([*words, "--data", str(path)]) == 0
    return path


@pytest.fixture
def data(tmp_path: Path, made: Path) -> DataDirectory:
    return DataDirectory(Path(shutil.copytree(made, tmp_path / "data")))


@pytest.fixture
def change(data: DataDirectory) -> KeyChange:
    return KeyChange.of(data, SecretPlace(KeyFile.kind, str(data.unlock_key)))


def nothing(done: int, total: int) -> None:
    del done, total


def ring_of(data: DataDirectory) -> KeyRing:
    return key_custody.unlock(data.keys, KeyFile(data.unlock_key))


def keep_a_key(data: DataDirectory) -> MessageId:
    """A key as depositing keeps one, without the message."""
    message = MessageId("m" * 26)
    with wiring.Appliance.opened(data) as appliance:
        appliance.message_keys.made(message, clock=appliance.clock, randomness=os.urandom)
    return message


def cut_after_the_ring(change: KeyChange) -> None:
    def cut(name: str) -> None:
        if name == "rotation.after_ring":
            raise CutError

    failpoint.rehearse("", seen=cut)
    with pytest.raises(CutError):
        change.rotated(nothing, now=NOW)
    failpoint.rehearse("")


def test_a_rotation_that_is_cut_off_is_finished_and_not_begun_anew(data: DataDirectory, change: KeyChange) -> None:
    message, before = keep_a_key(data), ring_of(data)
    cut_after_the_ring(change)
    begun = ring_of(data)
    assert begun.captures == (begun.capture, before.capture)
    told: list[tuple[int, int]] = []
    rotation = change.rotated(lambda done, total: told.append((done, total)), now=NOW)
    assert (rotation.is_resumed, rotation.rewrapped, rotation.left, rotation.unopened) == (True, 1, 0, ())
    assert told == [(1, 1)]
    assert ring_of(data).capture == begun.capture
    with wiring.Appliance.opened(data) as appliance:
        assert appliance.message_keys.key(message)


@pytest.mark.parametrize("name", ["data_recovery", "index_key", "certificate_seed"])
def test_a_key_that_is_asked_for_by_name_is_renewed_though_a_rotation_had_to_be_finished_first(
    data: DataDirectory, change: KeyChange, name: str
) -> None:
    message, before = keep_a_key(data), ring_of(data)
    cut_after_the_ring(change)
    rotation = change.rotated(nothing, renewed=(*key_rotation.RENEWED, name), now=NOW)
    assert (rotation.is_resumed, rotation.rewrapped, rotation.left, rotation.unopened) == (True, 2, 0, ())
    assert ring_of(data).members()[name] != before.members()[name]
    with wiring.Appliance.opened(data) as appliance:
        assert appliance.message_keys.key(message)


def test_a_retired_pair_goes_when_nothing_can_name_it_any_more(data: DataDirectory, change: KeyChange) -> None:
    first = ring_of(data)
    change.rotated(nothing, now=NOW)
    assert first.capture in ring_of(data).captures
    change.rotated(nothing, now=LATER)
    second = ring_of(data)
    assert first.capture not in second.captures
    assert len(second.captures) == 2
    assert len(second.versions("keys_recovery")) == 3, "backups may be kept for longer than anybody knows here"


def test_a_retired_pair_stays_while_mail_that_came_sealed_may_name_it(data: DataDirectory, change: KeyChange) -> None:
    first = ring_of(data)
    change.rotated(nothing, now=NOW)
    (data.sealed_spool / "segment").write_bytes(b"SRSS")
    change.rotated(nothing, now=LATER)
    assert first.capture in ring_of(data).captures


def test_a_retired_pair_stays_while_a_batch_names_it(data: DataDirectory, change: KeyChange) -> None:
    first = ring_of(data)
    change.rotated(nothing, now=NOW)
    with wiring.Appliance.opened(data) as appliance:
        damaged = BatchOfKeys(os.urandom(16), NOW, fingerprint(first.capture.public), os.urandom(80), ())
        appliance.keystore.add_batch(damaged)
    rotation = change.rotated(nothing, now=LATER)
    assert rotation.unopened == (damaged.batch.hex(),)
    assert rotation.left == 1
    assert first.capture in ring_of(data).captures


def test_the_key_file_in_the_directory_goes_with_its_slot(data: DataDirectory, change: KeyChange) -> None:
    (inside,) = ways_in.listed(data.keys)
    spare = create_key_file(data.path.parent / "spare.key", os.urandom)
    change.added(spare, label="elsewhere", now=NOW)
    outside = KeyChange.of(data, SecretPlace(KeyFile.kind, str(spare.path)))
    outside.rotated(nothing, without=inside.id, now=NOW)
    assert not data.unlock_key.exists()
    with pytest.raises(RefusedError, match="does not unlock by itself"), wiring.Appliance.opened(data):
        pass
    with wiring.Appliance.opened(data, key_file=spare.path) as appliance, appliance.database.read() as connection:
        assert connection


def test_nothing_is_changed_and_nothing_recorded_with_a_wrong_secret(data: DataDirectory) -> None:
    wrong = create_key_file(data.path.parent / "wrong.key", os.urandom)
    change = KeyChange.of(data, SecretPlace(KeyFile.kind, str(wrong.path)))
    state = {path.name: path.read_bytes() for path in data.keys.iterdir()}
    for act in (change.tested, lambda *, now: change.rotated(nothing, now=now)):
        with pytest.raises(WrongKeyError):
            act(now=NOW)
    assert {path.name: path.read_bytes() for path in data.keys.iterdir()} == state


def test_shares_are_not_written_beside_what_they_open(data: DataDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["key", "shares", "make", "--need", "2", "--of", "2", "--into", str(data.path / "shares"), "--json"]
    assert cli.main(["--data", str(data.path), *line]) == 1
    assert "data directory" in json.loads(capsys.readouterr().out)["error"]["message"]
    assert not (data.path / "shares").exists()


def test_a_page_says_what_it_is_and_holds_its_share(tmp_path: Path) -> None:
    shares = slot_shares.split(bytes(32), need=2, of=3)
    pages = [
        SharePage("Praxis Dr. \u0141\u00f3d\u017a", words, number, of=3, need=2, made_at=NOW)
        for number, words in enumerate(shares, start=1)
    ]
    files = written(tmp_path / "pages", pages)
    assert [file.name for file in files][:2] == ["share-1-of-3.pdf", "share-1-of-3.txt"]
    text = (tmp_path / "pages" / "share-2-of-3.txt").read_text()
    assert f"# Recovery share 2 of 3, set {slot_shares.set_of(shares[0])}\n" in text
    assert slot_shares.shares_in(text) == [shares[1]]
    assert (tmp_path / "pages" / "share-3-of-3.pdf").read_bytes().startswith(b"%PDF-")
    with pytest.raises(RefusedError, match="not empty"):
        written(tmp_path / "pages", pages)


def test_a_secret_that_is_needed_again_is_worked_out_once(tmp_path: Path) -> None:
    secret = RememberedSecret(create_key_file(tmp_path / "some.key", os.urandom))
    noted = secret.noted(os.urandom)
    key = secret.slot_key(noted)
    (tmp_path / "some.key").unlink()
    assert secret.slot_key(dict(noted)) == key
    assert secret.kind == "key_file"


def test_while_it_is_sealed_no_secret_changes_anything(data: DataDirectory) -> None:
    """A running appliance is asked first; one that does not answer counts as sealed."""
    with process_file.held(data), pytest.raises(SealedError):
        KeyChange.of(data, SecretPlace(KeyFile.kind, str(data.unlock_key)))


def test_a_backup_of_the_keys_puts_itself_down_in_the_register(
    data: DataDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_a_key(data)
    (tmp_path / "nas").mkdir()
    assert cli.main(["--data", str(data.path), "backup", "create", "--to", str(tmp_path / "nas"), "--json"]) == 0
    capsys.readouterr()
    assert cli.main(["--data", str(data.path), "key", "copies", "--json"]) == 0
    (copy,) = json.loads(capsys.readouterr().out)["items"]
    assert copy["name"].endswith("nas")
    kept = datetime.fromisoformat(copy["kept_until"]) - datetime.fromisoformat(copy["shipped_at"])
    assert kept == timedelta(days=30)
