from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailstore import key_copies
from mailstore.errors import TamperedError
from mailstore.key_copy import FOREVER, KeyCopy, gone_after
from tests import database_room
from tests.vault_room import Vault

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
KEPT = timedelta(days=30)
NAS = KeyCopy("a" * 32, "nas", NOW, NOW + KEPT, NOW)


def test_a_key_is_gone_when_the_last_copy_that_can_hold_it_is(tmp_path: Path) -> None:
    del tmp_path
    old = replace(NAS, place="b" * 32, shipped_at=NOW - KEPT, kept_until=NOW)
    died = NOW + timedelta(hours=1)
    assert gone_after([], died, kept=KEPT) == died
    assert gone_after([old], died, kept=KEPT) == NOW
    assert gone_after([old, NAS], died, kept=KEPT) == NOW + KEPT
    shipped_later = replace(NAS, kept_until=NOW + 2 * KEPT)
    assert gone_after([shipped_later], died, kept=KEPT) == died + KEPT


def test_the_register_never_forgets_a_shipment(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "data")
    later = replace(NAS, shipped_at=NOW + KEPT, kept_until=NOW + 2 * KEPT, reached_at=NOW + KEPT, name="the nas")
    with vault.database.write() as connection:
        for copy in (NAS, later, NAS):
            key_copies.note(connection, copy)
    with vault.database.read() as connection:
        assert key_copies.known(connection) == [replace(later, name="nas")]
        assert key_copies.of_place(connection, "c" * 32) is None
    vault.close()


def test_a_place_that_nobody_removes_from_holds_keys_without_an_end(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "data")
    endless = replace(NAS, kept_until=FOREVER)
    assert gone_after([endless], NOW, kept=KEPT) == FOREVER
    for seen, known in ((NAS, False), (endless, True), (NAS, False)):
        with vault.database.write() as connection:
            key_copies.note(connection, seen)
        with vault.database.read() as connection:
            (found,) = key_copies.known(connection)
        assert found.is_kept_for_ever is known
    vault.close()


def test_an_edited_register_is_refused(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "data")
    with vault.database.write() as connection:
        key_copies.note(connection, NAS)
    database_room.attack(vault.directory / database_room.ROWS, "UPDATE key_copies SET kept_until = ?", 0)
    with vault.database.read() as connection, pytest.raises(TamperedError):
        key_copies.known(connection)
    vault.close()
