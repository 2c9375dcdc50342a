"""The keys of messages, shared parts and dictionaries: unwrapped anew whenever they are asked for.

So nothing opens after its key was destroyed.
"""

from __future__ import annotations

from collections.abc import Sequence

from mailstore.errors import DestroyedError, NotFoundError, StrongroomError, TamperedError
from mailstore.key_hierarchy import (
    BATCH_ID_BYTES,
    BatchKey,
    MessageKey,
    fingerprint,
    wrap_batch_key,
    wrap_message_key,
)
from mailstore.key_opener import MessageKeyOpener
from mailstore.keystore import BatchOfKeys, Keystore, WrappedKey
from mailstore.message import MessageId
from mailstore.sealed_format import KEY_BYTES, NONCE_BYTES, Randomness
from mailstore.wall_clock import Clock


class MessageKeys:
    """Takes wrapped keys from the keystore and has them opened. Safe to use from many threads."""

    def __init__(self, keystore: Keystore, opener: MessageKeyOpener) -> None:
        self._keystore = keystore
        self._opener = opener

    def key(self, of: MessageId) -> MessageKey:
        """A message's key, or that of a part or dictionary by its id.

        Raises ``NotFoundError``, ``DestroyedError``, ``WrongKeyError`` with another ring, and ``TamperedError``.
        """
        (opened,) = self._opener.opened([self._keystore.wrapped_key(of)])
        if isinstance(opened, StrongroomError):
            raise opened
        return opened

    def keys(self, of: Sequence[MessageId]) -> dict[MessageId, MessageKey | StrongroomError]:
        """The keys of many at once, or what ``key`` would raise for one: it hides no other."""
        found: dict[MessageId, MessageKey | StrongroomError] = {}
        wrapped: list[WrappedKey] = []
        for each in of:
            try:
                wrapped.append(self._keystore.wrapped_key(each))
            except (NotFoundError, DestroyedError, TamperedError) as error:
                found[each] = error
        opened = self._opener.opened(wrapped)
        return found | {each.message: key for each, key in zip(wrapped, opened, strict=True)}

    def made(self, of: MessageId, *, clock: Clock, randomness: Randomness) -> MessageKey:
        """A fresh key for a part or dictionary, kept durably. One without a row after an hour is swept away."""
        key, batch_key = MessageKey(randomness(KEY_BYTES)), BatchKey(randomness(KEY_BYTES))
        batch, nonce = randomness(BATCH_ID_BYTES), randomness(NONCE_BYTES)
        capture_public = self._opener.capture_public
        wrapped = wrap_message_key(key, batch_key=batch_key, batch=batch, message=of, nonce=nonce)
        self._keystore.add_batch(
            BatchOfKeys(
                batch=batch,
                made_at=clock.now(),
                sealed_for=fingerprint(capture_public),
                wrapped=wrap_batch_key(batch_key, capture_public=capture_public, batch=batch),
                message_keys=((of, wrapped),),
            )
        )
        return key
