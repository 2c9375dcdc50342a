"""``keys/`` as the first form of it was: read, so that it can be opened and written anew, and never made again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mailstore import key_file_form
from mailstore.errors import TamperedError, WrongKeyError
from mailstore.key_file_form import CAPTURE_PUBLIC, MEMBERS, SLOTS
from mailstore.key_hierarchy import MEMBERS as MEMBER_NAMES
from mailstore.key_hierarchy import KeyRing
from mailstore.key_ring_file import RECOVERIES
from mailstore.sealed_format import NONCE_BYTES, derive
from mailstore.slot_secret import SlotSecret

VERSION: Final = 1
SLOT_LABEL: Final = "strongroom/slot/v1/"
MEMBER_LABEL: Final = "strongroom/keyring/v1/"
_COSTS: Final = ("memory_kib", "passes", "lanes")


def is_first(files: Mapping[str, bytes]) -> bool:
    """True when the slots are of the first form."""
    return key_file_form.parsed(files[SLOTS], SLOTS).get("version") == VERSION


def count_of_slots(files: Mapping[str, bytes]) -> int:
    """How many secrets open it."""
    return len(_slots(files))


def opened(files: Mapping[str, bytes], secret: SlotSecret) -> KeyRing:
    """The ring. ``WrongKeyError``, or ``TamperedError`` naming the file.

    It had no members for backups: they are derived of the root key until the ring is written anew.
    """
    root = _root(files, secret)
    members = _told(files, MEMBERS).get("members")
    names = [name for name in MEMBER_NAMES if name not in RECOVERIES]
    if not isinstance(members, dict) or set(members) != set(names):
        raise key_file_form.tampered(MEMBERS)
    found = [_member(root, name, members[name]) for name in names]
    ring = KeyRing(*found, *(derive(root, info=(MEMBER_LABEL + name).encode()) for name in RECOVERIES))
    if files[CAPTURE_PUBLIC] != key_file_form.text(ring.capture.public).encode() + b"\n":
        raise TamperedError(f"keys/{CAPTURE_PUBLIC} does not belong to this key ring")
    return ring


def _root(files: Mapping[str, bytes], secret: SlotSecret) -> bytes:
    for slot in _slots(files):
        if isinstance(slot, dict) and slot.get("kind") == secret.kind:
            sealed = key_file_form.raw(slot.get("sealed_root"), SLOTS)
            key = AESGCM(secret.slot_key(slot))
            costs = ":".join(str(slot.get(name, 0)) for name in _COSTS)
            try:
                return key.decrypt(
                    sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], f"{SLOT_LABEL}{secret.kind}:{costs}".encode()
                )
            except (InvalidTag, ValueError):
                continue
    raise WrongKeyError(
        f"no slot in keys/{SLOTS} opens with this secret", fix="Give the passphrase or key file that init was given."
    )


def _member(root: bytes, name: str, told: object) -> bytes:
    sealed, label = key_file_form.raw(told, MEMBERS), (MEMBER_LABEL + name).encode()
    try:
        return AESGCM(derive(root, info=label)).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], label)
    except (InvalidTag, ValueError):
        raise TamperedError(f"keys/{MEMBERS}: {name} is not what was written") from None


def _slots(files: Mapping[str, bytes]) -> list[Any]:
    slots = _told(files, SLOTS).get("slots")
    if not isinstance(slots, list):
        raise key_file_form.tampered(SLOTS)
    return slots


def _told(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    told = key_file_form.parsed(files[name], name)
    if told.get("version") != VERSION:
        raise key_file_form.tampered(name)
    return told
