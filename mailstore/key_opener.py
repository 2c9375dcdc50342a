"""The port that opens wrapped keys: here, with the private half of the capture key, or by asking whoever has it.

A process that shows mail needs message keys and not what opens every one of them. It asks for those it needs now.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from mailstore.errors import TamperedError, WrongKeyError
from mailstore.key_hierarchy import (
    BatchKey,
    CaptureKeyPair,
    KeyRing,
    MessageKey,
    fingerprint,
    unwrap_batch_key,
    unwrap_message_key,
)
from mailstore.keystore import WrappedKey

_BATCH_KEYS_KEPT = 256

OpenedKey = MessageKey | WrongKeyError | TamperedError
"""A message key, or why this one does not open: among many, one that is damaged hides no other."""


class MessageKeyOpener(Protocol):
    """Opens what the keystore keeps. May be asked from many threads."""

    @property
    def capture_public(self) -> bytes:
        """The public half that new keys are sealed to."""

    def opened(self, wrapped: Sequence[WrappedKey]) -> list[OpenedKey]:
        """The keys, in the order they were asked for. ``StorageUnavailableError`` when nobody can open any now."""


class CaptureOpener:
    """Opens with the capture key in this very process: for those who unlocked it themselves.

    Batch keys, which open nothing without the wrapped key, are remembered for a while.
    """

    def __init__(self, *captures: CaptureKeyPair) -> None:
        """``captures``: the pair that mail is sealed to now, then those that it was sealed to before."""
        self._current = captures[0]
        self._captures = {fingerprint(capture.public): capture for capture in captures}
        self._batch_keys: OrderedDict[tuple[bytes, bytes, bytes], BatchKey] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def of(cls, ring: KeyRing) -> CaptureOpener:
        """The opener with what a ring has."""
        return cls(*ring.captures)

    @property
    def capture_public(self) -> bytes:
        """As ``MessageKeyOpener``."""
        return self._current.public

    def opened(self, wrapped: Sequence[WrappedKey]) -> list[OpenedKey]:
        """As ``MessageKeyOpener``."""
        return [self._opened(each) for each in wrapped]

    def _opened(self, wrapped: WrappedKey) -> OpenedKey:
        try:
            return unwrap_message_key(
                wrapped.wrapped_message_key,
                batch_key=self._batch_key(wrapped),
                batch=wrapped.batch,
                message=wrapped.message,
            )
        except (WrongKeyError, TamperedError) as error:
            return error

    def _batch_key(self, wrapped: WrappedKey) -> BatchKey:
        """Remembered under everything that is stored of it: a changed row is noticed even so."""
        row = (wrapped.batch, wrapped.sealed_for, wrapped.wrapped_batch_key)
        with self._lock:
            if row in self._batch_keys:
                self._batch_keys.move_to_end(row)
                return self._batch_keys[row]
        key = unwrap_batch_key(
            wrapped.wrapped_batch_key,
            capture=self._captures.get(wrapped.sealed_for, self._current),
            batch=wrapped.batch,
            sealed_for=wrapped.sealed_for,
        )
        with self._lock:
            self._batch_keys[row] = key
            while len(self._batch_keys) > _BATCH_KEYS_KEPT:
                self._batch_keys.popitem(last=False)
        return key
