"""Unlock slots that a passphrase opens, by Argon2id (RFC 9106)."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from argon2.low_level import Type, hash_secret_raw

from mailstore import key_file_form, key_files
from mailstore.errors import RefusedError
from mailstore.sealed_format import KEY_BYTES, SALT_BYTES, Randomness
from mailstore.slot_secret import Noted

_BEARABLE_KIB: Final = range(8, 2**22 + 1)
_BEARABLE_PASSES: Final = range(1, 17)
_BEARABLE_LANES: Final = range(1, 17)


@dataclass(frozen=True)
class Argon2Cost:
    """What one guess at a passphrase costs (RFC 9106): memory in KiB, passes over it, lanes computed at once."""

    memory_kib: int = 256 * 1024
    passes: int = 3
    lanes: int = 4

    def is_bearable(self) -> bool:
        """True when a slot may ask for it: a changed slot file must not be able to exhaust the machine."""
        allowed = _BEARABLE_KIB, _BEARABLE_PASSES, _BEARABLE_LANES
        asked = self.memory_kib, self.passes, self.lanes
        return all(value in some for value, some in zip(asked, allowed, strict=True))


@dataclass(frozen=True)
class PassphraseFile:
    """A file whose text is the passphrase. ``cost`` counts when a slot is made; later the slot's own does."""

    path: Path
    cost: Argon2Cost = Argon2Cost()
    kind: ClassVar[str] = "passphrase"

    def noted(self, randomness: Randomness) -> Noted:
        """A salt, and the cost."""
        cost = self.cost
        salt = key_file_form.text(randomness(SALT_BYTES))
        return {"salt": salt, "memory_kib": cost.memory_kib, "passes": cost.passes, "lanes": cost.lanes}

    def slot_key(self, noted: Noted) -> bytes:
        """Argon2id of the passphrase at the slot's own cost, if that is bearable."""
        try:
            salt = key_file_form.raw(noted["salt"], key_file_form.SLOTS)
            cost = Argon2Cost(int(noted["memory_kib"]), int(noted["passes"]), int(noted["lanes"]))
        except (LookupError, TypeError, ValueError):
            raise key_file_form.tampered(key_file_form.SLOTS) from None
        if not cost.is_bearable() or len(salt) != SALT_BYTES:
            raise key_file_form.tampered(key_file_form.SLOTS)
        return hash_secret_raw(
            secret=self._passphrase(),
            salt=salt,
            time_cost=cost.passes,
            memory_cost=cost.memory_kib,
            parallelism=cost.lanes,
            hash_len=KEY_BYTES,
            type=Type.ID,
        )

    def _passphrase(self) -> bytes:
        try:
            told = key_files.read(self.path).decode("utf-8")
        except UnicodeDecodeError:
            raise RefusedError("the passphrase file is not UTF-8 text") from None
        passphrase = unicodedata.normalize("NFC", told.removesuffix("\n").removesuffix("\r"))
        if not passphrase:
            raise RefusedError("the passphrase is empty")
        return passphrase.encode()
