from __future__ import annotations

import os
from dataclasses import replace

import pytest

from mailstore.errors import TamperedError, WrongKeyError
from mailstore.key_hierarchy import (
    BatchKey,
    CaptureKeyPair,
    DepositKeys,
    KeyRing,
    MessageKey,
    blind_index,
    fingerprint,
    unwrap_batch_key,
    unwrap_message_key,
    wrap_batch_key,
    wrap_message_key,
)
from mailstore.message import MessageId

RING = KeyRing(*(bytes([number]) * 32 for number in range(1, 11)))
OTHER = CaptureKeyPair.of(b"\x77" * 32)
BATCH = b"b" * 16
KEY = BatchKey(b"k" * 32)
MESSAGE = MessageId("m" * 26)


def unwrapped(wrapped: bytes, *, capture: CaptureKeyPair = RING.capture, batch: bytes = BATCH) -> BatchKey:
    return unwrap_batch_key(wrapped, capture=capture, batch=batch, sealed_for=fingerprint(RING.capture.public))


def test_batch_key_opens_with_the_private_half_only() -> None:
    wrapped = wrap_batch_key(KEY, capture_public=RING.capture.public, batch=BATCH)
    assert len(wrapped) == 80
    assert unwrapped(wrapped) == KEY
    with pytest.raises(WrongKeyError):
        unwrapped(wrapped, capture=OTHER)


def test_batch_key_sealed_for_another_ring_is_refused_even_under_our_fingerprint() -> None:
    wrapped = wrap_batch_key(KEY, capture_public=OTHER.public, batch=BATCH)
    with pytest.raises(TamperedError, match="batches/"):
        unwrapped(wrapped)


def test_changed_batch_row_is_named() -> None:
    wrapped = wrap_batch_key(KEY, capture_public=RING.capture.public, batch=BATCH)
    for position in range(len(wrapped)):
        changed = bytearray(wrapped)
        changed[position] ^= 1
        with pytest.raises(TamperedError, match=f"batches/{BATCH.hex()}"):
            unwrapped(bytes(changed))
    with pytest.raises(TamperedError):
        unwrapped(wrapped, batch=b"c" * 16)
    with pytest.raises(TamperedError):
        unwrapped(bytes(80))
    with pytest.raises(TamperedError):
        unwrapped(b"")


def test_message_key_opens_for_its_message_and_batch_only() -> None:
    key = MessageKey(os.urandom(32))
    wrapped = wrap_message_key(key, batch_key=KEY, batch=BATCH, message=MESSAGE, nonce=os.urandom(12))
    assert unwrap_message_key(wrapped, batch_key=KEY, batch=BATCH, message=MESSAGE) == key
    with pytest.raises(TamperedError, match="message_keys/nnn"):
        unwrap_message_key(wrapped, batch_key=KEY, batch=BATCH, message=MessageId("n" * 26))
    with pytest.raises(TamperedError):
        unwrap_message_key(wrapped, batch_key=KEY, batch=b"c" * 16, message=MESSAGE)
    with pytest.raises(TamperedError):
        unwrap_message_key(wrapped[:-1], batch_key=KEY, batch=BATCH, message=MESSAGE)
    with pytest.raises(TamperedError):
        unwrap_message_key(b"", batch_key=KEY, batch=BATCH, message=MESSAGE)


def test_ring_and_deposit_keys_cross_a_pipe_whole() -> None:
    assert KeyRing.from_bytes(RING.to_bytes()) == RING
    keys = RING.deposit_keys()
    assert DepositKeys.from_bytes(keys.to_bytes()) == keys
    for damaged in (b"", RING.to_bytes()[:-1], RING.to_bytes() + b"x", keys.to_bytes()):
        with pytest.raises(TamperedError):
            KeyRing.from_bytes(damaged)


def test_deposit_keys_hold_nothing_that_opens_mail() -> None:
    handed = RING.deposit_keys().to_bytes()
    for name in ("capture_private", "account_key", "archive_key", "index_key", "audit_seed", "certificate_seed"):
        assert RING.members()[name] not in handed


def test_keys_are_not_shown() -> None:
    assert RING.capture_private.hex() not in repr(RING)
    assert repr(RING) == "KeyRing()"
    assert "row_key" not in repr(RING.deposit_keys())


def test_capture_pair_follows_the_private_half() -> None:
    assert replace(RING, capture_private=b"\x09" * 32).capture.public != RING.capture.public


def test_blind_indexes_of_different_columns_cannot_be_joined() -> None:
    key = RING.lookup_key
    assert blind_index(key, "address", "a@b") == blind_index(key, "address", "a@b")
    assert blind_index(key, "address", "a@b") != blind_index(key, "sender", "a@b")
    assert blind_index(key, "addressa", "@b") != blind_index(key, "address", "a@b")
    assert blind_index(key, "address", "a@b") != blind_index(RING.row_key, "address", "a@b")
    assert len(blind_index(key, "address", "")) == 16
