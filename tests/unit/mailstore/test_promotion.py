from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from mailstore import message_records, promotion, spool
from mailstore.errors import StorageUnavailableError, TamperedError
from mailstore.message import MessageId
from mailstore.object_layout import new_object_name
from tests.vault_room import Vault, a_deposit


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "data")


def test_promoted_message_is_opened_from_the_object_store(vault: Vault) -> None:
    (message,) = vault.deposit(a_deposit(b"moved"))
    before = vault.stored(message)
    vault.promotion().promote(message)
    after = vault.stored(message)
    assert after.segment is None
    assert after.object_name is not None
    assert message not in after.object_name.replace("/", "")
    assert after.sealed_digest == before.sealed_digest
    assert vault.promotion().sweep().segments == 1
    assert spool.segments(vault.spool) == []
    assert vault.retrieval().content(message) == b"moved"


def test_promotion_done_twice_moves_once(vault: Vault) -> None:
    (message,) = vault.deposit(a_deposit())
    vault.promotion().promote(message)
    vault.promotion().promote(message)
    assert len(list(vault.objects.names())) == 1


def test_unknown_or_disposed_message_is_nothing_to_promote(vault: Vault) -> None:
    vault.promotion().promote(MessageId("z" * 26))
    (message,) = vault.deposit(a_deposit())
    vault.destroy([message])
    vault.promotion().promote(message)
    assert list(vault.objects.names()) == []


def test_changed_bytes_are_never_promoted(vault: Vault) -> None:
    (message,) = vault.deposit(a_deposit())
    stored = vault.stored(message)
    path = vault.spool / str(stored.segment)
    data = bytearray(path.read_bytes())
    data[stored.offset + 80] ^= 1
    path.write_bytes(data)
    with pytest.raises(TamperedError):
        vault.promotion().promote(message)
    assert vault.stored(message).object_name is None
    assert list(vault.objects.names()) == []


def test_store_that_gives_back_other_bytes_is_not_trusted(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    class Forgetful(type(vault.objects)):  # type: ignore[misc] # a real store whose disk lies
        def put_all(self, objects: Mapping[str, bytes]) -> None:
            super().put_all({name: data[:-1] + b"\0" for name, data in objects.items()})

    monkeypatch.setattr(vault, "objects", Forgetful(vault.directory / "objects"))
    (message,) = vault.deposit(a_deposit())
    with pytest.raises(StorageUnavailableError):
        vault.promotion().promote(message)
    assert vault.stored(message).object_name is None
    assert vault.promotion().sweep().objects == 1


def test_messages_promoted_together_lie_in_one_folder_each_under_its_own_name(vault: Vault) -> None:
    contents = [os.urandom(100) for _ in range(10)]
    messages = vault.deposit(*map(a_deposit, contents))
    vault.destroy(messages[:1])
    vault.promotion().promote(messages[1])
    vault.promotion().promote_all(messages)
    assert [vault.retrieval().content(message) for message in messages[1:]] == contents[1:]
    names = list(vault.objects.names())
    assert len(set(names)) == 9
    assert len({name[:2] for name in names}) <= 2
    assert vault.promotion().sweep().segments == 1


def test_segment_is_kept_while_one_message_needs_it(vault: Vault) -> None:
    first, second = vault.deposit(a_deposit(b"1"), a_deposit(b"2"))
    vault.promotion().promote(first)
    assert vault.promotion().sweep().segments == 0
    assert vault.retrieval().content(second) == b"2"
    vault.promotion().promote(second)
    assert vault.promotion().sweep().segments == 1


def test_open_segment_is_never_released(vault: Vault) -> None:
    depositor = vault.depositor()
    message = depositor.deposit(a_deposit())
    vault.promotion().promote(message)
    assert vault.promotion().sweep().segments == 0
    later = depositor.deposit(a_deposit(b"later"))
    depositor.close()
    assert vault.retrieval().content(later) == b"later"


def test_object_without_a_row_is_swept_and_no_other(vault: Vault) -> None:
    (message,) = vault.deposit(a_deposit(b"mine"))
    vault.promotion().promote(message)
    vault.objects.put(new_object_name(os.urandom), b"orphan")
    assert vault.promotion().sweep().objects == 1
    assert vault.retrieval().content(message) == b"mine"


def test_row_never_points_at_an_object_that_was_swept_away_before_it(vault: Vault) -> None:
    (message,) = vault.deposit(a_deposit(b"mine"))
    with pytest.raises(StorageUnavailableError):
        vault.promotion()._places_set({new_object_name(os.urandom): vault.stored(message)})
    assert vault.retrieval().content(message) == b"mine"


def orphan_key(vault: Vault) -> MessageId:
    depositor = vault.depositor()
    waiting = depositor._sealed(a_deposit())
    vault.keystore.add_batch(depositor._batch([waiting]))
    depositor.close()
    return waiting.message


def test_key_without_a_row_is_swept_after_an_hour_and_no_other(vault: Vault) -> None:
    (message,) = vault.deposit(a_deposit(b"mine"))
    orphan = orphan_key(vault)
    assert vault.promotion().sweep().keys == 0
    vault.clock.advance(timedelta(minutes=61))
    swept = vault.promotion().sweep()
    assert (swept.keys, swept.unexplained_keys) == (1, 0)
    assert vault.keystore.is_destroyed(orphan)
    assert vault.retrieval().content(message) == b"mine"


def test_too_many_keys_without_rows_are_left_alone(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promotion, "ORPHANS_EXPLAINED", 1)
    orphans = [orphan_key(vault), orphan_key(vault)]
    vault.clock.advance(timedelta(hours=2))
    swept = vault.promotion().sweep()
    assert (swept.keys, swept.unexplained_keys) == (0, 2)
    assert vault.keystore.has_keys(orphans)


CHILD = """
import sys
from pathlib import Path
from tests.vault_room import Vault
vault = Vault(Path(sys.argv[1]))
vault.promotion().promote(sys.argv[2])
vault.promotion().sweep()
"""


@pytest.mark.parametrize("step", ["promotion.after_put", "promotion.after_rows", "promotion.after_release"])
def test_killed_at_any_step_promotion_converges(vault: Vault, step: str) -> None:
    (message,) = vault.deposit(a_deposit(b"moved"))
    environment = {**os.environ, "STRONGROOM_FAILPOINT": f"{step}:kill", "PYTHONPATH": str(Path.cwd())}
    died = subprocess.run(
        [sys.executable, "-c", CHILD, str(vault.directory), message], env=environment, check=False, timeout=60
    )
    assert died.returncode == -9
    assert vault.retrieval().content(message) == b"moved"
    vault.promotion().promote(message)
    vault.promotion().sweep()
    assert vault.retrieval().content(message) == b"moved"
    assert list(vault.objects.names()) == [vault.stored(message).object_name]
    assert spool.segments(vault.spool) == []
    with vault.database.read() as connection:
        assert message_records.count(connection) == 1
