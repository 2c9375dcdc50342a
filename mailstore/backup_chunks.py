"""Chunks on their way into a target: what lies there already is not sent again, the rest goes in packs.

What changes every day (rows, the spool) and what stays (objects) travel in packs of their own, so that packs of the
one kind die whole and those of the other live.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from mailstore import backup_listing
from mailstore.backup_making import GenerationMaker
from mailstore.backup_pack import Marks, PackEntries, PackFiller, index_of
from mailstore.backup_piece import PieceKind

WASTED_SHARE: Final = 0.5
"""A pack of which less is needed is not used again: what is needed of it travels anew, and the pack can go."""

INDEXES_MOST: Final = 50
"""With more, one new index says everything: a reader needs one request for each."""

Load = Callable[[int], bytes | None]
"""Gives the content at a place of a list; None where there is none."""


PACKS_IN_INDEX: Final = 2_000
"""Some 32 GB of mail, and 100 MB of index with small mail: far below what one piece holds."""


@dataclass(frozen=True)
class SentPieces:
    """What a generation rests on: the indexes, and all pieces with their lengths."""

    indexes: list[str]
    all: dict[str, int]


class ChunkSender:
    """Sends chunks for one generation."""

    def __init__(self, maker: GenerationMaker) -> None:
        self._maker = maker
        self._memory = maker.place.memory
        self._marks = Marks(maker.seals.mark_key)
        self._files = PackFiller()
        self._objects = PackFiller()
        self._forget_other_recovery_key()

    def drop_lost(self) -> None:
        """What the memory has and the target has not is forgotten, so that it is sent again."""
        kind = self._maker.kind
        held = {
            name.rpartition("/")[2]: size for name, size in self._maker.place.target.held(backup_listing.pieces(kind))
        }
        lost = [digest for digest, length in self._memory.pieces() if held.get(digest) != length]
        if lost:
            self._memory.drop(lost)
            self._memory.reindex()

    def add_contents(self, contents: Sequence[bytes]) -> list[bytes]:
        """Chunks whose content is at hand; their marks."""
        marks = [self._marks.of(content) for content in contents]
        known = self._memory.known(marks, used=self._maker.sequence)
        for mark, content in zip(marks, contents, strict=True):
            if mark not in known and not self._files.holds(mark):
                self._files = self._added(self._files, mark, content)
        return marks

    def add_wanted(self, digests: Sequence[bytes], load: Load) -> None:
        """Chunks whose digest is known: only those that are not there are loaded."""
        marks = [self._marks.of_digest(digest) for digest in digests]
        known = self._memory.known(marks, used=self._maker.sequence)
        for place, mark in enumerate(marks):
            if mark in known or self._objects.holds(mark):
                continue
            content = load(place)
            if content is not None:
                self._objects = self._added(self._objects, mark, content)

    def finished(self) -> SentPieces:
        """Send what is left and the index of all that is new. What the generation rests on lies in the target then."""
        self._flushed(self._files)
        self._flushed(self._objects)
        if len(self._memory.pieces(is_index=True)) >= INDEXES_MOST:
            self._memory.reindex()
        if fresh := self._memory.not_indexed():
            cut = (dict(some) for some in _groups(fresh))
            self._memory.add_indexes([self._maker.send(index_of(each), PieceKind.INDEX) for each in cut])
        indexes = [digest for digest, _ in self._memory.pieces(is_index=True)]
        return SentPieces(indexes, dict(self._memory.pieces()))

    def drop_wasted(self) -> None:
        """Packs that the generation hardly needs are not used by the next."""
        wasted = self._memory.wasted(used=self._maker.sequence, share=WASTED_SHARE)
        if wasted:
            self._memory.drop(wasted)
            self._memory.reindex()

    def _added(self, filler: PackFiller, mark: bytes, content: bytes) -> PackFiller:
        """The pack to go on with."""
        if not filler.has_room_for(len(content)):
            self._flushed(filler)
            filler = PackFiller()
        filler.add(mark, content)
        return filler

    def _flushed(self, filler: PackFiller) -> None:
        if not filler.size:
            return
        digest, length = self._maker.send(filler.content(), PieceKind.PACK)
        places = filler.places(bytes.fromhex(digest))
        self._memory.add_pack(digest, length, filler.size, places, self._maker.sequence)

    def _forget_other_recovery_key(self) -> None:
        """A new recovery key opens nothing that was sealed to the old one: everything is sent anew."""
        sealed_for = self._maker.sealed_for
        told = self._memory.fact("sealed_for")
        if told is not None and told["data"] != sealed_for:
            self._memory.forget_pieces()
        if told is None or told["data"] != sealed_for:
            self._memory.note(sealed_for={"data": sealed_for})


def _groups(packs: Mapping[bytes, PackEntries]) -> Iterator[list[tuple[bytes, PackEntries]]]:
    left = iter(packs.items())
    while some := list(islice(left, PACKS_IN_INDEX)):
        yield some
