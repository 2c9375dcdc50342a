"""Attacks by someone who can write our files: keys, objects and rows put in each other's place."""

from __future__ import annotations

import base64
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailstore import key_custody
from mailstore.errors import DestroyedError, StrongroomError, TamperedError, WrongKeyError
from mailstore.key_hierarchy import BatchKey, CaptureKeyPair, fingerprint, wrap_batch_key
from mailstore.message import MessageId
from mailstore.sealed_format import HEADER_BYTES, open_sealed, seal
from mailstore.slot_passphrase import Argon2Cost, PassphraseFile
from tests import database_room
from tests.vault_room import RING, Vault, a_deposit

KEY, CONTEXT = bytes(range(32)), ("message", "m" * 26, 1)


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "data")


def test_key_substitution_new_mail_is_never_sealed_for_a_stranger(tmp_path: Path) -> None:
    """The published capture key is replaced while the appliance is stopped: it does not start."""
    (tmp_path / "pass").write_text("secret words")
    secret = PassphraseFile(tmp_path / "pass", Argon2Cost(64, 1, 1))
    key_custody.create(tmp_path / "keys", secret, os.urandom, now=datetime(2026, 3, 4, tzinfo=UTC))
    stranger = CaptureKeyPair.of(os.urandom(32)).public
    (tmp_path / "keys" / "capture.pub").write_bytes(base64.b64encode(stranger) + b"\n")
    with pytest.raises(TamperedError):
        key_custody.unlock(tmp_path / "keys", secret)


def test_key_substitution_a_batch_made_by_the_attacker_opens_nothing(vault: Vault) -> None:
    """Anybody can seal to the public key: a batch key of the attacker's own still unwraps no message key of ours."""
    (message,) = vault.deposit(a_deposit())
    batch = vault.keystore.wrapped_key(message).batch
    forged = wrap_batch_key(BatchKey(os.urandom(32)), capture_public=RING.capture.public, batch=batch)
    statement, seal = "UPDATE batches SET wrapped = ?, sealed_for = ?", fingerprint(RING.capture.public)
    database_room.attack(vault.directory / database_room.KEYSTORE, statement, forged, seal)
    with pytest.raises(TamperedError, match=f"message_keys/{message}"):
        vault.retrieval().content(message)


def test_aad_confusion_objects_of_two_messages_swapped(vault: Vault) -> None:
    first, second = vault.deposit(a_deposit(os.urandom(500)), a_deposit(os.urandom(500)))
    for message in (first, second):
        vault.promotion().promote(message)
    vault.release()
    paths = [vault.directory / "objects" / str(vault.stored(message).object_name) for message in (first, second)]
    swapped = [paths[1].read_bytes(), paths[0].read_bytes()]
    for path, data in zip(paths, swapped, strict=True):
        path.write_bytes(data)
    for message in (first, second):
        with pytest.raises(TamperedError):
            vault.retrieval().content(message)


def test_aad_confusion_one_key_does_not_open_its_object_under_another_name() -> None:
    sealed = seal(b"x", key=KEY, context=CONTEXT, randomness=os.urandom)
    for other in (("summary", "m" * 26, 1), ("message", "m" * 25, 1), ("message" + "m", "m" * 25, 1), ("", "", 0)):
        with pytest.raises(TamperedError):
            open_sealed(sealed, key=KEY, context=other)


def test_nonce_reuse_no_two_objects_share_a_chunk_key() -> None:
    """Same key, same content: the salt alone must make every byte behind the header differ."""
    first, second = (seal(bytes(1000), key=KEY, context=CONTEXT, randomness=os.urandom) for _ in range(2))
    bodies = first[HEADER_BYTES:], second[HEADER_BYTES:]
    assert bodies[0] != bodies[1]
    assert first[20:36] != second[20:36]


def test_key_commitment_an_object_opens_under_one_key_only() -> None:
    sealed = seal(b"x", key=KEY, context=CONTEXT, randomness=os.urandom)
    for number in range(64):
        with pytest.raises(WrongKeyError):
            open_sealed(sealed, key=bytes([number]) * 32, context=CONTEXT)


def test_rollback_of_the_keystore_does_not_revive_a_disposed_message(vault: Vault, tmp_path: Path) -> None:
    """The keystore of yesterday is put back: the key is there again, the rows' tombstone stands."""
    (message,) = vault.deposit(a_deposit())
    vault.keystore.close()
    database_room.copied(vault.directory / database_room.KEYSTORE, tmp_path / "yesterday")
    again = Vault(vault.directory)
    again.destroy([message])
    again.close()
    for left in vault.directory.glob("keystore.sqlite3*"):
        left.unlink()
    database_room.copied(tmp_path / "yesterday", vault.directory / database_room.KEYSTORE)
    rolled_back = Vault(vault.directory)
    assert rolled_back.keystore.has_key(message)
    assert "its key is still there" in rolled_back.destruction().prove_absent(message)
    with pytest.raises(DestroyedError):
        rolled_back.retrieval().content(message)
    rolled_back.destroy([message])
    assert rolled_back.destruction().prove_absent(message) == ()


def test_shred_all_files_and_every_root_secret_do_not_bring_back_a_disposed_message(vault: Vault) -> None:
    """Everything there was before, except the keystore, and the whole ring: the sealed object stays shut."""
    (message,) = vault.deposit(a_deposit(b"canary"))
    stored = vault.stored(message)
    backup = vault.retrieval()._sealed_bytes(stored).sealed
    wrapped = vault.keystore.wrapped_key(message)
    vault.destroy([message])
    assert not vault.files_hold(wrapped.wrapped_message_key)
    with pytest.raises(DestroyedError):
        vault.keystore.wrapped_key(message)
    for key in RING.members().values():
        with pytest.raises(StrongroomError):
            open_sealed(backup, key=key, context=("message", message, 1))


def test_the_depositing_process_cannot_open_what_it_stored(vault: Vault) -> None:
    (message,) = vault.deposit(a_deposit(b"canary"))
    keys = RING.deposit_keys()
    for guess in (keys.capture_public, keys.lookup_key, keys.row_key):
        with pytest.raises((WrongKeyError, TamperedError)):
            vault.retrieval(replace(RING, capture_private=guess)).content(message)


def test_plain_text_of_one_sender_does_not_reach_the_disk_in_any_encoding(vault: Vault) -> None:
    canary = b"Quittenmarmelade-7731"
    vault.deposit(a_deposit(canary + bytes(100)))
    for form in (canary, base64.b64encode(canary)[:-4], canary.decode().encode("utf-16-le"), canary.hex().encode()):
        assert not vault.files_hold(form)


def test_unknown_identifier_says_nothing_else(vault: Vault) -> None:
    with pytest.raises(StrongroomError) as refused:
        vault.retrieval().content(MessageId("../../etc/passwd"))
    assert refused.value.code == "not_found"
