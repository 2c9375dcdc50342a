"""What is too old goes, and nothing that something newer rests on."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from mailstore import backup_listing
from mailstore.backup_retention import BackupRetention
from tests.backup_room import DATA, KEYS, Backups
from tests.vault_room import Vault, a_deposit

THIRTY_DAYS = timedelta(days=30)


@pytest.fixture
def backups(tmp_path: Path) -> Backups:
    return Backups(Vault(tmp_path / "vault"), tmp_path / "backup")


def expired(backups: Backups, kind: backup_listing.GenerationKind, keep: timedelta = THIRTY_DAYS) -> int:
    retention = BackupRetention(backups.into, backups.catalogue())
    return retention.expire(kind, keep=keep, now=backups.vault.clock.now()).generations


def test_old_data_goes_and_what_newer_generations_need_stays(backups: Backups) -> None:
    backups.vault.promotion().promote_all(backups.vault.deposit(a_deposit()))
    backups.data()
    backups.vault.clock.advance(timedelta(days=31))
    backups.vault.deposit(a_deposit())
    backups.data()
    assert expired(backups, DATA) == 1
    assert backups.catalogue().sequences(DATA) == [2]
    read = backups.newest_data()
    for path in read.files():
        read.file(path)
    (stored, *_) = [row for row in read.contents.files if row.path == "rows.sqlite3"]
    assert stored.size
    listed = {backup_listing.piece_name(DATA, digest) for digest, _ in read.generation.listing.pieces}
    assert listed <= {name for name, _ in backups.into.held(backup_listing.pieces(DATA))}


def test_the_newest_stays_however_old_it_is(backups: Backups) -> None:
    backups.data()
    backups.keys()
    backups.vault.clock.advance(timedelta(days=400))
    assert (expired(backups, DATA), expired(backups, KEYS)) == (0, 0)


def test_a_base_stays_while_the_newest_change_rests_on_it(backups: Backups) -> None:
    for _ in range(3):
        backups.vault.deposit(a_deposit())
        backups.keys()
        backups.vault.clock.advance(timedelta(days=1))
    backups.vault.clock.advance(timedelta(days=40))
    assert expired(backups, KEYS) == 0
    assert len(backups.newest_keys().keys) == 3


def test_no_backup_of_keys_outlives_thirty_days_once_a_newer_base_is_there(backups: Backups) -> None:
    first, *_ = backups.vault.deposit(a_deposit())
    backups.keys()
    backups.vault.destroy([first])
    for _ in range(6):
        backups.vault.clock.advance(timedelta(days=7))
        backups.keys(is_base=True)
        expired(backups, KEYS)
    oldest = backups.catalogue().one(KEYS, backups.catalogue().sequences(KEYS)[0])
    assert backups.vault.clock.now() - oldest.listing.made_at < THIRTY_DAYS
    assert first not in backups.newest_keys().keys


def test_keys_of_a_clock_that_stood_years_ahead_go_with_those_that_were_made_next(backups: Backups) -> None:
    first, *_ = backups.vault.deposit(a_deposit())
    backups.vault.clock.advance(timedelta(days=7_000))
    backups.keys()
    backups.vault.clock.advance(-timedelta(days=7_000))
    backups.vault.destroy([first])
    for _ in range(6):
        backups.vault.clock.advance(timedelta(days=7))
        backups.keys(is_base=True)
        expired(backups, KEYS)
    assert backups.catalogue().sequences(KEYS) == [3, 4, 5, 6, 7]


def test_data_of_a_clock_that_was_dead_takes_no_older_ones_away(backups: Backups) -> None:
    for days in (7, 7, -9_000, 9_007, 7):
        backups.vault.clock.advance(timedelta(days=days))
        backups.vault.deposit(a_deposit())
        backups.data()
    assert expired(backups, DATA) == 0


def test_pieces_and_ways_in_that_nothing_names_are_swept(backups: Backups) -> None:
    backups.data()
    backups.keys()
    lost = [backup_listing.piece_name(DATA, "ab" * 32), backup_listing.ways_in_name("cd" * 32)]
    for name in lost:
        backups.into.put(name, b"left")
    retention = BackupRetention(backups.into, backups.catalogue())
    assert (retention.sweep(DATA, known=()), retention.sweep_ways_in(known=())) == (1, 1)
    assert (retention.sweep(DATA, known=()), retention.sweep_ways_in(known=())) == (0, 0)
    assert backups.newest_data().files()
