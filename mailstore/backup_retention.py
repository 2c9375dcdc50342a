"""What is too old goes: in a target where we remove, listings from the oldest on, and pieces that no listing names.

A listing goes before its pieces, so that a crash leaves pieces without a listing, which the next run removes. The
newest generation of each kind, and the base of keys that it rests on, stay however old they are. How old one is, its
date alone does not say (``generation_age``).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailstore import backup_listing, generation_age
from mailstore.backup_catalogue import Catalogue
from mailstore.backup_listing import GenerationKind
from mailstore.backup_target import BackupTarget
from mailstore.errors import TamperedError
from mailstore.failpoint import reached
from mailstore.generation_age import Dated, Dates


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
        too_old = self._too_old(kind, sequences, first_kept=newest.listing.base, now=now, keep=keep)
        gone = [self._catalogue.one(kind, each) for each in too_old]
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
        self, kind: GenerationKind, sequences: Sequence[int], *, first_kept: int, now: datetime, keep: timedelta
    ) -> list[int]:
        witnesses: list[Dated] = []
        for sequence in generation_age.witnesses(sequences):
            with suppress(TamperedError):
                witnesses.append(self._dated(kind, sequence))
        dated = (self._dated(kind, sequence) for sequence in sequences)
        dates = Dates(witnesses, now=now)
        return generation_age.too_old(dated, dates, before=now - keep, first_kept=first_kept)

    def _dated(self, kind: GenerationKind, sequence: int) -> Dated:
        return Dated(sequence, self._catalogue.one(kind, sequence).listing.made_at)

    def _needed(self, kind: GenerationKind, sequences: list[int]) -> set[str]:
        return {
            digest
            for sequence in sequences
            for digest in backup_listing.digests(self._catalogue.one(kind, sequence).listing.pieces)
        }
