"""A target of backups as a restore reads it: opened by a secret, every file held against its name and its listing.

The format is docs/formats/backup.md. Nothing counts that the practice did not sign, and nothing is taken for another:
what is missing, changed, or in another's place is refused by its name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mailstore import backup_catalogue, backup_claim, backup_key_records, backup_pack, backup_ways_in, key_custody
from mailstore.audit_tree import audit_public_key
from mailstore.backup_catalogue import Catalogue, Generation
from mailstore.backup_claim import TargetRecord
from mailstore.backup_contents import DataContents, KeysContents
from mailstore.backup_key_records import KeyRecord
from mailstore.backup_listing import GenerationKind
from mailstore.backup_pack import ChunkPlace
from mailstore.backup_piece import PieceKind, opened_piece
from mailstore.backup_target import BackupTarget
from mailstore.backup_ways_in import RecoveryKeys
from mailstore.errors import NotFoundError, RefusedError, StrongroomError, TamperedError
from mailstore.key_hierarchy import KeyRing
from mailstore.slot_secret import SlotSecret

ELSEWHERE: Final = "restore from another target, or an older generation of this one: --generation NUMBER"
_LEDGER: Final = "ledger/"


class RestoreSource:
    """One target, with the keys that open it. ``keys``: no key of a message is among them."""

    def __init__(self, target: BackupTarget, record: TargetRecord, keys: RecoveryKeys) -> None:
        self._target = target
        self._keys = keys
        self.record = record
        self.catalogue = Catalogue(target, target_id=record.target, audit_public=audit_public_key(keys.audit_seed))

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
            return cls(target, record, keys)
        raise problems[0] if problems else NotFoundError(f"there is no backup in {target.url}")

    @classmethod
    def of_ring(cls, target: BackupTarget, ring: KeyRing) -> RestoreSource:
        """A target of a living appliance, opened with its own ring. ``RefusedError`` for another practice's."""
        record = _record(target)
        backup_claim.require(record, backup_claim.practice_of(ring.row_key), url=target.url)
        keys = RecoveryKeys(ring.versions("data_recovery"), ring.versions("keys_recovery"), ring.audit_seed)
        return cls(target, record, keys)

    @property
    def url(self) -> str:
        """Where it is, as people name it."""
        return self._target.url

    @property
    def audit_public(self) -> bytes:
        """What proves the practice's signatures."""
        return audit_public_key(self._keys.audit_seed)

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
        pairs = self._keys.data if kind is GenerationKind.DATA else self._keys.keys
        sealed = backup_catalogue.piece_of(self._target, kind, digest)
        return opened_piece(sealed, kind=piece, pairs=pairs)


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
