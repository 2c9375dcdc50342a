"""Rows from an older backup: the mail that came since has keys and objects, and they are kept."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from mailstore import audit_trail
from mailstore.high_water import ACCEPTED, HighWaterMark
from mailstore.message import AccountId
from mailstore.object_layout import new_object_name
from tests import database_room
from tests.vault_room import Vault, a_deposit


def marked(vault: Vault) -> bool:
    return HighWaterMark(vault.database, vault.keystore).keep()


def put_back(vault: Vault, rows: Path) -> Vault:
    """The same directory with the rows of a backup."""
    vault.close()
    for left in vault.directory.glob("rows.sqlite3*"):
        left.unlink()
    database_room.copied(rows, vault.directory / database_room.ROWS)
    return Vault(vault.directory, clock=vault.clock)


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "data")


def backup(vault: Vault, tmp_path: Path) -> Path:
    vault.database.truncate_journal()
    vault.database.dispose()
    database_room.copied(vault.directory / database_room.ROWS, tmp_path / "backup")
    return tmp_path / "backup"


def test_rows_that_grow_are_themselves(vault: Vault) -> None:
    assert marked(vault)
    for _ in range(3):
        vault.deposit(a_deposit())
        assert marked(vault)
    water = vault.keystore.high_water()
    assert water is not None
    assert water.entries == 3


def test_restore_of_older_rows_kills_no_key_and_no_object(vault: Vault, tmp_path: Path) -> None:
    vault.deposit(a_deposit(b"before"))
    rows = backup(vault, tmp_path)
    lost = vault.deposit(a_deposit(b"since"), a_deposit(b"since then"))
    vault.promotion().promote_all(lost)
    assert marked(vault)
    restored = put_back(vault, rows)
    assert not marked(restored)
    sweep = restored.orphan_sweep()
    for _ in range(3):
        assert sweep.run().rows_are_older
        restored.clock.advance(timedelta(hours=2))
    assert restored.keystore.has_keys(lost)
    assert len(list(restored.objects.names())) == 2


def test_older_rows_that_have_grown_since_are_still_found_out(vault: Vault, tmp_path: Path) -> None:
    """The number of entries alone would not tell: the newcomers stand where the lost ones stood."""
    vault.deposit(a_deposit(b"before"))
    rows = backup(vault, tmp_path)
    lost = vault.deposit(a_deposit(b"since"))
    assert marked(vault)
    restored = put_back(vault, rows)
    for number in range(5):
        restored.deposit(a_deposit(b"%d" % number))
    restored.clock.advance(timedelta(hours=2))
    assert not marked(restored)
    assert restored.orphan_sweep().run().rows_are_older
    assert restored.keystore.has_keys(lost)


def test_the_newest_rows_put_back_again_are_good_and_swept(vault: Vault, tmp_path: Path) -> None:
    vault.deposit(a_deposit(b"before"))
    assert marked(vault)
    rows = backup(vault, tmp_path)
    vault.objects.put(new_object_name(bytes), b"orphan")
    restored = put_back(vault, rows)
    assert marked(restored)
    assert restored.tidy().objects == 1


def test_older_rows_that_a_person_accepts_are_swept_again_and_the_log_says_who_did_it(
    vault: Vault, tmp_path: Path
) -> None:
    vault.deposit(a_deposit(b"before"))
    rows = backup(vault, tmp_path)
    lost = vault.deposit(a_deposit(b"since"))
    vault.promotion().promote_all(lost)
    assert marked(vault)
    restored = put_back(vault, rows)
    assert not marked(restored)
    mark = HighWaterMark(restored.database, restored.keystore)
    assert mark.accept(AccountId("r" * 26), now=restored.clock.now())
    assert mark.keep()
    with restored.database.read() as connection:
        [entry] = audit_trail.of_events(connection, [ACCEPTED])
    assert (entry.actor, entry.detail["seen"]) == ("r" * 26, 2)
    restored.clock.advance(timedelta(hours=2))
    sweep = restored.orphan_sweep()
    sweep.run()
    restored.clock.advance(timedelta(hours=2))
    assert sweep.run().objects == 1
    assert not restored.keystore.has_key(lost[0])
    restored.close()


def test_the_newest_rows_need_nobody_to_accept_them(vault: Vault) -> None:
    vault.deposit(a_deposit())
    mark = HighWaterMark(vault.database, vault.keystore)
    assert mark.keep()
    assert not mark.accept(AccountId("r" * 26), now=vault.clock.now())
