"""The members of the key ring under the root key: ``keys/keyring.json``, and the public halves beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mailstore import key_file_form
from mailstore.errors import TamperedError
from mailstore.instants import instant_of, microseconds
from mailstore.key_file_form import CAPTURE_PUBLIC, MEMBERS, RECOVERY, RESTORE, VERSION
from mailstore.key_hierarchy import MEMBERS as MEMBER_NAMES
from mailstore.key_hierarchy import VERSIONED, CaptureKeyPair, KeyRing, RetiredKey
from mailstore.sealed_format import KEY_BYTES, NONCE_BYTES, Randomness, derive

LABEL: Final = "strongroom/keyring/v2/"
RECOVERIES: Final = ("data_recovery", "keys_recovery")


def files_of(ring: KeyRing, *, root: bytes, randomness: Randomness) -> dict[str, bytes]:
    """The files of ``keys/`` that hold and publish a ring, by name."""
    members = {name: _sealed(root, name, member, randomness) for name, member in ring.members().items()}
    retired = [
        {
            "name": key.name,
            "retired_at": microseconds(key.retired_at),
            "sealed": _sealed(root, _retired_name(key.name, microseconds(key.retired_at)), key.private, randomness),
        }
        for key in ring.retired
    ]
    body = {"version": VERSION, "members": members, "retired": retired}
    return {MEMBERS: key_file_form.sealed(body, root=root, name=MEMBERS), **published(ring)}


def published(ring: KeyRing) -> dict[str, bytes]:
    """The files that tell the public halves, by name."""
    recovery = {name: key_file_form.text(_public(ring.members()[name])) for name in RECOVERIES}
    return {
        CAPTURE_PUBLIC: key_file_form.text(ring.capture.public).encode() + b"\n",
        RECOVERY: key_file_form.canonical({"version": VERSION, **recovery}),
    }


def opened(files: Mapping[str, bytes], root: bytes) -> KeyRing:
    """The ring. ``TamperedError`` naming the file, and the member, that is not what was written."""
    told = key_file_form.parsed(files[MEMBERS], MEMBERS)
    members, retired = told.get("members"), told.get("retired")
    if not isinstance(members, dict) or tuple(members) != MEMBER_NAMES or not isinstance(retired, list):
        raise key_file_form.tampered(MEMBERS)
    opened_members = [_opened(root, name, members[name]) for name in MEMBER_NAMES]
    ring = KeyRing(*opened_members, retired=tuple(_retired(root, each) for each in retired))
    key_file_form.verify_seal(told, root=root, name=MEMBERS)
    for name, data in published(ring).items():
        if files.get(name) != data:
            raise TamperedError(f"keys/{name} does not belong to this key ring", fix=RESTORE)
    return ring


def recovery_publics(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The public halves that backups are sealed to, as published, by the names of their members."""
    told = key_file_form.parsed(files.get(RECOVERY, b""), RECOVERY)
    publics = {name: key_file_form.raw(told.get(name), RECOVERY) for name in RECOVERIES}
    if any(len(public) != KEY_BYTES for public in publics.values()):
        raise key_file_form.tampered(RECOVERY)
    return publics


def _public(private: bytes) -> bytes:
    return CaptureKeyPair.of(private).public


def _retired(root: bytes, told: Any) -> RetiredKey:
    try:
        name, at = str(told["name"]), int(told["retired_at"])
        key = RetiredKey(name, _opened(root, _retired_name(name, at), told["sealed"]), instant_of(at))
    except (LookupError, TypeError, ValueError, OverflowError):
        raise key_file_form.tampered(MEMBERS) from None
    if key.name not in VERSIONED:
        raise key_file_form.tampered(MEMBERS)
    return key


def _retired_name(name: str, at: int) -> str:
    return f"retired/{name}/{at}"


def _sealed(root: bytes, name: str, member: bytes, randomness: Randomness) -> str:
    nonce, label = randomness(NONCE_BYTES), (LABEL + name).encode()
    return key_file_form.text(nonce + AESGCM(derive(root, info=label)).encrypt(nonce, member, label))


def _opened(root: bytes, name: str, told: object) -> bytes:
    sealed, label = key_file_form.raw(told, MEMBERS), (LABEL + name).encode()
    try:
        return AESGCM(derive(root, info=label)).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], label)
    except (InvalidTag, ValueError):
        raise TamperedError(f"keys/{MEMBERS}: {name} is not what was written", fix=RESTORE) from None
