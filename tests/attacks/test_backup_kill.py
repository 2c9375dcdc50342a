"""Killed at every step of a backup and run again: it converges, sends nothing twice, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from mailstore import backup_listing, failpoint
from mailstore.backup_retention import BackupRetention
from tests.backup_room import DATA, KEYS, Backups
from tests.vault_room import Vault, a_deposit

DATA_STEPS = (
    "rows_snapshot.after_unlink",
    "rows_snapshot.after_copy",
    "backup.after_piece",
    "backup.after_piece:kill@2",
    "backup.after_piece:kill@3",
    "backup.before_listing",
    "backup.after_listing",
)
KEYS_STEPS = ("backup.after_piece", "backup.before_listing", "backup.after_listing")
RETENTION_STEPS = ("backup_retention.after_listing", "backup_retention.after_piece")


def killed(tmp_path: Path, at: str, act: Callable[[Backups], object]) -> None:
    """Do it in a process of its own, which dies at that point."""
    child = os.fork()
    if child == 0:
        failpoint.rehearse(at if ":" in at else f"{at}:kill")
        act(Backups(Vault(tmp_path / "vault"), tmp_path / "backup"))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL, f"{at} was not reached"


def begun(tmp_path: Path) -> None:
    """Mail in the spool and in the store. Nothing stays open: what follows is forked."""
    vault = Vault(tmp_path / "vault")
    vault.promotion().promote_all(vault.deposit(a_deposit(), a_deposit()))
    vault.deposit(a_deposit())
    vault.close()


@pytest.mark.sqlite_files(reason="the copy of a database on a server passes no page by page")
@pytest.mark.parametrize("at", DATA_STEPS)
def test_a_backup_of_data_that_was_killed_is_finished_by_the_next(tmp_path: Path, at: str) -> None:
    begun(tmp_path)
    killed(tmp_path, at, lambda backups: backups.data())
    backups = Backups(Vault(tmp_path / "vault"), tmp_path / "backup")
    assert list((backups.folder / "work").glob("*")) == [], "not a moment after the kill either"
    sent_before = {name for name, _ in backups.into.held(backup_listing.pieces(DATA))}
    backups.data()
    read = backups.newest_data()
    assert read.contents.absent == ()
    for path in read.files():
        read.file(path)
    listed = {backup_listing.piece_name(DATA, digest) for digest, _ in read.generation.listing.pieces}
    if at != "backup.after_listing":
        assert len(sent_before - listed) <= 1, "only what was under way is sent again"
    assert len(list(backups.catalogue().generations(DATA))) == read.generation.listing.sequence
    backups.vault.close()


@pytest.mark.parametrize("at", KEYS_STEPS)
def test_a_backup_of_keys_that_was_killed_is_finished_by_the_next(tmp_path: Path, at: str) -> None:
    begun(tmp_path)
    killed(tmp_path, at, lambda backups: backups.keys())
    backups = Backups(Vault(tmp_path / "vault"), tmp_path / "backup")
    backups.keys()
    assert set(backups.newest_keys().keys) == {key.message for key in backups.vault.keystore.kept_keys()}
    assert backups.keys() is None
    backups.vault.close()


@pytest.mark.parametrize("at", RETENTION_STEPS)
def test_an_end_of_old_backups_that_was_killed_is_finished_by_the_next(tmp_path: Path, at: str) -> None:
    begun(tmp_path)

    def expire(backups: Backups) -> None:
        now = backups.vault.clock.now()
        retention = BackupRetention(backups.into, backups.catalogue())
        retention.expire(KEYS, keep=timedelta(days=30), now=now + timedelta(days=40))
        retention.sweep(KEYS, known=())

    backups = Backups(Vault(tmp_path / "vault"), tmp_path / "backup")
    for _ in range(3):
        backups.keys(is_base=True)
    backups.vault.close()
    killed(tmp_path, at, expire)
    backups = Backups(Vault(tmp_path / "vault"), tmp_path / "backup")
    expire(backups)
    assert backups.catalogue().sequences(KEYS) == [3]
    listed = {backup_listing.piece_name(KEYS, digest) for digest, _ in backups.newest_keys().chain[0].listing.pieces}
    assert {name for name, _ in backups.into.held(backup_listing.pieces(KEYS))} == listed
    backups.vault.close()
