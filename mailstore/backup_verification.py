"""Reads every byte of a target of backups and holds it against its names, listings and, with a secret, its contents.

Nothing is restored: what would come of it is what a drill looks at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from mailstore import backup_catalogue, backup_key_records, backup_listing, backup_pack, backup_ways_in
from mailstore.backup_catalogue import Catalogue, Generation
from mailstore.backup_contents import BackedFile, DataContents, KeysContents
from mailstore.backup_listing import GenerationKind
from mailstore.backup_pace import BackupPace
from mailstore.backup_pack import ChunkPlace, Marks
from mailstore.backup_piece import HEAD_BYTES, PieceKind, opened_piece
from mailstore.backup_target import BackupTarget
from mailstore.backup_ways_in import RecoveryKeys
from mailstore.errors import StrongroomError, TamperedError

KIND_AT = 5
"""The byte of a piece that says its kind."""

Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Verified:
    """What was read, and every problem by the name of its file. ``is_opened``: contents were looked at too."""

    generations: int
    pieces: int
    bytes: int
    is_opened: bool
    problems: tuple[str, ...]


@dataclass
class _Found:
    """What the pieces of one kind hold."""

    problems: list[str] = field(default_factory=list)
    size: int = 0
    marks: Marks | None = None
    chunks: dict[bytes, set[tuple[bytes, int, int]]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    indexes: dict[str, dict[bytes, ChunkPlace]] = field(default_factory=dict)


class BackupVerification:
    """Verifies one target. ``recovery`` None: nothing is opened, every byte is held against its digest."""

    def __init__(
        self,
        target: BackupTarget,
        *,
        target_id: str,
        audit_public: bytes,
        recovery: RecoveryKeys | None,
        pace: BackupPace,
        tell: Tell,
    ) -> None:
        self._target = target
        self._catalogue = Catalogue(target, target_id=target_id, audit_public=audit_public)
        self._recovery = recovery
        self._pace = pace
        self._tell = tell

    def run(self) -> Verified:
        """Read everything. Raises ``StorageUnavailableError`` when the target cannot be read; damage is an answer."""
        problems: list[str] = []
        count = pieces = size = 0
        for kind in GenerationKind:
            generations, told = self._generations(kind)
            wanted = {digest: length for each in generations for digest, length in each.listing.pieces}
            first = {each.listing.contents: wanted[each.listing.contents] for each in generations}
            found = self._read(kind, {**first, **wanted})
            problems += told + found.problems
            if self._recovery is not None:
                problems += [each for one in generations for each in self._inside(one, found)]
            problems += self._ways_in(generations)
            count, pieces, size = count + len(generations), pieces + len(wanted), size + found.size
        return Verified(count, pieces, size, self._recovery is not None, tuple(dict.fromkeys(problems)))

    def _generations(self, kind: GenerationKind) -> tuple[list[Generation], list[str]]:
        """Those whose listings hold, and what is wrong with the others."""
        found: list[Generation] = []
        problems: list[str] = []
        for sequence in self._catalogue.sequences(kind):
            try:
                each = self._catalogue.one(kind, sequence)
                if found and found[-1].listing.sequence == sequence - 1:
                    backup_catalogue.require_next(found[-1], each)
                elif found:
                    problems.append(f"{backup_listing.listing_name(kind, sequence - 1)} is missing")
                found.append(each)
            except TamperedError as error:
                problems.append(error.message)
        return found, problems

    def _read(self, kind: GenerationKind, wanted: dict[str, int]) -> _Found:
        found = _Found()
        for done, (digest, length) in enumerate(wanted.items(), start=1):
            try:
                piece = backup_catalogue.piece_of(self._target, kind, digest)
                found.size += len(piece)
                if len(piece) != length:
                    found.problems.append(f"{backup_listing.piece_name(kind, digest)} is not as long as it was")
                if self._recovery is not None:
                    self._open(kind, digest, piece, found)
                self._pace.spent(len(piece))
            except TamperedError as error:
                found.problems.append(error.message)
            self._tell(f"pieces of {kind.value}", done, len(wanted))
        return found

    def _open(self, kind: GenerationKind, digest: str, piece: bytes, found: _Found) -> None:
        """Unseal a piece and remember what it holds, not the bytes themselves."""
        recovery = self._recovery
        if recovery is None:
            return
        name = backup_listing.piece_name(kind, digest)
        try:
            what = PieceKind(piece[KIND_AT] if len(piece) >= HEAD_BYTES else 0)
            content = opened_piece(piece, kind=what, pairs=recovery.of(kind))
            match what:
                case PieceKind.PACK:
                    found.chunks[bytes.fromhex(digest)] = _chunks(content, found.marks)
                case PieceKind.INDEX:
                    found.indexes[digest] = dict(backup_pack.places_in(content))
                case PieceKind.CONTENTS:
                    found.contents[digest] = content
                    if kind is GenerationKind.DATA and found.marks is None:
                        found.marks = Marks(DataContents.from_bytes(content).mark_key)
                case PieceKind.KEY_RECORDS:
                    for _ in backup_key_records.decoded(content):
                        pass
        except (StrongroomError, ValueError) as error:
            raise TamperedError(f"{name}: {error}") from error

    def _inside(self, generation: Generation, found: _Found) -> Iterator[str]:
        name = generation.listing.name
        content = found.contents.get(generation.listing.contents)
        if content is None:
            yield f"{name}: its contents cannot be read"
            return
        try:
            if generation.listing.kind is GenerationKind.KEYS:
                yield from _keys_problems(name, generation, KeysContents.from_bytes(content))
            else:
                yield from _data_problems(name, generation, DataContents.from_bytes(content), found)
        except TamperedError as error:
            yield f"{name}: {error.message}"

    def _ways_in(self, generations: Sequence[Generation]) -> Iterator[str]:
        for digest in {each.listing.ways_in for each in generations}:
            try:
                backup_ways_in.understood(backup_catalogue.ways_in_of(self._target, digest))
            except TamperedError as error:
                yield error.message


def _chunks(pack: bytes, marks: Marks | None) -> set[tuple[bytes, int, int]]:
    """Mark, offset and length of every chunk. ``TamperedError`` where a mark is not that of the content behind it."""
    found = set()
    offset = 0
    for mark, content in backup_pack.chunks_of(pack):
        if marks is not None and marks.of(content) != mark:
            raise TamperedError("a chunk is not the one that its mark says")
        offset += backup_pack.ENTRY_BYTES
        found.add((mark, offset, len(content)))
        offset += len(content)
    return found


def _keys_problems(name: str, generation: Generation, contents: KeysContents) -> Iterator[str]:
    listing = generation.listing
    if (contents.sequence, contents.base, contents.as_of) != (listing.sequence, listing.base, listing.as_of):
        yield f"{name} and its contents do not belong together"
    if not set(contents.records) < set(dict(listing.pieces)):
        yield f"{name} does not list all records that its contents need"


def _data_problems(name: str, generation: Generation, contents: DataContents, found: _Found) -> Iterator[str]:
    listing = generation.listing
    if (contents.sequence, contents.as_of) != (listing.sequence, listing.as_of):
        yield f"{name} and its contents do not belong together"
    places: dict[bytes, ChunkPlace] = {}
    for index in contents.indexes:
        if index not in found.indexes:
            yield f"{name}: the index {index} cannot be read"
        places.update(found.indexes.get(index, {}))
    listed = {bytes.fromhex(digest) for digest, _ in listing.pieces}
    for mark, place in places.items():
        if place.pack in listed and (mark, place.offset, place.length) not in found.chunks.get(place.pack, set()):
            yield f"{backup_listing.piece_name(listing.kind, place.pack.hex())} does not hold what its index says"
    for file in contents.files:
        yield from _file_problems(name, file, places, listed)


def _file_problems(name: str, file: BackedFile, places: dict[bytes, ChunkPlace], listed: set[bytes]) -> Iterator[str]:
    found = [places.get(mark) for mark in file.marks]
    if any(place is None or place.pack not in listed for place in found):
        yield f"{name}: {file.path} is not whole"
    elif sum(place.length for place in found if place is not None) != file.size:
        yield f"{name}: {file.path} is not as long as it was"
