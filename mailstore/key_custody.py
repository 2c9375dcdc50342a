"""Where the keys lie while nobody works: ``keys/`` as docs/formats/key-hierarchy.md says.

The root key lies in unlock slots, one a secret; the members of the ring lie under the root key. Without a secret
nothing opens, and nothing here ever makes a key in the place of one that is missing (promise I7).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mailstore import first_key_files, key_file_form, key_files, key_ring_file
from mailstore.errors import RefusedError, WrongKeyError
from mailstore.key_file_form import CAPTURE_PUBLIC, SLOTS, VERSION
from mailstore.key_hierarchy import MEMBERS, CaptureKeyPair, KeyRing
from mailstore.sealed_format import KEY_BYTES, Randomness
from mailstore.slot_secret import SlotSecret
from mailstore.unlock_slot import LONGEST_LABEL, SLOT_ID_BYTES, UnlockSlot


@dataclass(frozen=True)
class _Opened:
    """What a secret opened: the slots as they stand, which of them it was, and the root key inside."""

    slots: tuple[UnlockSlot, ...]
    opened: UnlockSlot
    root: bytes


def create(directory: Path, secret: SlotSecret, randomness: Randomness, *, now: datetime) -> KeyRing:
    """Make a key ring that ``secret`` unlocks. ``RefusedError`` when ``directory`` already holds one.

    The slots are written last: a ring whose making was cut short is refused by ``unlock``, never half used.
    """
    ring, root = KeyRing(*(randomness(KEY_BYTES) for _ in MEMBERS)), randomness(KEY_BYTES)
    slot = _new_slot(secret, root, label="", randomness=randomness, now=now)
    files = key_ring_file.files_of(ring, root=root, randomness=randomness)
    key_files.create(directory, {**files, SLOTS: _slots_file([slot], root)})
    return ring


def unlock(directory: Path, secret: SlotSecret) -> KeyRing:
    """The key ring, opened with a secret.

    Raises ``WrongKeyError`` when no slot opens with it, ``TamperedError`` naming the file that is not what was
    written, ``NotFoundError`` when there are no keys or no secret to read.
    """
    files = key_files.read_state(directory)
    if first_key_files.is_first(files):
        return first_key_files.opened(files, secret)
    return key_ring_file.opened(files, _opened(files, secret).root)


def add_slot(
    directory: Path, secret: SlotSecret, added: SlotSecret, randomness: Randomness, *, label: str = "", now: datetime
) -> UnlockSlot:
    """Let ``added`` unlock the ring as well. ``secret`` is one that does already."""
    with key_files.changing(directory) as files:
        _refuse_first(files)
        found = _opened(files, secret)
        slot = _new_slot(added, found.root, label=label, randomness=randomness, now=now)
        key_files.replace_state(directory, {SLOTS: _slots_file([*found.slots, slot], found.root)})
    return slot


def capture_public(directory: Path) -> bytes:
    """The 32 bytes of the capture public key, as published. ``unlock`` checks that they belong to the ring."""
    told = key_files.read(directory / CAPTURE_PUBLIC).decode("ascii", "replace").strip()
    data = key_file_form.raw(told, CAPTURE_PUBLIC)
    if len(data) != KEY_BYTES:
        raise key_file_form.tampered(CAPTURE_PUBLIC)
    return data


def recovery_publics(directory: Path) -> dict[str, bytes]:
    """The public halves that backups are sealed to: ``data_recovery`` and ``keys_recovery``, 32 bytes each.

    As published: whoever has the ring compares them with it, as ``unlock`` does.
    """
    return key_ring_file.recovery_publics(key_files.read_state(directory))


def _opened(files: Mapping[str, bytes], secret: SlotSecret) -> _Opened:
    told = key_file_form.parsed(files[SLOTS], SLOTS)
    listed = told.get("slots")
    if told.get("version") != VERSION or not isinstance(listed, list):
        raise key_file_form.tampered(SLOTS)
    slots = tuple(UnlockSlot.of(each) for each in listed)
    slot, root = _root(slots, secret)
    key_file_form.verify_seal(told, root=root, name=SLOTS)
    return _Opened(slots, slot, root)


def _root(slots: tuple[UnlockSlot, ...], secret: SlotSecret) -> tuple[UnlockSlot, bytes]:
    for slot in slots:
        if slot.kind == secret.kind:
            try:
                return slot, slot.root(secret.slot_key(slot.noted))
            except WrongKeyError:
                continue
    raise WrongKeyError(
        f"no slot in keys/{SLOTS} opens with this secret", fix="Give the passphrase or key file that init was given."
    )


def _new_slot(secret: SlotSecret, root: bytes, *, label: str, randomness: Randomness, now: datetime) -> UnlockSlot:
    if len(label) > LONGEST_LABEL or not label.isprintable():
        raise RefusedError(f"a label is one line of at most {LONGEST_LABEL} characters")
    noted = secret.noted(randomness)
    public = CaptureKeyPair.of(secret.slot_key(noted)).public
    bare = UnlockSlot(randomness(SLOT_ID_BYTES).hex(), secret.kind, label or secret.kind, now, None, noted, public)
    return bare.with_root(root)


def _slots_file(slots: list[UnlockSlot], root: bytes) -> bytes:
    body = {"version": VERSION, "slots": [slot.to_json() for slot in slots]}
    return key_file_form.sealed(body, root=root, name=SLOTS)


def _refuse_first(files: Mapping[str, bytes]) -> None:
    if first_key_files.is_first(files):
        raise RefusedError("keys/ is of its first form", fix="run: strongroom key rotate")
