"""New keys in the place of old ones: a new root key, and new pairs for what is sealed from now on.

The old pairs stay in the ring, retired, until nothing names them any more. Message keys and bodies are not touched:
``rewrapping`` seals the keys of batches to the new pair. What a copy of the old ``keys/`` and an old secret still open,
and for how long, is said in docs/formats/key-hierarchy.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from mailstore import first_key_files, key_custody, key_files, ways_in
from mailstore.errors import RefusedError
from mailstore.key_custody import Unlocked
from mailstore.key_hierarchy import VERSIONED, KeyRing, RetiredKey
from mailstore.sealed_format import KEY_BYTES, Randomness
from mailstore.slot_secret import SlotSecret

RENEWED = ("capture_private", "keys_recovery")
"""What every rotation renews. On request: ``data_recovery``, which opens no mail, and after which the next backup is a
whole one; ``index_key``, after which the search index is made anew; ``certificate_seed``, of which the public half
stands on. Of these two nothing stays in the ring."""


def rotate(
    directory: Path,
    secret: SlotSecret,
    randomness: Randomness,
    *,
    now: datetime,
    renewed: Sequence[str] = RENEWED,
    without: str | None = None,
    before: Callable[[KeyRing, KeyRing], None] | None = None,
) -> KeyRing:
    """Renew the root key and some members, in one step: the new ring. ``without``: a slot that shall open nothing more.

    ``before`` is told the old ring and the new one before that counts: whatever has to outlive an old key.

    ``RefusedError`` when that slot is the last, or the one that ``secret`` opens: whoever removes a way in shows
    that another one works. ``NotFoundError`` when there is no such slot.
    """
    with key_files.changing(directory) as files:
        if first_key_files.is_first(files):
            found = key_custody.renewed_first(files, secret, randomness, now=now)
        else:
            found = key_custody.opened(files, secret)
        slots = [slot for slot in found.slots if slot.id != without]
        if without is not None:
            _refuse_removal(found, without)
        ring = _renewed(found.ring, renewed, randomness, now=now)
        if before is not None:
            before(found.ring, ring)
        changed = key_custody.with_slots(replace(found, ring=ring), slots, randomness(KEY_BYTES))
        key_files.replace_state(directory, changed.files(randomness))
    return ring


def forget(
    directory: Path, secret: SlotSecret, randomness: Randomness, *, is_needed: Callable[[RetiredKey], bool]
) -> KeyRing:
    """Drop the retired pairs that nothing needs any more: the ring that is left. The old files are overwritten."""
    with key_files.changing(directory) as files:
        found = key_custody.opened(files, secret)
        kept = tuple(key for key in found.ring.retired if is_needed(key))
        if kept == found.ring.retired:
            return found.ring
        ring = replace(found.ring, retired=kept)
        key_files.replace_state(directory, replace(found, ring=ring).files(randomness))
    return ring


def _renewed(ring: KeyRing, names: Sequence[str], randomness: Randomness, *, now: datetime) -> KeyRing:
    members = ring.members()
    retired = tuple(RetiredKey(name, members[name], now) for name in names if name in VERSIONED)
    made = {**members, **{name: randomness(KEY_BYTES) for name in names}}
    return KeyRing(*made.values(), retired=(*ring.retired, *retired))


def _refuse_removal(found: Unlocked, without: str) -> None:
    slot = ways_in.named(found.slots, without)
    if len(found.slots) == 1:
        raise RefusedError("the last way in cannot be removed", fix="add another first: strongroom key slot add")
    if slot.id == found.by.id:
        raise RefusedError(
            "this is the secret of the slot that shall go",
            fix="give the secret of one that stays, to show that it works",
        )
