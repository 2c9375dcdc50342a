from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from mailstore import orphan_sweep
from mailstore.group_commit import GroupCommit
from mailstore.message import MessageId
from mailstore.object_layout import FOLDERS, new_object_name
from tests.vault_room import Vault, a_deposit


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "data")


def orphan_key(vault: Vault) -> MessageId:
    depositor = vault.depositor()
    assert isinstance(depositor._commit, GroupCommit)
    waiting = depositor._sealed(a_deposit())
    vault.keystore.add_batch(depositor._commit._batch([waiting]))
    depositor.close()
    return waiting.message


def test_object_without_a_row_is_swept_at_the_second_look_and_no_other(vault: Vault) -> None:
    (message,) = vault.deposit(a_deposit(b"mine"))
    vault.promotion().promote(message)
    vault.release()
    vault.objects.put(new_object_name(os.urandom), b"orphan")
    sweep = vault.orphan_sweep()
    assert sweep.run().objects == 0
    vault.clock.advance(timedelta(minutes=59))
    assert sweep.run().objects == 0
    vault.clock.advance(timedelta(minutes=1))
    assert sweep.run().objects == 1
    assert list(vault.objects.names()) == [vault.stored(message).object_name]
    assert vault.retrieval().content(message) == b"mine"


def test_object_whose_row_came_after_the_first_look_stays(vault: Vault) -> None:
    (message,) = vault.deposit(a_deposit(b"mine"))
    sweep, promotion = vault.orphan_sweep(), vault.promotion()
    moving = promotion._group_put([vault.stored(message)])
    sweep.run()
    promotion._recorded(moving)
    vault.clock.advance(timedelta(hours=2))
    assert sweep.run().objects == 0
    vault.release()
    assert vault.retrieval().content(message) == b"mine"


def test_all_parts_together_are_the_whole(vault: Vault) -> None:
    for folder in (FOLDERS[0], FOLDERS[500], FOLDERS[-1]):
        vault.objects.put(f"{folder}/{'a' * 24}", b"orphan")
    orphans = [orphan_key(vault) for _ in range(3)]
    vault.clock.advance(timedelta(hours=2))
    sweep = vault.orphan_sweep()
    first = [sweep.run(part=part, of=24) for part in range(24)]
    vault.clock.advance(timedelta(hours=2))
    second = [sweep.run(part=part, of=24) for part in range(24)]
    assert sum(each.keys for each in first) == 3
    assert all(vault.keystore.is_destroyed(orphan) for orphan in orphans)
    assert sum(each.objects for each in second) == 3
    assert list(vault.objects.names()) == []


def test_key_without_a_row_is_swept_after_an_hour_and_no_other(vault: Vault) -> None:
    (message,) = vault.deposit(a_deposit(b"mine"))
    orphan = orphan_key(vault)
    assert vault.orphan_sweep().run().keys == 0
    vault.clock.advance(timedelta(minutes=61))
    swept = vault.orphan_sweep().run()
    assert (swept.keys, swept.unexplained_keys) == (1, 0)
    assert vault.keystore.is_destroyed(orphan)
    assert vault.retrieval().content(message) == b"mine"


def test_too_many_keys_without_rows_are_left_alone(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphan_sweep, "ORPHANS_EXPLAINED", 1)
    orphans = [orphan_key(vault), orphan_key(vault)]
    vault.clock.advance(timedelta(hours=2))
    swept = vault.orphan_sweep().run()
    assert (swept.keys, swept.unexplained_keys) == (0, 2)
    assert vault.keystore.has_keys(orphans)
