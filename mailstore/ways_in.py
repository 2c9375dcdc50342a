"""The ways in to a key ring: added, tried out, listed. Removing one renews the root key: ``key_rotation``."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

from mailstore import key_custody, key_files
from mailstore.errors import NotFoundError, RefusedError
from mailstore.key_file_form import SLOTS
from mailstore.sealed_format import Randomness
from mailstore.slot_secret import SlotSecret
from mailstore.unlock_slot import UnlockSlot

MOST_SLOTS = 32


def listed(directory: Path) -> tuple[UnlockSlot, ...]:
    """The slots, told without a secret: nothing proves them until one of them is opened."""
    return key_custody.listed(key_files.read_state(directory)[SLOTS])


def add(
    directory: Path, secret: SlotSecret, added: SlotSecret, randomness: Randomness, *, label: str = "", now: datetime
) -> UnlockSlot:
    """Let ``added`` unlock the ring as well, and prove that it does. ``secret`` is one that does already."""
    with key_files.changing(directory) as files:
        found = key_custody.opened(files, secret)
        if len(found.slots) >= MOST_SLOTS:
            raise RefusedError(f"there are {MOST_SLOTS} ways in already", fix="remove one that nobody needs")
        slot = key_custody.new_slot(added, found.root, label=label, randomness=randomness, now=now)
        _, by, _ = key_custody.opened_slots(key_custody.slots_file([slot], found.root), added)
        key_files.replace_state(directory, {SLOTS: key_custody.slots_file([*found.slots, by], found.root)})
    return slot


def tested(directory: Path, secret: SlotSecret, *, now: datetime) -> UnlockSlot:
    """Open everything with a secret, and note that it worked. The slot it was."""
    with key_files.changing(directory) as files:
        found = key_custody.opened(files, secret)
        slot = replace(found.by, tested_at=now)
        slots = [slot if each.id == slot.id else each for each in found.slots]
        key_files.replace_state(directory, {SLOTS: key_custody.slots_file(slots, found.root)})
    return slot


def named(slots: tuple[UnlockSlot, ...], wanted: str) -> UnlockSlot:
    """The slot with an id. ``NotFoundError``."""
    for slot in slots:
        if slot.id == wanted:
            return slot
    raise NotFoundError(f"there is no unlock slot {wanted}", fix="strongroom key slot list names them")
