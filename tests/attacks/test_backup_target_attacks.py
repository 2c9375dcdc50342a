"""A target of backups that was rolled back, cut off, swapped, emptied, filled up or taken away, and who notices."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.demo.plain_text_scan import findings
from mailstore import backup_catalogue, backup_listing
from mailstore.backup_listing import GenerationKind, Head
from mailstore.backup_making import known_heads
from mailstore.backup_target_directory import DirectoryTarget
from mailstore.document_signing import SeedSigner
from mailstore.errors import RefusedError, StorageUnavailableError, TamperedError
from tests.backup_room import DATA, KEYS, Backups
from tests.vault_room import RING, Vault, a_deposit

WORDS = ("zqsubject81", "zqbody82", "zqsender83")


@pytest.fixture
def backups(tmp_path: Path) -> Backups:
    return Backups(Vault(tmp_path / "vault"), tmp_path / "backup")


def test_a_target_that_was_put_back_is_not_gone_on_with(backups: Backups, tmp_path: Path) -> None:
    backups.data()
    shutil.copytree(backups.folder / "target", tmp_path / "older")
    backups.data()
    shutil.rmtree(backups.folder / "target")
    (tmp_path / "older").rename(backups.folder / "target")
    with pytest.raises(TamperedError, match=backup_catalogue.ROLLED_BACK):
        backups.data()


def test_a_cut_off_target_is_known_by_what_its_other_kind_has_seen(backups: Backups) -> None:
    backups.data()
    backups.data()
    backups.keys()
    backups.into.remove(backup_listing.listing_name(DATA, 2))
    catalogue = backups.catalogue()
    newest = {kind: catalogue.newest(kind) for kind in GenerationKind}
    keys = newest[KEYS]
    assert keys is not None
    assert backup_catalogue.rolled_back(catalogue.target_id, newest, keys.listing.seen)


def test_another_listing_under_the_newest_number_is_noticed(backups: Backups) -> None:
    made = backups.data()
    forged = replace(made.generation.listing, as_of=made.generation.listing.made_at, pieces=())
    path = backups.folder / "target" / forged.name
    path.write_bytes(forged.signed(SeedSigner.of(RING)))
    with pytest.raises(TamperedError, match="another one"):
        backups.data()


def test_a_listing_that_another_practice_signed_is_refused(backups: Backups) -> None:
    made = backups.data()
    path = backups.folder / "target" / made.generation.listing.name
    path.write_bytes(made.generation.listing.signed(SeedSigner(bytes(32), bytes(32))))
    with pytest.raises(TamperedError, match="not signed"):
        backups.catalogue().newest(DATA)


def test_a_target_of_another_practice_is_refused(backups: Backups, tmp_path: Path) -> None:
    backups.data()
    other = Backups(
        Vault(tmp_path / "other", replace(RING, row_key=bytes(32))), tmp_path / "other-backup", backups.into
    )
    with pytest.raises(RefusedError, match="another practice"):
        other.data()


def test_two_appliances_never_go_on_in_one_target_unseen(backups: Backups, tmp_path: Path) -> None:
    """A restored copy beside the living one: whoever comes second to a number is told."""
    backups.data()
    twin = Backups(backups.vault, tmp_path / "twin", backups.into)
    twin.data()
    twin.data()
    with pytest.raises(TamperedError, match="did not make"):
        backups.data()


def test_a_missing_piece_is_sent_again_and_verifies(backups: Backups) -> None:
    backups.vault.deposit(a_deposit())
    backups.data()
    for name, _ in list(backups.into.held(backup_listing.pieces(DATA))):
        backups.into.remove(name)
    assert backups.data().sent_pieces > 2
    assert backups.newest_data().file("rows.sqlite3")


def test_nothing_is_in_plain_in_a_target_nor_in_what_is_remembered_of_it(backups: Backups) -> None:
    subject, body, sender = WORDS
    content = f"Subject: {subject}\r\nFrom: {sender}@elsewhere.example\r\n\r\n{body}\r\n".encode()
    backups.vault.promotion().promote_all(backups.vault.deposit(a_deposit(content)))
    backups.vault.deposit(a_deposit(content))
    backups.data()
    backups.keys()
    assert list(findings(backups.folder, WORDS)) == []


def test_no_key_is_with_the_data_and_no_data_with_the_keys(backups: Backups) -> None:
    (message,) = backups.vault.deposit(a_deposit())
    backups.data()
    backups.keys()
    wrapped = backups.vault.keystore.wrapped_key(message)
    data = backups.newest_data()
    whole = b"".join(data.file(path) for path in data.files())
    assert wrapped.wrapped_message_key not in whole
    assert wrapped.wrapped_batch_key not in whole
    keys = backups.newest_keys()
    assert keys.keys[message].wrapped == wrapped.wrapped_message_key
    assert not any(backups.vault.stored(message).sealed_digest in each for each in keys.files.values())


def test_a_target_that_is_gone_harms_nothing_and_is_gone_on_with(backups: Backups) -> None:
    backups.data()
    target = backups.folder / "target"
    target.rename(backups.folder / "unplugged")
    with pytest.raises(StorageUnavailableError, match="is not there"):
        backups.data()
    assert list((backups.folder / "work").iterdir()) == []
    (backups.folder / "unplugged").rename(target)
    assert backups.data().generation.listing.sequence == 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", str(place)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("NOT TESTED: a full disk. Mounting a small disk takes root and the right to mount")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_target_is_named_and_gone_on_with_when_there_is_room(backups: Backups, small_disk: Path) -> None:
    backups.target = DirectoryTarget(small_disk)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(900 * 1024))
    backups.vault.deposit(*(a_deposit(b"Subject: x\r\n\r\n" + os.urandom(20_000).hex().encode()) for _ in range(12)))
    with pytest.raises(StorageUnavailableError) as refusal:
        backups.data()
    assert refusal.value.fix == "make room in the target"
    assert backups.catalogue().newest(DATA) is None
    ballast.unlink()
    backups.data()
    assert backups.newest_data().contents.absent == ()


def test_a_target_that_cannot_be_written_is_named(backups: Backups, small_disk: Path) -> None:
    backups.target = DirectoryTarget(small_disk)
    backups.keys()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    backups.vault.deposit(a_deposit())
    with pytest.raises(StorageUnavailableError) as refusal:
        backups.keys()
    assert "written" in refusal.value.fix


def test_what_is_remembered_cannot_be_edited_unseen(backups: Backups) -> None:
    backups.vault.deposit(a_deposit())
    backups.data()
    with backups.place() as place:
        place.memory._connection.execute("UPDATE chunks SET offset = offset + 1")
        assert known_heads(place.memory)[DATA] == Head(1, known_heads(place.memory)[DATA].digest)
    with pytest.raises(TamperedError, match="sqlite3"):
        backups.data()
