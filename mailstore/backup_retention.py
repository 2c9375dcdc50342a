"""What is too old goes: in a target where we remove, listings from the oldest on, and pieces that no listing names.

A listing goes before its pieces, so that a crash leaves pieces without a listing, which the next run removes. The
newest generation of each kind, and the base of keys that it rests on, stay however old they are.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailstore import backup_listing
from mailstore.backup_catalogue import Catalogue, Generation
from mailstore.backup_listing import GenerationKind
from mailstore.backup_target import BackupTarget
from mailstore.failpoint import reached


@dataclass(frozen=True)
class Expired:
    """How many generations and files were removed."""

    generations: int
    files: int


class BackupRetention:
    """Removes what is too old in one target. For a target that ``may_remove``."""

    def __init__(self, target: BackupTarget, catalogue: Catalogue) -> None:
        self._target = target
        self._catalogue = catalogue

    def expire(self, kind: GenerationKind, *, keep: timedelta, now: datetime) -> Expired:
        """Remove the generations that were made longer ago, with the pieces that are theirs alone.

        ``now`` is a proved time: a clock that jumped must not remove backups.
        """
        sequences = self._catalogue.sequences(kind)
        newest = self._catalogue.newest(kind)
        if newest is None:
            return Expired(0, 0)
        gone = self._too_old(kind, sequences, first_kept=newest.listing.base, before=now - keep)
        for each in gone:
            self._target.remove(each.listing.name)
            reached("backup_retention.after_listing")
        doomed = {digest for each in gone for digest in backup_listing.digests(each.listing.pieces)}
        if kind is GenerationKind.DATA and doomed:
            doomed -= self._needed(kind, sequences[len(gone) :])
        for digest in sorted(doomed):
            self._target.remove(backup_listing.piece_name(kind, digest))
            reached("backup_retention.after_piece")
        return Expired(len(gone), len(doomed))

    def sweep(self, kind: GenerationKind, *, known: Collection[str]) -> int:
        """Remove pieces that no listing names, left by runs that were cut off. ``known``: those that shall stay."""
        needed = self._needed(kind, self._catalogue.sequences(kind)) | set(known)
        lost = [
            name for name, _ in self._target.held(backup_listing.pieces(kind)) if name.rpartition("/")[2] not in needed
        ]
        for name in lost:
            self._target.remove(name)
        return len(lost)

    def sweep_ways_in(self, *, known: Collection[str]) -> int:
        """Remove ways in that no listing names: a secret that was taken away opens no backup for ever.

        ``known``: those that a run under way is about to name.
        """
        needed = set(known) | {
            self._catalogue.one(kind, sequence).listing.ways_in
            for kind in GenerationKind
            for sequence in self._catalogue.sequences(kind)
        }
        lost = [
            name
            for name, _ in self._target.held(backup_listing.WAYS_IN)
            if name.removeprefix(backup_listing.WAYS_IN).removesuffix(".json") not in needed
        ]
        for name in lost:
            self._target.remove(name)
        return len(lost)

    def _too_old(
        self, kind: GenerationKind, sequences: list[int], *, first_kept: int, before: datetime
    ) -> list[Generation]:
        gone = []
        for sequence in sequences:
            each = self._catalogue.one(kind, sequence)
            if sequence >= first_kept or each.listing.made_at >= before:
                break
            gone.append(each)
        return gone

    def _needed(self, kind: GenerationKind, sequences: list[int]) -> set[str]:
        return {
            digest
            for sequence in sequences
            for digest in backup_listing.digests(self._catalogue.one(kind, sequence).listing.pieces)
        }
