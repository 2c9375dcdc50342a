"""Unlock slots that a file opens: one that lies on a disk, or a credential that systemd hands to a service."""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from mailstore import key_file_form, key_files
from mailstore.errors import WrongKeyError
from mailstore.sealed_format import KEY_BYTES, SALT_BYTES, Randomness, derive
from mailstore.slot_secret import Noted

INFO: Final = "strongroom/slot/v1/key-file"
"""What the first release derived slot keys of key files with, and every one since."""

CREDENTIAL_INFO: Final = "strongroom/slot/v2/credential"


@dataclass(frozen=True)
class KeyFile:
    """A file of 64 hexadecimal digits, made by ``create_key_file``."""

    path: Path
    kind: ClassVar[str] = "key_file"

    def noted(self, randomness: Randomness) -> Noted:
        """A salt."""
        return {"salt": key_file_form.text(randomness(SALT_BYTES))}

    def slot_key(self, noted: Noted) -> bytes:
        """HKDF of what the file says."""
        salt = key_file_form.raw(noted.get("salt"), key_file_form.SLOTS)
        return derive(_key_of(self.path), info=INFO.encode(), salt=salt)


@dataclass(frozen=True)
class Credential:
    """A credential that systemd put into a file for this service: the digits of a key file, in a file of its own.

    (systemd.exec(5), ``LoadCredentialEncrypted=``.) What keeps it, a TPM for one, is systemd's business.
    """

    path: Path
    kind: ClassVar[str] = "credential"

    def noted(self, randomness: Randomness) -> Noted:
        """A salt, and its name."""
        return {"salt": key_file_form.text(randomness(SALT_BYTES)), "name": self.path.name}

    def slot_key(self, noted: Noted) -> bytes:
        """HKDF of what the credential says."""
        salt = key_file_form.raw(noted.get("salt"), key_file_form.SLOTS)
        return derive(_key_of(self.path), info=CREDENTIAL_INFO.encode(), salt=salt)


def create_key_file(path: Path, randomness: Randomness) -> KeyFile:
    """A fresh key file, readable by us alone. ``RefusedError`` when something is there already."""
    key_files.write_new(path, randomness(KEY_BYTES).hex().encode() + b"\n")
    return KeyFile(path)


def _key_of(path: Path) -> bytes:
    try:
        data = binascii.unhexlify(key_files.read(path).strip())
    except binascii.Error:
        data = b""
    if len(data) != KEY_BYTES:
        raise WrongKeyError("the key file is not 64 hexadecimal digits")
    return data
