"""Wrapped keys, opened in this process: with the pair they were sealed for, one by one, a damaged one named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailstore.errors import TamperedError, WrongKeyError
from mailstore.key_hierarchy import (
    BatchKey,
    CaptureKeyPair,
    MessageKey,
    fingerprint,
    wrap_batch_key,
    wrap_message_key,
)
from mailstore.key_opener import CaptureOpener
from mailstore.keystore import WrappedKey
from mailstore.message import MessageId

NOW, BEFORE, STRANGER = (CaptureKeyPair.of(bytes([number]) * 32) for number in (1, 2, 3))


def wrapped(name: str, capture: CaptureKeyPair = NOW) -> WrappedKey:
    """The key of a message, which is its name's first letter 32 times."""
    message, batch, batch_key = MessageId(name), b"b" * 16, BatchKey(b"k" * 32)
    key = MessageKey(name[:1].encode() * 32)
    return WrappedKey(
        message=message,
        batch=batch,
        sealed_for=fingerprint(capture.public),
        wrapped_batch_key=wrap_batch_key(batch_key, capture_public=capture.public, batch=batch),
        wrapped_message_key=wrap_message_key(key, batch_key=batch_key, batch=batch, message=message, nonce=b"n" * 12),
    )


def test_keys_come_in_the_order_they_were_asked_for() -> None:
    assert CaptureOpener(NOW).opened([wrapped("xa"), wrapped("ya")]) == [b"x" * 32, b"y" * 32]


def test_keys_sealed_for_a_pair_of_before_open_and_new_ones_are_sealed_for_the_current() -> None:
    opener = CaptureOpener(NOW, BEFORE)
    assert opener.opened([wrapped("xa", BEFORE), wrapped("ya")]) == [b"x" * 32, b"y" * 32]
    assert opener.capture_public == NOW.public


def test_key_of_another_ring_is_a_wrong_key_and_hides_no_other() -> None:
    wrong, right = CaptureOpener(NOW, BEFORE).opened([wrapped("xa", STRANGER), wrapped("ya")])
    assert isinstance(wrong, WrongKeyError)
    assert right == b"y" * 32


def test_changed_row_is_named_even_when_its_batch_was_opened_before() -> None:
    opener, good = CaptureOpener(NOW), wrapped("xa")
    opener.opened([good])
    other_batch = bytes([good.wrapped_batch_key[0] ^ 1]) + good.wrapped_batch_key[1:]
    other_key = good.wrapped_message_key[:-1] + bytes([good.wrapped_message_key[-1] ^ 1])
    found = opener.opened(
        [
            replace(good, wrapped_batch_key=other_batch),
            replace(good, wrapped_message_key=other_key),
            replace(good, message=MessageId("za")),
            good,
        ]
    )
    assert all(isinstance(each, TamperedError) for each in found[:3])
    assert "batches/" in str(found[0])
    assert "message_keys/xa" in str(found[1])
    assert found[3] == b"x" * 32


def test_remembered_batch_keys_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailstore.key_opener._BATCH_KEYS_KEPT", 2)
    opener = CaptureOpener(NOW)
    opener.opened([wrapped("xa"), wrapped("ya"), wrapped("za")])
    assert len(opener._batch_keys) == 2
