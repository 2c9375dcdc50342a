"""Core: an unlock slot: the root key, sealed to a pair that one secret comes to.

The pair is what lets the root key be renewed while the secrets of the other slots are in their owners' hands: to seal
to a slot takes its public half alone. Which half belongs to which slot is under the seal of the file they stand in.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from mailstore import key_file_form
from mailstore.instants import instant_of, microseconds
from mailstore.key_hierarchy import CaptureKeyPair
from mailstore.sealed_format import KEY_BYTES
from mailstore.slot_secret import Noted

LABEL: Final = "strongroom/slot/v2/"
SLOT_ID_BYTES: Final = 4
LONGEST_LABEL: Final = 100

_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


@dataclass(frozen=True)
class UnlockSlot:
    """One way in. ``tested_at``: when its secret last opened it because somebody wanted to know."""

    id: str
    kind: str
    label: str
    created_at: datetime
    tested_at: datetime | None
    noted: Noted
    public: bytes
    sealed_root: bytes = field(default=b"", repr=False)

    def with_root(self, root: bytes) -> UnlockSlot:
        """The same slot around another root key. Its secret is not needed."""
        public = X25519PublicKey.from_public_bytes(self.public)
        return replace(self, sealed_root=_SUITE.encrypt(root, public, info=self._info()))

    def opens_with(self, slot_key: bytes) -> bool:
        """True for what the secret of this slot comes to."""
        return CaptureKeyPair.of(slot_key).public == self.public

    def root(self, slot_key: bytes) -> bytes:
        """The root key. ``TamperedError`` when anything of the slot is not what was written."""
        try:
            root = _SUITE.decrypt(self.sealed_root, X25519PrivateKey.from_private_bytes(slot_key), info=self._info())
        except (InvalidTag, ValueError):
            raise key_file_form.tampered(key_file_form.SLOTS) from None
        return root

    def to_json(self) -> dict[str, Any]:
        """As it stands in the file."""
        tested = None if self.tested_at is None else microseconds(self.tested_at)
        return {**self._fixed(), "tested_at": tested, "sealed_root": key_file_form.text(self.sealed_root)}

    @classmethod
    def of(cls, told: Any) -> UnlockSlot:
        """What ``to_json`` gave. ``TamperedError`` for anything else."""
        try:
            slot = cls(
                id=str(told["id"]),
                kind=str(told["kind"]),
                label=str(told["label"]),
                created_at=instant_of(told["created_at"]),
                tested_at=None if told["tested_at"] is None else instant_of(told["tested_at"]),
                noted=dict(told["noted"]),
                public=key_file_form.raw(told["public"], key_file_form.SLOTS),
                sealed_root=key_file_form.raw(told["sealed_root"], key_file_form.SLOTS),
            )
        except (LookupError, TypeError, ValueError, OverflowError):
            raise key_file_form.tampered(key_file_form.SLOTS) from None
        if len(slot.public) != KEY_BYTES or slot.to_json() != told:
            raise key_file_form.tampered(key_file_form.SLOTS)
        return slot

    def _fixed(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "kind": self.kind,
            "label": self.label,
            "created_at": microseconds(self.created_at),
            "noted": dict(self.noted),
            "public": key_file_form.text(self.public),
        }

    def _info(self) -> bytes:
        return LABEL.encode() + hashlib.sha256(key_file_form.canonical(self._fixed())).digest()
