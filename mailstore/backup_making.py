"""What makes a generation of a backup, whichever kind: pieces sent and read back, and the listing last of all.

1. Pieces are sealed, put, read back and compared; each is noted in the memory of the target at once, so that a run that
   was cut short does not send it again. 2. The ways in, if they changed. 3. The listing: from here the generation is
   there. 4. The memory notes its head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mailstore import backup_catalogue, backup_listing
from mailstore.backup_catalogue import Catalogue, Generation
from mailstore.backup_listing import GenerationKind, Head, Listing, Seen
from mailstore.backup_memory import BackupMemory
from mailstore.backup_pace import BackupPace
from mailstore.backup_piece import PieceKind, digest_of, sealed_piece
from mailstore.backup_target import BackupTarget
from mailstore.document_signing import DocumentSigner
from mailstore.errors import TamperedError
from mailstore.failpoint import reached
from mailstore.key_hierarchy import fingerprint
from mailstore.sealed_format import Randomness

Tell = Callable[[str, int, int], None]
"""Told what is done, how far, and of how much (0: nobody knows yet)."""


@dataclass(frozen=True)
class BackupSeals:
    """What sealing and signing need. Nothing here opens a backup."""

    practice: str
    signer: DocumentSigner
    mark_key: bytes = field(repr=False)
    data_recovery_public: bytes
    keys_recovery_public: bytes
    ways_in: bytes = field(repr=False)

    def recovery_public(self, kind: GenerationKind) -> bytes:
        """To whom pieces of a kind are sealed."""
        return self.data_recovery_public if kind is GenerationKind.DATA else self.keys_recovery_public


@dataclass(frozen=True)
class BackupPlace:
    """One target with all that belongs to it here."""

    target: BackupTarget
    target_id: str
    memory: BackupMemory
    seen: Seen
    """What is known of every other target."""


@dataclass(frozen=True)
class Made:
    """What came of a run. ``sent_bytes``: what went to the target; the rest was there."""

    generation: Generation
    sent_pieces: int
    sent_bytes: int
    problems: tuple[str, ...] = ()


class GenerationMaker:
    """Makes one generation of one kind in one target."""

    def __init__(
        self,
        place: BackupPlace,
        seals: BackupSeals,
        kind: GenerationKind,
        *,
        pace: BackupPace,
        randomness: Randomness,
    ) -> None:
        self.place = place
        self.seals = seals
        self.kind = kind
        self.sent_pieces = 0
        self.sent_bytes = 0
        self._pace = pace
        self._randomness = randomness
        self._catalogue = Catalogue(place.target, target_id=place.target_id, audit_public=seals.signer.audit_public)
        self.before = self._proved_newest()

    @property
    def sequence(self) -> int:
        """The number of the generation that is being made."""
        return 1 if self.before is None else self.before.listing.sequence + 1

    def send(self, content: bytes, kind: PieceKind) -> tuple[str, int]:
        """Seal a piece and put it where it belongs; digest and length of what lies there, read back and compared."""
        public = self.seals.recovery_public(self.kind)
        piece = sealed_piece(content, kind=kind, recovery_public=public, randomness=self._randomness)
        digest = digest_of(piece)
        self.place.target.put(backup_listing.piece_name(self.kind, digest), piece)
        self.sent_pieces += 1
        self.sent_bytes += len(piece)
        reached("backup.after_piece")
        self._pace.spent(len(piece))
        return digest, len(piece)

    def publish(
        self, *, contents: str, pieces: Mapping[str, int], as_of: datetime, now: datetime, base: int | None = None
    ) -> Generation:
        """The generation is there when this returns; whatever was cut short before is not."""
        ways_in = digest_of(self.seals.ways_in)
        self.place.target.put(backup_listing.ways_in_name(ways_in), self.seals.ways_in)
        reached("backup.before_listing")
        listing = Listing(
            practice=self.seals.practice,
            target=self.place.target_id,
            kind=self.kind,
            sequence=self.sequence,
            previous="" if self.before is None else self.before.digest,
            as_of=as_of,
            made_at=now,
            base=base or self.sequence,
            contents=contents,
            pieces=tuple(sorted(pieces.items())),
            sealed_for=self.sealed_for,
            ways_in=ways_in,
            seen=self._seen(),
        )
        data = listing.signed(self.seals.signer)
        self.place.target.put(listing.name, data)
        reached("backup.after_listing")
        generation = Generation(listing, digest_of(data))
        self.remember(generation)
        return generation

    @property
    def sealed_for(self) -> str:
        """Whom pieces of this kind are sealed to now, by a fingerprint."""
        return fingerprint(self.seals.recovery_public(self.kind)).hex()

    def remember(self, generation: Generation) -> None:
        """Note the newest generation."""
        self.place.memory.note(
            **{f"head_{self.kind.value}": {"sequence": generation.listing.sequence, "digest": generation.digest}}
        )

    def _proved_newest(self) -> Generation | None:
        """The newest generation that is there; ``TamperedError`` when one that we made is gone or another."""
        newest = self._catalogue.newest(self.kind)
        head = known_heads(self.place.memory).get(self.kind.value)
        if head is None:
            return newest
        told = {self.place.target_id: {self.kind.value: head}}
        problem = backup_catalogue.rolled_back(self.place.target_id, {self.kind: newest}, told)
        if problem or newest is None:
            raise TamperedError(
                f"{self.place.target.url}: {problem}",
                fix="find out who did it; then name another target, or an empty directory or prefix",
            )
        if newest.listing.sequence > head.sequence + 1 or (
            newest.listing.sequence == head.sequence + 1 and newest.listing.previous != head.digest
        ):
            raise TamperedError(
                f"{self.place.target.url} holds generations that this appliance did not make",
                fix="make sure that one appliance alone backs up into this target",
            )
        if newest.listing.sequence > head.sequence:
            self.remember(newest)
        return newest

    def _seen(self) -> Seen:
        own = dict(known_heads(self.place.memory))
        own.pop(self.kind.value, None)
        return {**self.place.seen, **({self.place.target_id: own} if own else {})}


def known_heads(memory: BackupMemory) -> dict[str, Head]:
    """The newest generation of each kind that this appliance remembers to have made."""
    heads = {}
    for kind in GenerationKind:
        told = memory.fact(f"head_{kind.value}")
        if told is not None:
            heads[kind.value] = Head(int(told["sequence"]), str(told["digest"]))
    return heads
