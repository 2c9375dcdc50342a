"""A backup of the keys: everything once, then what is new, always coming out even; nothing when nothing changed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from mailstore.backup_making import Made
from tests.backup_room import KEYS, Backups
from tests.vault_room import Vault, a_deposit


@pytest.fixture
def backups(tmp_path: Path) -> Backups:
    return Backups(Vault(tmp_path / "vault"), tmp_path / "backup")


def base_of(made: Made | None) -> int:
    assert made is not None
    return made.generation.listing.base


def test_the_first_is_a_base_with_every_key(backups: Backups) -> None:
    messages = backups.vault.deposit(*(a_deposit() for _ in range(5)))
    assert base_of(backups.keys()) == 1
    read = backups.newest_keys()
    assert set(read.keys) == set(messages)
    assert {key.batch for key in read.keys.values()} <= set(read.batches)
    assert list(backups.vault.keystore.kept_keys()) == sorted(read.keys.values(), key=lambda key: key.message)


def test_nothing_new_makes_no_generation(backups: Backups) -> None:
    backups.vault.deposit(a_deposit())
    backups.keys()
    assert backups.keys() is None


def test_new_keys_travel_as_a_change(backups: Backups) -> None:
    backups.vault.deposit(a_deposit())
    backups.keys()
    backups.vault.clock.advance(timedelta(minutes=5))
    backups.vault.deposit(a_deposit())
    assert base_of(backups.keys()) == 1
    assert [each.listing.sequence for each in backups.newest_keys().chain] == [1, 2]
    assert len(backups.newest_keys().keys) == 2


def test_a_destroyed_key_is_gone_from_the_newest_generation(backups: Backups) -> None:
    first, second = backups.vault.deposit(a_deposit(), a_deposit())
    backups.keys()
    backups.vault.destroy([first])
    assert base_of(backups.keys()) == 1
    read = backups.newest_keys()
    assert set(read.keys) == {second}
    assert set(read.dead) == {first}


def test_a_clock_that_was_set_back_loses_no_key(backups: Backups) -> None:
    backups.vault.deposit(a_deposit())
    backups.keys()
    backups.vault.clock.advance(timedelta(days=-2))
    messages = backups.vault.deposit(a_deposit(), a_deposit())
    assert base_of(backups.keys()) == 2
    assert set(messages) <= set(backups.newest_keys().keys)


def test_a_base_is_made_anew_after_a_week(backups: Backups) -> None:
    backups.vault.deposit(a_deposit())
    backups.keys()
    backups.vault.clock.advance(timedelta(days=7))
    assert base_of(backups.keys()) == 2


def test_another_ring_makes_a_base(backups: Backups) -> None:
    backups.vault.deposit(a_deposit())
    backups.keys()
    backups.key_files["keys/keyring.json"] = b"another ring"
    assert base_of(backups.keys()) == 2


def test_files_of_keys_and_new_pages_travel_alone(backups: Backups) -> None:
    backups.keys()
    backups.key_files["keys/slots.json"] = b"a slot more"
    assert base_of(backups.keys()) == 1
    backups.pages["ledger/00000001.json"] = b"a page"
    assert base_of(backups.keys()) == 1
    read = backups.newest_keys()
    assert read.files["keys/slots.json"] == b"a slot more"
    assert read.files["ledger/00000001.json"] == b"a page"
    assert read.contents.files == (("keys/keyring.json", b"ring"), *read.contents.files[1:])
    assert backups.keys() is None
    assert len(list(backups.catalogue().generations(KEYS))) == 3
