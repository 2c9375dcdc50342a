"""The secret that opens the list of index files, and that dies whenever messages are taken out of the index.

Every file of the index has a random key, and the list of files holds those keys. So who has no secret for a list has
no key for what it lists, and copies of ``index/`` that were made before a disposal stay closed for ever, also for
somebody with the whole key ring and the index of today. The secret is random, lies among the keys and in no backup
of the data, and dies by being overwritten where it lies. Written down in ``docs/formats/sealed-index.md``.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mailstore import durable_file
from mailstore.errors import StorageUnavailableError
from mailstore.sealed_format import KEY_BYTES, NONCE_BYTES, derive

_MAGIC = b"SRISEC01"
_INFO = b"strongroom index secret 2"
_SLOTS = 2
_SLOT_BYTES = NONCE_BYTES + KEY_BYTES + 16
_EMPTY = bytes(_SLOT_BYTES)
_FILE_BYTES = len(_MAGIC) + _SLOTS * _SLOT_BYTES


@dataclass(frozen=True)
class Secret:
    """32 random bytes and the slot they lie in."""

    slot: int
    key: bytes = field(repr=False)


class IndexSecrets:
    """The file of the secret: two slots of which one is empty, except while one secret takes over from another.

    Slots are written where they lie, never aside: what is overwritten is gone from the file. Only the holder of the
    lock of the index may write.
    """

    def __init__(self, path: Path, index_key: bytes) -> None:
        self._path = path
        self._cipher = AESGCM(derive(index_key, info=_INFO))

    def known(self) -> list[Secret]:
        """What the slots hold, as far as this key ring opens it."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return []
        opened = (self._opened(slot, _slot_in(content, slot)) for slot in range(_SLOTS))
        return [secret for secret in opened if secret is not None]

    def fresh(self, *, beside: Secret | None) -> Secret:
        """A new secret, durable in the slot where the one ``beside`` it does not lie."""
        secret = Secret(1 - beside.slot if beside else 0, secrets.token_bytes(KEY_BYTES))
        nonce = secrets.token_bytes(NONCE_BYTES)
        with self._writing() as descriptor:
            _put(descriptor, secret.slot, nonce + self._cipher.encrypt(nonce, secret.key, _bound_to(secret.slot)))
        return secret

    def keep_only(self, kept: Secret | None) -> None:
        """Destroy what lies in any other slot: overwritten with zeros, synced, and read again from the disk.

        ``StorageUnavailableError`` when that cannot be shown.
        """
        if not self._path.exists():
            return
        doomed = [slot for slot in range(_SLOTS) if kept is None or slot != kept.slot]
        if all(_slot_in(self._path.read_bytes(), slot) == _EMPTY for slot in doomed):
            return
        with self._writing() as descriptor:
            for slot in doomed:
                _put(descriptor, slot, _EMPTY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            content = os.pread(descriptor, _FILE_BYTES, 0)
        if any(_slot_in(content, slot) != _EMPTY for slot in doomed):
            raise StorageUnavailableError("an old secret of the search index could not be overwritten")

    @contextmanager
    def _writing(self) -> Iterator[int]:
        durable_file.make_directory(self._path.parent)
        is_new = not self._path.exists()
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_size != _FILE_BYTES or os.pread(descriptor, len(_MAGIC), 0) != _MAGIC:
                os.pwrite(descriptor, _MAGIC + _SLOTS * _EMPTY, 0)
                os.ftruncate(descriptor, _FILE_BYTES)
            yield descriptor
        finally:
            os.close(descriptor)
        if is_new:
            durable_file.sync_directory(self._path.parent)

    def _opened(self, slot: int, sealed: bytes) -> Secret | None:
        try:
            return Secret(slot, self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound_to(slot)))
        except (InvalidTag, ValueError):
            return None


def _place_of(slot: int) -> int:
    return len(_MAGIC) + slot * _SLOT_BYTES


def _slot_in(content: bytes, slot: int) -> bytes:
    return content[_place_of(slot) : _place_of(slot) + _SLOT_BYTES]


def _bound_to(slot: int) -> bytes:
    return _MAGIC + bytes([slot])


def _put(descriptor: int, slot: int, content: bytes) -> None:
    os.pwrite(descriptor, content, _place_of(slot))
    os.fsync(descriptor)
