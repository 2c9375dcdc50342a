"""Core: the keys of processes that work with mail: all of the ring but what opens mail and backups, and what signs.

Whoever has these reads and seals rows, asks for each message key that it needs (``key_opener``), and has each document
signed (``document_signing``).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Final, Protocol

from mailstore.document_signing import SeedSigner
from mailstore.errors import TamperedError
from mailstore.key_hierarchy import DepositKeys, KeyRing
from mailstore.sealed_format import KEY_BYTES

_MAGIC: Final = b"SRWK\x02"


class WorkingKeys(Protocol):
    """What may be asked of a ring by those who work. A whole ring is one too."""

    @property
    def account_key(self) -> bytes:
        """For columns about people."""

    @property
    def archive_key(self) -> bytes:
        """For columns about holds, schedules, disposals, and the digests of shared parts."""

    @property
    def index_key(self) -> bytes:
        """For the secret of the search index."""

    @property
    def lookup_key(self) -> bytes:
        """For blind indexes."""

    @property
    def row_key(self) -> bytes:
        """For the seal of every row."""

    @property
    def data_recovery_public(self) -> bytes:
        """What backups of the data are sealed to."""

    @property
    def keys_recovery_public(self) -> bytes:
        """What backups of the keys are sealed to."""

    def deposit_keys(self) -> DepositKeys:
        """The part that takes mail in."""


@dataclass(frozen=True)
class HandedKeys:
    """As the key agent hands them out: of what opens mail and backups, and of what signs, public halves alone."""

    capture_public: bytes
    data_recovery_public: bytes
    keys_recovery_public: bytes
    audit_public: bytes
    certificate_public: bytes
    account_key: bytes = field(repr=False)
    archive_key: bytes = field(repr=False)
    index_key: bytes = field(repr=False)
    lookup_key: bytes = field(repr=False)
    row_key: bytes = field(repr=False)

    @classmethod
    def of(cls, ring: KeyRing) -> HandedKeys:
        """What a ring has to hand out."""
        publics = ring.capture.public, ring.data_recovery_public, ring.keys_recovery_public
        signer = SeedSigner.of(ring)
        signing = signer.audit_public, signer.certificate_public
        return cls(*publics, *signing, *(getattr(ring, name) for name in _SECRET))

    def deposit_keys(self) -> DepositKeys:
        """As ``WorkingKeys``."""
        return DepositKeys(self.capture_public, self.lookup_key, self.row_key)

    def to_bytes(self) -> bytes:
        """As handed over on a socket. Never written to disk."""
        return _MAGIC + b"".join(getattr(self, each.name) for each in fields(self))

    @classmethod
    def from_bytes(cls, data: bytes) -> HandedKeys:
        """What ``to_bytes`` gave. ``TamperedError`` for anything else."""
        body = data.removeprefix(_MAGIC)
        if not data.startswith(_MAGIC) or len(body) != len(fields(cls)) * KEY_BYTES:
            raise TamperedError("the keys handed over are not whole")
        return cls(*(body[start : start + KEY_BYTES] for start in range(0, len(body), KEY_BYTES)))


_SECRET: Final = tuple(each.name for each in fields(HandedKeys) if not each.name.endswith("_public"))
