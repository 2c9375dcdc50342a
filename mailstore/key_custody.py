"""Where the keys lie while nobody works: ``keys/`` as docs/formats/key-hierarchy.md says.

The root key lies in unlock slots, one a secret; the members of the ring lie under the root key. Without a secret
nothing opens, and nothing here ever makes a key in the place of one that is missing (promise I7).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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
class Unlocked:
    """What a secret opened: the slots as they stand, which of them it was, the root key and the ring."""

    slots: tuple[UnlockSlot, ...]
    by: UnlockSlot
    root: bytes = field(repr=False)
    ring: KeyRing

    def files(self, randomness: Randomness) -> dict[str, bytes]:
        """All files of ``keys/``, written anew. ``RefusedError`` when no slot would be left."""
        if not self.slots:
            raise RefusedError("the last way in cannot be removed", fix="add another first: strongroom key slot add")
        files = key_ring_file.files_of(self.ring, root=self.root, randomness=randomness)
        return {**files, SLOTS: slots_file(self.slots, self.root)}


def create(directory: Path, secret: SlotSecret, randomness: Randomness, *, now: datetime) -> KeyRing:
    """Make a key ring that ``secret`` unlocks. ``RefusedError`` when ``directory`` already holds one.

    The slots are written last: a ring whose making was cut short is refused by ``unlock``, never half used.
    """
    ring, root = KeyRing(*(randomness(KEY_BYTES) for _ in MEMBERS)), randomness(KEY_BYTES)
    slot = new_slot(secret, root, label="", randomness=randomness, now=now)
    key_files.create(directory, Unlocked((slot,), slot, root, ring).files(randomness))
    return ring


def unlock(directory: Path, secret: SlotSecret) -> KeyRing:
    """The key ring, opened with a secret.

    Raises ``WrongKeyError`` when no slot opens with it, ``TamperedError`` naming the file that is not what was
    written, ``NotFoundError`` when there are no keys or no secret to read.
    """
    files = key_files.read_state(directory)
    return first_key_files.opened(files, secret) if first_key_files.is_first(files) else opened(files, secret).ring


def opened(files: Mapping[str, bytes], secret: SlotSecret) -> Unlocked:
    """What a secret opens of ``keys/``, for whoever changes or copies it. Raises as ``unlock`` does.

    ``RefusedError`` for the first form of the files.
    """
    if first_key_files.is_first(files):
        raise RefusedError("keys/ is of its first form", fix="run: strongroom key rotate")
    slots, by, root = opened_slots(files[SLOTS], secret)
    return Unlocked(slots, by, root, key_ring_file.opened(files, root))


def opened_slots(slots_json: bytes, secret: SlotSecret) -> tuple[tuple[UnlockSlot, ...], UnlockSlot, bytes]:
    """The slots, the one that a secret opens, and the root key inside. ``WrongKeyError``, or ``TamperedError``."""
    slots = listed(slots_json)
    by, root = _root(slots, secret)
    key_file_form.verify_seal(key_file_form.parsed(slots_json, SLOTS), root=root, name=SLOTS)
    return slots, by, root


def listed(slots_json: bytes) -> tuple[UnlockSlot, ...]:
    """The slots as they stand in their file. Only who opens one of them knows that they are ours."""
    told = key_file_form.parsed(slots_json, SLOTS)
    found = told.get("slots")
    if told.get("version") != VERSION or not isinstance(found, list):
        raise key_file_form.tampered(SLOTS)
    return tuple(UnlockSlot.of(each) for each in found)


def slots_file(slots: Sequence[UnlockSlot], root: bytes) -> bytes:
    """The slots as they are written."""
    body = {"version": VERSION, "slots": [slot.to_json() for slot in slots]}
    return key_file_form.sealed(body, root=root, name=SLOTS)


def new_slot(secret: SlotSecret, root: bytes, *, label: str, randomness: Randomness, now: datetime) -> UnlockSlot:
    """A slot that a secret opens. ``RefusedError`` for a label that is not one line."""
    if len(label) > LONGEST_LABEL or not label.isprintable():
        raise RefusedError(f"a label is one line of at most {LONGEST_LABEL} characters")
    noted = secret.noted(randomness)
    public = CaptureKeyPair.of(secret.slot_key(noted)).public
    bare = UnlockSlot(randomness(SLOT_ID_BYTES).hex(), secret.kind, label or secret.kind, now, None, noted, public)
    return bare.with_root(root)


def capture_public(directory: Path) -> bytes:
    """The 32 bytes of the capture public key, as published. ``unlock`` checks that they belong to the ring."""
    told = key_files.read_state(directory)[CAPTURE_PUBLIC].decode("ascii", "replace")
    data = key_file_form.raw(told.removesuffix("\n"), CAPTURE_PUBLIC)
    if len(data) != KEY_BYTES:
        raise key_file_form.tampered(CAPTURE_PUBLIC)
    return data


def recovery_publics(directory: Path) -> dict[str, bytes]:
    """The public halves that backups are sealed to: ``data_recovery`` and ``keys_recovery``, 32 bytes each.

    As published: whoever has the ring compares them with it, as ``unlock`` does.
    """
    return key_ring_file.recovery_publics(key_files.read_state(directory))


def renewed_first(files: Mapping[str, bytes], secret: SlotSecret, randomness: Randomness, *, now: datetime) -> Unlocked:
    """What a secret opens of the first form, ready to be written in the present one, under a new root key.

    ``RefusedError`` when other secrets open it too: their slots could not be written anew without them.
    """
    ring, root = first_key_files.opened(files, secret), randomness(KEY_BYTES)
    if first_key_files.count_of_slots(files) > 1:
        raise RefusedError("keys/ is of its first form and has several slots, which cannot all be written anew")
    slot = new_slot(secret, root, label="", randomness=randomness, now=now)
    return Unlocked((slot,), slot, root, ring)


def with_slots(unlocked: Unlocked, slots: Sequence[UnlockSlot], root: bytes) -> Unlocked:
    """The same ring under another root key, in these slots."""
    return replace(unlocked, slots=tuple(slot.with_root(root) for slot in slots), root=root)


def _root(slots: tuple[UnlockSlot, ...], secret: SlotSecret) -> tuple[UnlockSlot, bytes]:
    wrong = WrongKeyError(
        f"no slot in keys/{SLOTS} opens with this secret", fix="strongroom key slot list says which secrets do."
    )
    for slot in slots:
        if slot.kind == secret.kind:
            try:
                slot_key = secret.slot_key(slot.noted)
            except WrongKeyError as error:
                wrong = error  # it says what is wrong with the secret itself
                continue
            if slot.opens_with(slot_key):
                return slot, slot.root(slot_key)
    raise wrong
