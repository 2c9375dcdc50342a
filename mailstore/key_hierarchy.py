"""Core: which key wraps which, as docs/formats/key-hierarchy.md says.

A batch key is sealed to the capture public key once for every group commit (HPKE, RFC 9180); each message key
is wrapped under it. Whoever deposits cannot open: that takes the private half, which only the ring has.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import lru_cache
from typing import Final, NewType

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from mailstore.addresses import Address
from mailstore.errors import TamperedError, WrongKeyError
from mailstore.instants import instant_of, microseconds
from mailstore.keyed_digest import KeyedDigest
from mailstore.message import MessageId
from mailstore.sealed_format import KEY_BYTES, NONCE_BYTES, derive

MessageKey = NewType("MessageKey", bytes)
"""32 random bytes: opens one message's body and columns. Never derived, so that it can be destroyed."""

BatchKey = NewType("BatchKey", bytes)
"""32 random bytes: wraps the message keys of one group commit."""

BATCH_ID_BYTES = 16
BLIND_INDEX_BYTES = 16
FINGERPRINT_BYTES = 16

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_BATCH_INFO = b"strongroom/batch-key/v1"
_MESSAGE_INFO = b"strongroom/message-key/v1"
_PART_DIGEST_INFO = b"strongroom/shared-part/v1/digest"
_PART_LINKS_INFO = b"strongroom/shared-part/v1/links"
_RING_MAGIC = b"SRKR\x02"
_RETIRED = struct.Struct(">BQ32s")
_DEPOSIT_MAGIC = b"SRDK\x01"


@dataclass(frozen=True)
class CaptureKeyPair:
    """The X25519 pair (RFC 7748) that all mail is sealed to, 32 raw bytes each."""

    private: bytes = field(repr=False)
    public: bytes

    @classmethod
    def of(cls, private: bytes) -> CaptureKeyPair:
        """The pair that belongs to 32 bytes of private key."""
        return cls(private, X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw())


@dataclass(frozen=True)
class DepositKeys:
    """What a process needs to take mail in. None of it opens a stored message."""

    capture_public: bytes
    lookup_key: bytes = field(repr=False)
    row_key: bytes = field(repr=False)

    def to_bytes(self) -> bytes:
        """As handed to the depositing role over a pipe."""
        return _DEPOSIT_MAGIC + self.capture_public + self.lookup_key + self.row_key

    @classmethod
    def from_bytes(cls, data: bytes) -> DepositKeys:
        """What ``to_bytes`` gave. ``TamperedError`` for anything else."""
        return cls(*_members(data, _DEPOSIT_MAGIC, count=3))


VERSIONED: Final = ("capture_private", "data_recovery", "keys_recovery")
"""The members that a rotation renews: their predecessors stay in the ring while anything is sealed to them."""


@dataclass(frozen=True)
class RetiredKey:
    """The private half of a pair that nothing new is sealed to. ``name``: the member of the ring that it was."""

    name: str
    private: bytes = field(repr=False)
    retired_at: datetime


@dataclass(frozen=True)
class KeyRing:
    """Every key of the appliance that is not a message's own; 32 random bytes each.

    ``data_recovery`` and ``keys_recovery`` are the private halves of the pairs (X25519) that backups of the data and
    backups of the keys are sealed to; ``keys/recovery.json`` publishes the public halves.
    """

    capture_private: bytes = field(repr=False)
    account_key: bytes = field(repr=False)
    archive_key: bytes = field(repr=False)
    index_key: bytes = field(repr=False)
    lookup_key: bytes = field(repr=False)
    row_key: bytes = field(repr=False)
    audit_seed: bytes = field(repr=False)
    certificate_seed: bytes = field(repr=False)
    data_recovery: bytes = field(repr=False)
    keys_recovery: bytes = field(repr=False)
    retired: tuple[RetiredKey, ...] = field(default=(), repr=False, kw_only=True)

    @property
    def capture(self) -> CaptureKeyPair:
        """The pair that mail is sealed to now."""
        return CaptureKeyPair.of(self.capture_private)

    @property
    def captures(self) -> tuple[CaptureKeyPair, ...]:
        """Every pair that a batch key may be sealed to, the present one first."""
        return self.versions("capture_private")

    def capture_for(self, sealed_for: bytes) -> CaptureKeyPair:
        """The pair with a fingerprint, as rows of batches name theirs. ``WrongKeyError`` when it is not in this ring.

        Some 50 microseconds a pair: whoever opens many keeps ``captures`` by their fingerprints.
        """
        for pair in self.captures:
            if hmac.compare_digest(sealed_for, fingerprint(pair.public)):
                return pair
        raise WrongKeyError("a batch of keys was sealed for another key ring")

    def versions(self, name: str) -> tuple[CaptureKeyPair, ...]:
        """The pairs of one of the members in ``VERSIONED``, the present one first, then the last retired."""
        retired = sorted((key for key in self.retired if key.name == name), key=_retired_at, reverse=True)
        privates = self.members()[name], *(key.private for key in retired)
        return tuple(CaptureKeyPair.of(private) for private in privates)

    @property
    def data_recovery_public(self) -> bytes:
        """What backups of the data are sealed to."""
        return CaptureKeyPair.of(self.data_recovery).public

    @property
    def keys_recovery_public(self) -> bytes:
        """What backups of the keys are sealed to."""
        return CaptureKeyPair.of(self.keys_recovery).public

    def deposit_keys(self) -> DepositKeys:
        """The part of the ring that the role facing the internet may have."""
        return DepositKeys(self.capture.public, self.lookup_key, self.row_key)

    def members(self) -> Mapping[str, bytes]:
        """Name and bytes of every present member, in the order of the format."""
        return {name: getattr(self, name) for name in MEMBERS}

    def to_bytes(self) -> bytes:
        """As handed to a role over a pipe. Never written to disk in this form."""
        retired = [
            _RETIRED.pack(VERSIONED.index(key.name), microseconds(key.retired_at), key.private) for key in self.retired
        ]
        return _RING_MAGIC + b"".join(self.members().values()) + b"".join(retired)

    @classmethod
    def from_bytes(cls, data: bytes) -> KeyRing:
        """What ``to_bytes`` gave. ``TamperedError`` for anything else."""
        end = len(_RING_MAGIC) + len(MEMBERS) * KEY_BYTES
        members = _members(data[:end], _RING_MAGIC, count=len(MEMBERS))
        try:
            retired = tuple(
                RetiredKey(VERSIONED[name], private, instant_of(at))
                for name, at, private in _RETIRED.iter_unpack(data[end:])
            )
        except (struct.error, LookupError, OverflowError):
            raise TamperedError("the keys handed over are not whole") from None
        return cls(*members, retired=retired)


MEMBERS: Final = tuple(member.name for member in fields(KeyRing) if member.name != "retired")
"""The names of a ring's present members, in the order of the format."""


def fingerprint(capture_public: bytes) -> bytes:
    """16 bytes that name a capture public key."""
    return hashlib.sha256(capture_public).digest()[:FINGERPRINT_BYTES]


def wrap_batch_key(key: BatchKey, *, capture_public: bytes, batch: bytes) -> bytes:
    """80 bytes that only the private half opens. ``batch`` is the 16-byte identifier of the group commit."""
    public = X25519PublicKey.from_public_bytes(capture_public)
    return _SUITE.encrypt(key, public, info=_BATCH_INFO + batch)


def unwrap_batch_key(wrapped: bytes, *, capture: CaptureKeyPair, batch: bytes, sealed_for: bytes) -> BatchKey:
    """The batch key. ``sealed_for`` is the fingerprint in the batch's row.

    Raises ``WrongKeyError`` when it was sealed for another ring, ``TamperedError`` when the row was changed.
    """
    if not hmac.compare_digest(sealed_for, fingerprint(capture.public)):
        raise WrongKeyError(f"keystore row batches/{batch.hex()} was sealed for another key ring")
    try:
        private = X25519PrivateKey.from_private_bytes(capture.private)
        return BatchKey(_SUITE.decrypt(wrapped, private, info=_BATCH_INFO + batch))
    except (InvalidTag, ValueError):
        raise TamperedError(f"keystore row batches/{batch.hex()} was changed") from None


def wrap_message_key(key: MessageKey, *, batch_key: BatchKey, batch: bytes, message: MessageId, nonce: bytes) -> bytes:
    """60 bytes that only the batch key opens, for this message only. ``nonce`` is 12 fresh random bytes."""
    return nonce + AESGCM(batch_key).encrypt(nonce, key, _MESSAGE_INFO + batch + message.encode())


def unwrap_message_key(wrapped: bytes, *, batch_key: BatchKey, batch: bytes, message: MessageId) -> MessageKey:
    """The message key. ``TamperedError`` naming the keystore row when it was changed or belongs elsewhere."""
    nonce, sealed = wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:]
    try:
        return MessageKey(AESGCM(batch_key).decrypt(nonce, sealed, _MESSAGE_INFO + batch + message.encode()))
    except (InvalidTag, ValueError):
        raise TamperedError(f"keystore row message_keys/{message} was changed") from None


def blind_index(lookup_key: bytes, purpose: str, text: str) -> bytes:
    """16 bytes by which a value can be found and not read. ``purpose`` keeps different columns apart."""
    name = purpose.encode()
    told = struct.pack(">I", len(name)) + name + text.encode("utf-8", "surrogatepass")
    return _keyed(lookup_key).over(told)[:BLIND_INDEX_BYTES]


@lru_cache(maxsize=4)
def _keyed(lookup_key: bytes) -> KeyedDigest:
    """A process has one lookup key; tests have a few."""
    return KeyedDigest(lookup_key)


def part_digest(archive_key: bytes, content: bytes) -> bytes:
    """32 bytes by which equal content is known again, and by nobody else: taking mail in needs no archive key."""
    return hmac.digest(derive(archive_key, info=_PART_DIGEST_INFO), content, "sha256")


def part_links_key(archive_key: bytes) -> bytes:
    """The key of the column that says which parts a message needs."""
    return derive(archive_key, info=_PART_LINKS_INFO)


def address_index(lookup_key: bytes, address: Address) -> bytes:
    """The blind index of a mailbox address, the same however it was written."""
    return blind_index(lookup_key, "address", address.canonical)


def header_id_index(lookup_key: bytes, header_id: str) -> bytes:
    """The blind index of a Message-ID header field (RFC 5322 section 3.6.4)."""
    return blind_index(lookup_key, "message-id", header_id.strip())


def _retired_at(key: RetiredKey) -> datetime:
    return key.retired_at


def _members(data: bytes, magic: bytes, *, count: int) -> list[bytes]:
    body = data[len(magic) :]
    if not data.startswith(magic) or len(body) != count * KEY_BYTES:
        raise TamperedError("the keys handed over are not whole")
    return [body[start : start + KEY_BYTES] for start in range(0, len(body), KEY_BYTES)]
