"""The keys of messages, shared parts and dictionaries: unwrapped anew whenever they are asked for.

So nothing opens after its key was destroyed. Only batch keys, which open nothing without the wrapped key, are
remembered for a while.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from mailstore.key_hierarchy import (
    BATCH_ID_BYTES,
    BatchKey,
    CaptureKeyPair,
    MessageKey,
    fingerprint,
    unwrap_batch_key,
    unwrap_message_key,
    wrap_batch_key,
    wrap_message_key,
)
from mailstore.keystore import BatchOfKeys, Keystore, WrappedKey
from mailstore.message import MessageId
from mailstore.sealed_format import KEY_BYTES, NONCE_BYTES, Randomness
from mailstore.wall_clock import Clock

_BATCH_KEYS_KEPT = 256


class MessageKeys:
    """Opens wrapped keys with the capture key. Safe to use from many threads."""

    def __init__(self, keystore: Keystore, capture: CaptureKeyPair) -> None:
        self._keystore = keystore
        self._capture = capture
        self._batch_keys: OrderedDict[tuple[bytes, bytes, bytes], BatchKey] = OrderedDict()
        self._lock = threading.Lock()

    def key(self, of: MessageId) -> MessageKey:
        """A message's key, or that of a part or dictionary by its id.

        Raises ``NotFoundError``, ``DestroyedError``, ``WrongKeyError`` with another ring, and ``TamperedError``.
        """
        wrapped = self._keystore.wrapped_key(of)
        return unwrap_message_key(
            wrapped.wrapped_message_key,
            batch_key=self._batch_key(wrapped),
            batch=wrapped.batch,
            message=of,
        )

    def made(self, of: MessageId, *, clock: Clock, randomness: Randomness) -> MessageKey:
        """A fresh key for a part or dictionary, kept durably. One without a row after an hour is swept away."""
        key, batch_key = MessageKey(randomness(KEY_BYTES)), BatchKey(randomness(KEY_BYTES))
        batch, nonce = randomness(BATCH_ID_BYTES), randomness(NONCE_BYTES)
        wrapped = wrap_message_key(key, batch_key=batch_key, batch=batch, message=of, nonce=nonce)
        self._keystore.add_batch(
            BatchOfKeys(
                batch=batch,
                made_at=clock.now(),
                sealed_for=fingerprint(self._capture.public),
                wrapped=wrap_batch_key(batch_key, capture_public=self._capture.public, batch=batch),
                message_keys=((of, wrapped),),
            )
        )
        return key

    def _batch_key(self, wrapped: WrappedKey) -> BatchKey:
        """Remembered under everything that is stored of it: a changed row is noticed even so."""
        row = (wrapped.batch, wrapped.sealed_for, wrapped.wrapped_batch_key)
        with self._lock:
            if row in self._batch_keys:
                self._batch_keys.move_to_end(row)
                return self._batch_keys[row]
        key = unwrap_batch_key(
            wrapped.wrapped_batch_key, capture=self._capture, batch=wrapped.batch, sealed_for=wrapped.sealed_for
        )
        with self._lock:
            self._batch_keys[row] = key
            while len(self._batch_keys) > _BATCH_KEYS_KEPT:
                self._batch_keys.popitem(last=False)
        return key
