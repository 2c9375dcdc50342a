"""The generations of a target: which there are, which is the newest, and whether any was put away.

The newest is the one with the highest number. Numbers are signed and chained by hash; times decide nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mailstore import backup_listing
from mailstore.backup_listing import GenerationKind, Head, Listing, Seen
from mailstore.backup_piece import digest_of
from mailstore.backup_target import BackupTarget
from mailstore.errors import NotFoundError, TamperedError

ROLLED_BACK = "it was rolled back or cut off"


@dataclass(frozen=True)
class Generation:
    """One generation that is there: its listing, and the SHA-256 of it as a file."""

    listing: Listing
    digest: str

    @property
    def head(self) -> Head:
        """Its number and digest."""
        return Head(self.listing.sequence, self.digest)


class Catalogue:
    """The listings of one target, each proved when it is read.

    ``audit_public`` None: signatures are not looked at, which is enough to find the ways in and for nothing else.
    """

    def __init__(self, target: BackupTarget, *, target_id: str, audit_public: bytes | None) -> None:
        self._target = target
        self._target_id = target_id
        self._audit_public = audit_public

    @property
    def target_id(self) -> str:
        """Which target it is."""
        return self._target_id

    def sequences(self, kind: GenerationKind) -> list[int]:
        """The numbers of the listings that are there, lowest first."""
        beginning = backup_listing.generations(kind)
        return sorted(backup_listing.sequence_of(name) for name, _ in self._target.held(beginning))

    def newest(self, kind: GenerationKind) -> Generation | None:
        """The newest generation. ``TamperedError`` when its listing is not what was written."""
        found = self.sequences(kind)
        return self.one(kind, found[-1]) if found else None

    def one(self, kind: GenerationKind, sequence: int) -> Generation:
        """One generation. Raises ``NotFoundError``, or ``TamperedError`` naming its file."""
        name = backup_listing.listing_name(kind, sequence)
        data = self._target.get(name)
        if self._audit_public is None:
            listing = backup_listing.unproved(name, data)
        else:
            listing = backup_listing.proved(name, data, audit_public=self._audit_public)
        if listing.target != self._target_id:
            raise TamperedError(f"{name} is of another target", fix="it was copied here; take it away")
        return Generation(listing, digest_of(data))

    def generations(self, kind: GenerationKind, *, since: int = 0) -> Iterator[Generation]:
        """Every generation from a number on, oldest first. ``TamperedError`` for a gap or a broken chain."""
        before: Generation | None = None
        for sequence in self.sequences(kind):
            if sequence < since:
                continue
            each = self.one(kind, sequence)
            if before is not None:
                require_next(before, each)
            yield each
            before = each

    def chain(self, newest: Generation) -> list[Generation]:
        """The generations of keys that have to be put one on top of the other, the base first.

        ``NotFoundError`` when the base, or one between, is not there any more.
        """
        found = [newest]
        while found[-1].listing.sequence > newest.listing.base:
            before = self.one(newest.listing.kind, found[-1].listing.sequence - 1)
            require_next(before, found[-1])
            found.append(before)
        return found[::-1]


def rolled_back(target_id: str, newest: dict[GenerationKind, Generation | None], seen: Seen) -> str:
    """What shows that generations of this target were put away; nothing when nothing does.

    ``seen``: what other listings of the practice, or the appliance itself, know of this target.
    """
    for kind, head in seen.get(target_id, {}).items():
        there = newest.get(GenerationKind(kind))
        if there is None or there.listing.sequence < head.sequence:
            has = "none" if there is None else f"number {there.listing.sequence}"
            return f"generation {head.sequence} of {kind} was there once, and the newest now is {has}: {ROLLED_BACK}"
        if there.listing.sequence == head.sequence and there.digest != head.digest:
            return f"generation {head.sequence} of {kind} is another one than was written there"
    return ""


def seen_in(listing: Listing) -> Seen:
    """What a listing knows of every target."""
    return listing.seen


def piece_of(target: BackupTarget, kind: GenerationKind, digest: str) -> bytes:
    """A piece, held against its name. ``TamperedError`` naming it when it is missing or changed."""
    name = backup_listing.piece_name(kind, digest)
    try:
        data = target.get(name)
    except NotFoundError:
        raise TamperedError(f"{name} is missing in the target {target.url}") from None
    if digest_of(data) != digest:
        raise TamperedError(f"{name} was changed")
    return data


def ways_in_of(target: BackupTarget, digest: str) -> bytes:
    """A file of unlock slots, held against its name. ``TamperedError`` naming it when it is missing or changed."""
    name = backup_listing.ways_in_name(digest)
    try:
        data = target.get(name)
    except NotFoundError:
        raise TamperedError(f"{name} is missing in the target {target.url}") from None
    if digest_of(data) != digest:
        raise TamperedError(f"{name} was changed")
    return data


def require_next(before: Generation, each: Generation) -> None:
    """``TamperedError`` unless one generation goes on behind the other."""
    if each.listing.sequence != before.listing.sequence + 1:
        raise TamperedError(
            f"generation {before.listing.sequence + 1} of {each.listing.kind.value} is missing between its neighbours"
        )
    if each.listing.previous != before.digest:
        raise TamperedError(f"{each.listing.name} does not go on behind the generation before it")
