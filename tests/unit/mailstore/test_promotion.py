from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from mailstore import message_records, promotion, spool
from mailstore.errors import ObjectStoreDownError, TamperedError
from mailstore.message import MessageId
from tests.vault_room import Vault, a_deposit


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "data")


def test_promoted_message_lies_in_both_places_and_after_release_in_the_store_alone(vault: Vault) -> None:
    (message,) = vault.deposit(a_deposit(b"moved"))
    before = vault.stored(message)
    vault.promotion().promote(message)
    both = vault.stored(message)
    assert (both.segment, both.offset) == (before.segment, before.offset)
    assert both.object is not None
    assert (both.object.digest, both.object.length) == (before.sealed_digest, before.sealed_length)
    assert message not in both.object.name.replace("/", "")
    assert vault.release().segments == 1
    assert spool.segments(vault.spool) == []
    assert vault.stored(message).segment is None
    assert vault.retrieval().content(message) == b"moved"


def test_promotion_done_twice_puts_once(vault: Vault) -> None:
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
    (message,) = vault.deposit(a_deposit(b"mine"))
    with pytest.raises(ObjectStoreDownError):
        vault.promotion().promote(message)
    assert vault.stored(message).object_name is None
    assert list(vault.objects.names()) == []
    assert vault.retrieval().content(message) == b"mine"


def test_messages_promoted_together_lie_in_one_folder_each_under_its_own_name(vault: Vault) -> None:
    contents = [os.urandom(100) for _ in range(10)]
    messages = vault.deposit(*map(a_deposit, contents))
    vault.destroy(messages[:1])
    vault.promotion().promote(messages[1])
    vault.promotion().promote_all(messages)
    vault.release()
    assert [vault.retrieval().content(message) for message in messages[1:]] == contents[1:]
    names = list(vault.objects.names())
    assert len(set(names)) == 9
    assert len({name[:2] for name in names}) <= 2


def test_many_bytes_go_in_groups_so_that_memory_stays_flat(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    put: list[int] = []

    class Counting(type(vault.objects)):  # type: ignore[misc] # a real store that says what it is given at once
        def put_all(self, objects: Mapping[str, bytes]) -> None:
            put.append(sum(map(len, objects.values())))
            super().put_all(objects)

    monkeypatch.setattr(promotion, "BYTES_AT_ONCE", 50_000)
    monkeypatch.setattr(vault, "objects", Counting(vault.directory / "objects"))
    messages = vault.deposit(*(a_deposit(os.urandom(size)) for size in (20_000, 20_000, 20_000, 90_000, 10_000)))
    vault.promotion().promote_all(messages)
    assert len(put) == 4
    assert all(vault.stored(message).object_name for message in messages)


def test_repacked_message_has_a_digest_for_each_copy(vault: Vault) -> None:
    content = base64.encodebytes(os.urandom(60) * 100).replace(b"\n", b"\r\n")
    (message,) = vault.deposit(a_deposit(content))
    vault.promotion().promote(message)
    stored = vault.stored(message)
    assert stored.object is not None
    assert stored.object.digest != stored.sealed_digest
    sealed = vault.objects.get(stored.object.name)
    assert len(sealed) == stored.object.length
    assert vault.retrieval().content(message) == content
    assert vault.release(timedelta(0)).segments == 1
    assert vault.retrieval().content(message) == content
    vault.destroy([message])
    assert not vault.files_hold(sealed[-16:])


def test_message_that_is_not_repacked_moves_as_it_is(vault: Vault) -> None:
    (message,) = vault.deposit(a_deposit(b"mine"))
    vault.promotion(repacks=False).promote(message)
    stored = vault.stored(message)
    assert stored.object is not None
    assert stored.object.digest == stored.sealed_digest
    assert vault.release(timedelta(0)).segments == 1
    assert vault.retrieval().content(message) == b"mine"


CHILD = """
import sys
from pathlib import Path
from tests.vault_room import Vault
vault = Vault(Path(sys.argv[1]))
vault.promotion().promote(sys.argv[2])
vault.release()
"""
STEPS = [
    "promotion.after_put",
    "promotion.after_read_back",
    "promotion.after_rows",
    "spool_release.after_removal",
    "spool_release.after_rows",
]


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_promotion_converges(vault: Vault, step: str) -> None:
    (message,) = vault.deposit(a_deposit(b"moved"))
    environment = {**os.environ, "STRONGROOM_FAILPOINT": f"{step}:kill", "PYTHONPATH": str(Path.cwd())}
    died = subprocess.run(
        [sys.executable, "-c", CHILD, str(vault.directory), message], env=environment, check=False, timeout=60
    )
    assert died.returncode == -9
    assert vault.retrieval().content(message) == b"moved"
    vault.promotion().promote(message)
    vault.tidy()
    assert vault.retrieval().content(message) == b"moved"
    assert list(vault.objects.names()) == [vault.stored(message).object_name]
    assert spool.segments(vault.spool) == []
    assert vault.stored(message).segment is None
    with vault.database.read() as connection:
        assert message_records.count(connection) == 1
