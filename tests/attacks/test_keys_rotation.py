"""Keys are renewed while records are destroyed and mail comes in: nothing comes back, nothing is lost."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mailstore.errors import DestroyedError, WrongKeyError
from mailstore.key_hierarchy import KeyRing, RetiredKey
from mailstore.message import MessageId
from mailstore.rewrapping import Rewrapping
from tests import database_room
from tests.vault_room import NOW, RING, Vault, a_deposit

CONTENT = b"Subject: hello\r\n\r\nworld\r\n"


def renewed(ring: KeyRing, turn: int) -> KeyRing:
    retired = RetiredKey("capture_private", ring.capture_private, NOW + timedelta(days=turn))
    return replace(ring, capture_private=os.urandom(32), retired=(*ring.retired, retired))


def test_rotation_during_destruction_brings_nothing_back_and_loses_nothing(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "data")
    messages = [message for _ in range(12) for message in vault.deposit(a_deposit(CONTENT), a_deposit(CONTENT))]
    doomed, kept = messages[::2], messages[1::2]
    rings = [RING]
    for turn in range(3):
        rings.append(renewed(rings[-1], turn))

    def rotate() -> list[MessageId]:
        for ring in rings[1:]:
            Rewrapping(vault.keystore, ring).run(lambda _: None)
        return []

    def destroy() -> list[MessageId]:
        for start in range(0, len(doomed), 4):
            vault.keystore.destroy(doomed[start : start + 4], at=NOW)
        return doomed

    def receive() -> list[MessageId]:
        """By a process that was not told of the rotation yet."""
        return [vault.deposit(a_deposit(CONTENT))[0] for _ in range(6)]

    with ThreadPoolExecutor(3) as pool:
        _, destroyed, new = [future.result() for future in [pool.submit(act) for act in (rotate, destroy, receive)]]
    Rewrapping(vault.keystore, rings[-1]).run(lambda _: None)
    now = vault.retrieval(replace(rings[-1], retired=()))
    assert [now.content(message) for message in (*kept, *new)] == [CONTENT] * 18
    for ring in rings:
        for message in destroyed:
            with pytest.raises(DestroyedError):
                vault.retrieval(ring).content(message)
    vault.close()


def test_an_old_ring_opens_nothing_in_the_keystore_of_today(tmp_path: Path) -> None:
    """Whoever kept the old keys gets nothing of the keystore's files after a rotation, remnants included."""
    vault = Vault(tmp_path / "data")
    (message,) = vault.deposit(a_deposit(CONTENT))
    old = vault.keystore.wrapped_key(message)
    Rewrapping(vault.keystore, renewed(RING, 0)).run(lambda _: None)
    with pytest.raises(WrongKeyError):
        vault.retrieval(RING).content(message)
    assert not vault.keystore.remnants([old.wrapped_batch_key])
    if not database_room.IS_POSTGRESQL:
        assert not vault.files_hold(old.wrapped_batch_key)
    vault.close()
