from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mailstore import failpoint
from mailstore.errors import DestroyedError, WrongKeyError
from mailstore.key_hierarchy import KeyRing, RetiredKey
from mailstore.rewrapping import Rewrapped, Rewrapping
from tests.vault_room import NOW, RING, Vault, a_deposit

RENEWED = replace(
    RING, capture_private=b"\x55" * 32, retired=(RetiredKey("capture_private", RING.capture_private, NOW),)
)
CONTENT = b"Subject: hello\r\n\r\nworld\r\n"


class CutError(Exception):
    """What the failpoint raises."""


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "data")


def rewrap(vault: Vault, ring: KeyRing = RENEWED) -> Rewrapped:
    return Rewrapping(vault.keystore, ring).run(lambda _: None)


def without_old_pair(ring: KeyRing) -> KeyRing:
    return replace(ring, retired=())


def test_all_mail_opens_without_the_old_pair_and_no_body_was_touched(vault: Vault) -> None:
    messages = [vault.deposit(a_deposit(CONTENT))[0] for _ in range(3)]
    before = {path: path.read_bytes() for path in vault.spool.iterdir()}
    keys = [vault.keystore.wrapped_key(message).wrapped_message_key for message in messages]
    assert Rewrapping(vault.keystore, RENEWED).waiting() == 3
    assert rewrap(vault) == Rewrapped(3, ())
    assert Rewrapping(vault.keystore, RENEWED).waiting() == 0
    for message in messages:
        assert vault.retrieval(without_old_pair(RENEWED)).content(message) == CONTENT
        with pytest.raises(WrongKeyError):
            vault.retrieval(RING).content(message)
    assert {path: path.read_bytes() for path in vault.spool.iterdir()} == before
    assert [vault.keystore.wrapped_key(message).wrapped_message_key for message in messages] == keys
    vault.close()


def test_mail_opens_before_during_and_after(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailstore.rewrapping.PAGE", 1)
    messages = [vault.deposit(a_deposit(CONTENT))[0] for _ in range(3)]

    def cut(name: str) -> None:
        if name == "rewrapping.after_page":
            raise CutError

    failpoint.rehearse("", seen=cut)
    with pytest.raises(CutError):
        rewrap(vault)
    failpoint.rehearse("")
    assert Rewrapping(vault.keystore, RENEWED).waiting() == 2
    assert [vault.retrieval(RENEWED).content(message) for message in messages] == [CONTENT] * 3
    told: list[int] = []
    assert Rewrapping(vault.keystore, RENEWED).run(told.append) == Rewrapped(2, ())
    assert told == [1, 2]
    vault.close()


def test_a_key_that_is_destroyed_meanwhile_stays_destroyed(vault: Vault) -> None:
    message, other = vault.deposit(a_deposit(CONTENT), a_deposit(CONTENT))
    pages = Rewrapping(vault.keystore, RENEWED)
    vault.keystore.destroy([message], at=NOW + timedelta(days=1))
    pages.run(lambda _: None)
    with pytest.raises(DestroyedError):
        vault.retrieval(RENEWED).content(message)
    assert vault.retrieval(without_old_pair(RENEWED)).content(other) == CONTENT
    vault.close()


def test_a_batch_of_another_ring_is_named_and_left(vault: Vault) -> None:
    (message,) = vault.deposit(a_deposit(CONTENT))
    batch = vault.keystore.wrapped_key(message).batch
    stranger = replace(RENEWED, retired=(RetiredKey("capture_private", os.urandom(32), NOW),))
    assert rewrap(vault, stranger) == Rewrapped(0, (batch.hex(),))
    assert vault.retrieval(RING).content(message) == CONTENT
    vault.close()
