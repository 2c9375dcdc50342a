"""A backup of the keys: the keystore and ``keys/``, and no data. Small, so that it can be made every few minutes.

A base holds everything, a change what is new since. The rows of both are of one moment of the keystore. Which rows are
new is asked by the time they were made, and proved by counting: when what the target has by now and what the keystore
has do not come out even (a clock that jumped, keys that were swept away), a new base is made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, Final

from mailstore import backup_key_records
from mailstore.backup_contents import KeysContents, KeyTotals
from mailstore.backup_making import GenerationMaker, Made
from mailstore.backup_piece import PieceKind
from mailstore.instants import instant_of, microseconds
from mailstore.keystore import BatchOfKeys, Destroyed, KeptKey, Keystore, KeystoreCopy
from mailstore.wall_clock import Clock

BASE_EVERY: Final = timedelta(days=7)
OVERLAP: Final = timedelta(hours=1)
"""A batch of keys is dated before it is committed. An hour is longer than any commit, and than clocks are set back."""

RING_FILE: Final = "keys/keyring.json"
_STATE: Final = "keys_state"

Files = Mapping[str, bytes]


@dataclass(frozen=True)
class KeySources:
    """Where the keys lie. ``files``: those of ``keys/`` that travel; ``pages``: those of the ledger, by path."""

    keystore: Keystore
    files: Callable[[], Files]
    pages: Callable[[], Files]
    clock: Clock


@dataclass(frozen=True)
class _Change:
    batches: tuple[BatchOfKeys, ...]
    keys: tuple[KeptKey, ...]
    marks: tuple[Destroyed, ...]


class KeysBackup:
    """Makes one keys generation."""

    def __init__(self, sources: KeySources, maker: GenerationMaker) -> None:
        self._sources = sources
        self._maker = maker
        self._memory = maker.place.memory

    def run(self, *, is_base: bool = False) -> Made | None:
        """Make it; None when nothing changed since the last one. ``is_base``: a base in any case.

        Raises ``StorageUnavailableError`` when the target or the keystore fails: run it again.
        """
        as_of = self._sources.clock.now()
        files, pages = self._sources.files(), self._sources.pages()
        before = None if is_base else self._state(as_of, files)
        if before is None:
            return self._base(as_of, files, pages)
        copy = self._sources.keystore.copied(instant_of(int(before["as_of"])) - OVERLAP)
        change = self._change(copy, before)
        if change is None:
            return self._base(as_of, files, pages)
        fresh = {path: data for path, data in pages.items() if path not in before["pages"]}
        is_same = not (change.batches or change.keys or change.marks or fresh)
        if is_same and before["files"] == _digest(files):
            return None
        return self._sent(as_of, copy, change, files={**files, **fresh}, pages=pages, base=int(before["base"]))

    def _base(self, as_of: datetime, files: Files, pages: Files) -> Made:
        copy = self._sources.keystore.copied()
        everything = _Change(copy.batches, copy.keys, copy.marks)
        return self._sent(as_of, copy, everything, files={**files, **pages}, pages=pages, base=None)

    def _state(self, as_of: datetime, files: Files) -> Mapping[str, Any] | None:
        """What is known of the chain that a change could go on; None when a base is due."""
        told, before = self._memory.fact(_STATE), self._maker.before
        if told is None or before is None or told["sequence"] != before.listing.sequence:
            return None
        is_old = not timedelta(0) <= as_of - instant_of(int(told["base_at"])) < BASE_EVERY
        is_other_ring = told["ring"] != _digest({RING_FILE: files.get(RING_FILE, b"")})
        if is_old or is_other_ring or told["sealed_to"] != self._maker.sealed_for:
            return None
        return told

    def _change(self, copy: KeystoreCopy, before: Mapping[str, Any]) -> _Change | None:
        """What is new; None when that does not come out even with what the keystore holds."""
        shipped = self._memory.shipped_batches([batch.batch for batch in copy.batches])
        marked = set(before["marks"])
        batches = tuple(each for each in copy.batches if each.batch not in shipped)
        keys = tuple(key for key in copy.keys if key.batch not in shipped)
        marks = tuple(mark for mark in copy.marks if mark.message not in marked)
        totals = before["totals"]
        is_even = (
            totals["batches"] + len(batches) == copy.batch_count
            and totals["keys"] + len(keys) - len(marks) == copy.key_count
            and totals["marks"] + len(marks) == copy.mark_count
            and frozenset(before["sealed_for"]) >= {each.hex() for each in copy.sealed_for}
        )
        return _Change(batches, keys, marks) if is_even else None

    def _sent(
        self, as_of: datetime, copy: KeystoreCopy, change: _Change, *, files: Files, pages: Files, base: int | None
    ) -> Made:
        maker = self._maker
        cut = backup_key_records.cut(chain(change.batches, change.keys, change.marks))
        pieces = dict(maker.send(each, PieceKind.KEY_RECORDS) for each in cut)
        contents = KeysContents(
            sequence=maker.sequence,
            as_of=as_of,
            base=base or maker.sequence,
            records=tuple(pieces),
            totals=KeyTotals(copy.batch_count, copy.key_count, copy.mark_count),
            high_water=self._sources.keystore.high_water(),
            files=tuple(sorted(files.items())),
        )
        digest, length = maker.send(contents.to_bytes(), PieceKind.CONTENTS)
        generation = maker.publish(
            contents=digest, pieces={**pieces, digest: length}, as_of=as_of, now=self._sources.clock.now(), base=base
        )
        own = {path: data for path, data in files.items() if path not in pages}
        self._remember(contents, copy, files=own, pages=pages)
        return Made(generation, maker.sent_pieces, maker.sent_bytes)

    def _remember(self, contents: KeysContents, copy: KeystoreCopy, *, files: Files, pages: Files) -> None:
        """What the next change goes on from. Without it the next one is a base."""
        is_base = contents.base == contents.sequence
        before = None if is_base else self._memory.fact(_STATE)
        lately = microseconds(contents.as_of - 2 * OVERLAP)
        totals = contents.totals
        self._memory.note_batches(
            ((each.batch, microseconds(each.made_at)) for each in copy.batches if microseconds(each.made_at) >= lately),
            forget_before=lately,
        )
        self._memory.note(
            **{
                _STATE: {
                    "sequence": contents.sequence,
                    "base": contents.base,
                    "base_at": microseconds(contents.as_of) if before is None else before["base_at"],
                    "as_of": microseconds(contents.as_of),
                    "ring": _digest({RING_FILE: files.get(RING_FILE, b"")}),
                    "files": _digest(files),
                    "pages": sorted(pages),
                    "sealed_to": self._maker.sealed_for,
                    "sealed_for": sorted(each.hex() for each in copy.sealed_for),
                    "totals": {"batches": totals.batches, "keys": totals.keys, "marks": totals.marks},
                    "marks": [mark.message for mark in copy.marks if microseconds(mark.at) >= lately],
                }
            }
        )


def _digest(files: Files) -> str:
    whole = hashlib.sha256()
    for path, data in sorted(files.items()):
        whole.update(f"{path}\n{len(data)}\n".encode())
        whole.update(data)
    return whole.hexdigest()
