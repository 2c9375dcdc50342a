"""The lock of the key agent: closed it holds no key; a secret opens it, one at a time, slower after a wrong one."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

from appliance import key_use
from appliance.unseal_tries import UnsealTries
from mailstore import key_custody
from mailstore.document_signing import SeedSigner
from mailstore.errors import RefusedError, SealedError
from mailstore.key_hierarchy import KeyRing
from mailstore.key_opener import CaptureOpener
from mailstore.restore_source import RecoveryOpener
from mailstore.slot_secret import SlotSecret
from mailstore.working_keys import HandedKeys


@dataclass(frozen=True)
class OpenKeys:
    """What the agent has while it is open. ``seeds`` sign the account of key use, the present one first."""

    handed: HandedKeys
    opener: CaptureOpener = field(repr=False)
    pieces: RecoveryOpener = field(repr=False)
    signer: SeedSigner
    seeds: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def of(cls, ring: KeyRing) -> OpenKeys:
        """From a ring. What nobody asks the agent for is forgotten here."""
        seeds = tuple(key_use.seed_of(capture.private) for capture in ring.captures)
        opener, pieces = CaptureOpener.of(ring), RecoveryOpener.of(ring)
        return cls(HandedKeys.of(ring), opener, pieces, SeedSigner.of(ring), seeds)


class Lock:
    """Asked from many threads."""

    def __init__(self, keys: Path, tries: UnsealTries) -> None:
        self._keys = keys
        self._tries = tries
        self._open: OpenKeys | None = None
        self._attempt = threading.Lock()

    @property
    def is_open(self) -> bool:
        """True while there are keys."""
        return self._open is not None

    @property
    def is_opening(self) -> bool:
        """True while a secret is tried."""
        return self._attempt.locked()

    @property
    def seed(self) -> bytes | None:
        """What signs the account of key use; None while sealed."""
        return self._open.seeds[0] if self._open else None

    def keys(self) -> OpenKeys:
        """``SealedError`` while there are none."""
        if self._open is None:
            raise SealedError
        return self._open

    def open(self, secret: SlotSecret, *, channel: str | None) -> bool:
        """Try a secret, for as long as its slot costs. True when keys came of it that were not there before.

        ``channel``: where a person gave it, for counting; None for the secret that was named at the start. Raises as
        ``key_custody.unlock`` does, ``TooSoonError``, and ``RefusedError`` while another secret is tried.
        """
        if not self._attempt.acquire(blocking=False):
            raise RefusedError("another secret is being tried", fix="wait until that is done")
        try:
            return self._tried(secret, channel)
        finally:
            self._attempt.release()

    def _tried(self, secret: SlotSecret, channel: str | None) -> bool:
        if channel is not None:
            self._tries.begin(channel)
        found = OpenKeys.of(key_custody.unlock(self._keys, secret))
        if channel is not None:
            self._tries.was_right(channel, was_sealed=self._open is None)
        before, self._open = self._open, found
        return before is None or before.handed != found.handed
