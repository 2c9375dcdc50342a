"""A target of backups as a restore reads it: opened by a secret, every file held against its name and its listing.

The format is docs/formats/backup.md. Nothing counts that the practice did not sign, and nothing is taken for another:
what is missing, changed, or in another's place is refused by its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from mailstore import (
    backup_catalogue,
    backup_claim,
    backup_key_records,
    backup_listing,
    backup_pack,
    backup_ways_in,
    key_custody,
)
from mailstore.backup_catalogue import Catalogue, Generation
from mailstore.backup_claim import TargetRecord
from mailstore.backup_contents import DataContents, KeysContents
from mailstore.backup_key_records import KeyRecord
from mailstore.backup_listing import GenerationKind
from mailstore.backup_pack import ChunkPlace
from mailstore.backup_piece import HEAD_BYTES, PieceKind, opened_with_key, piece_key
from mailstore.backup_target import BackupTarget
from mailstore.backup_ways_in import RecoveryKeys
from mailstore.document_signing import signing_public
from mailstore.errors import NotFoundError, RefusedError, StrongroomError, TamperedError
from mailstore.key_hierarchy import KeyRing
from mailstore.slot_secret import SlotSecret
from mailstore.working_keys import WorkingKeys

ELSEWHERE: Final = "restore from another target, or an older generation of this one: --generation NUMBER"
_LEDGER: Final = "ledger/"


class PieceOpener(Protocol):
    """Opens the keys of single pieces: with the recovery keys, or by asking whoever has them."""

    def piece_key(self, head: bytes, kind: GenerationKind) -> bytes:
        """The key of a piece of one kind of generation, from the first ``HEAD_BYTES`` of it."""


@dataclass(frozen=True)
class RecoveryOpener:
    """Opens with the recovery keys themselves."""

    keys: RecoveryKeys = field(repr=False)

    @classmethod
    def of(cls, ring: KeyRing) -> RecoveryOpener:
        """What a whole ring opens."""
        return cls(RecoveryKeys(ring.versions("data_recovery"), ring.versions("keys_recovery"), ring.audit_seed))

    def piece_key(self, head: bytes, kind: GenerationKind) -> bytes:
        """As ``PieceOpener``."""
        return piece_key(head, pairs=self.keys.data if kind is GenerationKind.DATA else self.keys.keys)


class RestoreSource:
    """One target, with what opens its pieces and proves who made them. No key of a message is needed for it."""

    def __init__(self, target: BackupTarget, record: TargetRecord, opener: PieceOpener, *, audit_public: bytes) -> None:
        self._target = target
        self._opener = opener
        self.audit_public = audit_public
        self.record = record
        self.catalogue = Catalogue(target, target_id=record.target, audit_public=audit_public)

    @classmethod
    def opened(cls, target: BackupTarget, secret: SlotSecret) -> RestoreSource:
        """A target, opened by a person's secret alone.

        Raises ``NotFoundError`` where no backup is, ``WrongKeyError`` for another secret, ``TamperedError``.
        """
        record = _record(target)
        hints = Catalogue(target, target_id=record.target, audit_public=None)
        problems: list[StrongroomError] = []
        for digest in _ways_in(hints):
            try:
                ways_in = backup_ways_in.understood(backup_catalogue.ways_in_of(target, digest))
                _, _, root = key_custody.opened_slots(ways_in.slots, secret)
                keys = ways_in.opened(root)
            except (TamperedError, NotFoundError, RefusedError) as error:
                problems.append(error)
                continue
            if ways_in.practice != record.practice:
                raise TamperedError(f"the ways in of {target.url} are those of another practice")
            return cls(target, record, RecoveryOpener(keys), audit_public=signing_public(keys.audit_seed))
        raise problems[0] if problems else NotFoundError(f"there is no backup in {target.url}")

    @classmethod
    def of_practice(
        cls, target: BackupTarget, keys: WorkingKeys, opener: PieceOpener, *, audit_public: bytes
    ) -> RestoreSource:
        """A target of a living appliance. ``RefusedError`` for another practice's, ``NotFoundError`` for none."""
        record = _record(target)
        backup_claim.require(record, backup_claim.practice_of(keys.row_key), url=target.url)
        return cls(target, record, opener, audit_public=audit_public)

    def missing_pieces(self, generations: Iterable[Generation]) -> list[str]:
        """What these generations need and the target does not hold, or not as long as it was written."""
        wanted = {
            backup_listing.piece_name(each.listing.kind, digest): length
            for each in generations
            for digest, length in each.listing.pieces
        }
        held: dict[str, int] = {}
        for kind in GenerationKind:
            held.update(self._target.held(backup_listing.pieces(kind)))
        return sorted(name for name, length in wanted.items() if held.get(name) != length)

    @property
    def url(self) -> str:
        """Where it is, as people name it."""
        return self._target.url

    def generation(self, kind: GenerationKind, sequence: int | None) -> Generation | None:
        """The newest generation of a kind, or the one of a number. ``TamperedError``, ``NotFoundError``."""
        return self.catalogue.newest(kind) if sequence is None else self.catalogue.one(kind, sequence)

    def data_contents(self, generation: Generation) -> DataContents:
        """What a data generation is put together from."""
        piece = self._piece(GenerationKind.DATA, generation.listing.contents, PieceKind.CONTENTS)
        contents = DataContents.from_bytes(piece)
        _require_own(generation, contents)
        return contents

    def keys_contents(self, generation: Generation) -> list[KeysContents]:
        """What a keys generation is put together from, the base first. ``TamperedError`` for a gap."""
        try:
            chain = self.catalogue.chain(generation)
        except NotFoundError as error:
            told = f"a generation of keys that number {generation.listing.sequence} rests on is gone: {error.message}"
            raise TamperedError(told, fix=ELSEWHERE) from None
        return [self._own_keys_contents(each) for each in chain]

    def key_records(self, contents: KeysContents) -> Iterator[KeyRecord]:
        """The records of keys that one generation adds, in order."""
        for digest in contents.records:
            piece = self._piece(GenerationKind.KEYS, digest, PieceKind.KEY_RECORDS)
            yield from backup_key_records.decoded(piece)

    def places(self, contents: DataContents) -> Iterator[tuple[bytes, ChunkPlace]]:
        """Where every chunk of a data generation lies, by its mark."""
        for digest in contents.indexes:
            yield from backup_pack.places_in(self._piece(GenerationKind.DATA, digest, PieceKind.INDEX))

    def pack(self, digest: bytes) -> bytes:
        """A pack, opened."""
        return self._piece(GenerationKind.DATA, digest.hex(), PieceKind.PACK)

    def _own_keys_contents(self, generation: Generation) -> KeysContents:
        piece = self._piece(GenerationKind.KEYS, generation.listing.contents, PieceKind.CONTENTS)
        contents = KeysContents.from_bytes(piece)
        _require_own(generation, contents)
        return contents

    def _piece(self, kind: GenerationKind, digest: str, piece: PieceKind) -> bytes:
        sealed = backup_catalogue.piece_of(self._target, kind, digest)
        key = self._opener.piece_key(sealed[:HEAD_BYTES], kind)
        return opened_with_key(sealed, kind=piece, key=key)


def ledger_pages(contents: KeysContents) -> dict[str, bytes]:
    """The pages of the ledger among the files of a keys generation, by their names."""
    return {path.removeprefix(_LEDGER): data for path, data in contents.files if path.startswith(_LEDGER)}


def _record(target: BackupTarget) -> TargetRecord:
    record = backup_claim.found(target)
    if record is None:
        raise NotFoundError(f"there is no backup in {target.url}", fix="name the directory or bucket of the backups")
    return record


def _ways_in(hints: Catalogue) -> Iterator[str]:
    """The ways in that the newest listings name. A damaged listing must not hide the other's."""
    told: list[str] = []
    for kind in (GenerationKind.KEYS, GenerationKind.DATA):
        try:
            newest = hints.newest(kind)
        except TamperedError:
            continue
        if newest is not None and newest.listing.ways_in not in told:
            told.append(newest.listing.ways_in)
            yield newest.listing.ways_in


def _require_own(generation: Generation, contents: DataContents | KeysContents) -> None:
    """Contents that were sealed for another generation are another's."""
    listing = generation.listing
    if (contents.sequence, contents.as_of) != (listing.sequence, listing.as_of):
        raise TamperedError(f"{listing.name} names the contents of another generation", fix=ELSEWHERE)
