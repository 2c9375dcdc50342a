"""A vault with a target of backups beside it, and the plainest reader of backups there can be, to judge them by."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mailstore import backup_catalogue, backup_claim, backup_key_records, backup_pack, backup_ways_in, tables
from mailstore.backup_catalogue import Catalogue, Generation
from mailstore.backup_contents import BackedFile, DataContents, KeysContents
from mailstore.backup_listing import GenerationKind
from mailstore.backup_making import BackupPlace, BackupSeals, GenerationMaker, Made
from mailstore.backup_memory import BackupMemory
from mailstore.backup_pace import BackupPace
from mailstore.backup_pack import ChunkPlace, Marks
from mailstore.backup_piece import PieceKind, opened_piece
from mailstore.backup_target import BackupTarget
from mailstore.backup_target_directory import DirectoryTarget
from mailstore.data_backup import DataBackup, DataSources
from mailstore.document_signing import SeedSigner, signing_public
from mailstore.key_hierarchy import CaptureKeyPair
from mailstore.keys_backup import KeysBackup, KeySources
from mailstore.keystore import BatchOfKeys, Destroyed, KeptKey
from tests.vault_room import Vault

DATA, KEYS = GenerationKind.DATA, GenerationKind.KEYS
KEY_FILES = {
    "keyring.json": json.dumps(
        {
            "version": 2,
            "members": dict.fromkeys(("data_recovery", "keys_recovery", "audit_seed"), "AAAA"),
            "retired": [],
        }
    ).encode(),
    "slots.json": b"{}",
}
"""What the ways in are made from here: nothing opens with them."""


@dataclass
class Backups:
    """Backups of one vault into one target."""

    vault: Vault
    folder: Path
    target: BackupTarget | None = None
    key_files: dict[str, bytes] = field(default_factory=lambda: {"keys/keyring.json": b"ring"})
    pages: dict[str, bytes] = field(default_factory=dict)
    other_files: dict[str, Path] = field(default_factory=dict)
    sealed_spool: dict[str, Path] = field(default_factory=dict)
    told: list[tuple[str, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        if self.target is None:
            (self.folder / "target").mkdir(exist_ok=True)
            self.target = DirectoryTarget(self.folder / "target")

    @property
    def into(self) -> BackupTarget:
        assert self.target is not None
        return self.target

    @property
    def seals(self) -> BackupSeals:
        ring = self.vault.ring
        practice = backup_claim.practice_of(ring.row_key)
        publics = {"data_recovery": ring.data_recovery_public, "keys_recovery": ring.keys_recovery_public}
        return BackupSeals(
            practice=practice,
            signer=SeedSigner.of(ring),
            mark_key=backup_pack.mark_key(ring.row_key),
            data_recovery_public=ring.data_recovery_public,
            keys_recovery_public=ring.keys_recovery_public,
            ways_in=backup_ways_in.made(
                KEY_FILES, practice=practice, audit_public=signing_public(ring.audit_seed), publics=publics
            ),
        )

    @contextmanager
    def place(self) -> Iterator[BackupPlace]:
        record = backup_claim.claimed(self.into, self.seals.practice, randomness=os.urandom)
        with closing(BackupMemory(self.folder / f"{record.target}.sqlite3", self.vault.ring.row_key)) as memory:
            yield BackupPlace(self.into, record.target, memory, {})

    def data(self) -> Made:
        with self.place() as place:
            maker = GenerationMaker(place, self.seals, DATA, pace=BackupPace(), randomness=os.urandom)
            return DataBackup(self.sources(), maker, lambda *told: self.told.append(told)).run()

    def keys(self, *, is_base: bool = False) -> Made | None:
        with self.place() as place:
            maker = GenerationMaker(place, self.seals, KEYS, pace=BackupPace(), randomness=os.urandom)
            sources = KeySources(self.vault.keystore, lambda: self.key_files, lambda: self.pages, self.vault.clock)
            return KeysBackup(sources, maker).run(is_base=is_base)

    def sources(self) -> DataSources:
        return DataSources(
            database=self.vault.database,
            metadatas=[tables.METADATA],
            schema="tests",
            spool=self.vault.spool,
            objects=self.vault.objects,
            files=self.other_files.items,
            sealed_spool=self.sealed_spool.items,
            work=self.folder / "work",
            clock=self.vault.clock,
            is_destroyed=lambda _: False,
        )

    def catalogue(self) -> Catalogue:
        record = backup_claim.found(self.into)
        assert record is not None
        return Catalogue(self.into, target_id=record.target, audit_public=signing_public(self.vault.ring.audit_seed))

    def newest_data(self) -> ReadData:
        newest = self.catalogue().newest(DATA)
        assert newest is not None
        return ReadData(self.into, newest, CaptureKeyPair.of(self.vault.ring.data_recovery))

    def newest_keys(self) -> ReadKeys:
        catalogue = self.catalogue()
        newest = catalogue.newest(KEYS)
        assert newest is not None
        return ReadKeys(self.into, catalogue.chain(newest), CaptureKeyPair.of(self.vault.ring.keys_recovery))


@dataclass
class ReadData:
    """A data generation, put together in memory."""

    target: BackupTarget
    generation: Generation
    pair: CaptureKeyPair

    def __post_init__(self) -> None:
        piece = self._piece(self.generation.listing.contents, PieceKind.CONTENTS)
        self.contents = DataContents.from_bytes(piece)
        self.marks = Marks(self.contents.mark_key)
        self.places: dict[bytes, ChunkPlace] = {}
        for index in self.contents.indexes:
            self.places.update(backup_pack.places_in(self._piece(index, PieceKind.INDEX)))

    def chunk(self, mark: bytes) -> bytes:
        place = self.places[mark]
        return backup_pack.chunk_at(self._piece(place.pack.hex(), PieceKind.PACK), place, mark, self.marks)

    def object(self, digest: bytes) -> bytes:
        return self.chunk(self.marks.of_digest(digest))

    def file(self, path: str) -> bytes:
        told = self.files()[path]
        data = b"".join(self.chunk(mark) for mark in told.marks)
        assert (len(data), hashlib.sha256(data).hexdigest()) == (told.size, told.digest)
        return data

    def files(self) -> dict[str, BackedFile]:
        return {each.path: each for each in self.contents.files}

    @contextmanager
    def rows(self, folder: Path) -> Iterator[sqlite3.Connection]:
        path = folder / "restored-rows.sqlite3"
        path.write_bytes(self.file("rows.sqlite3"))
        with closing(sqlite3.connect(path)) as connection:
            yield connection

    def _piece(self, digest: str, kind: PieceKind) -> bytes:
        assert digest in dict(self.generation.listing.pieces)
        return opened_piece(backup_catalogue.piece_of(self.target, DATA, digest), kind=kind, pairs=[self.pair])


@dataclass
class ReadKeys:
    """A chain of keys generations, put on top of each other."""

    target: BackupTarget
    chain: list[Generation]
    pair: CaptureKeyPair

    def __post_init__(self) -> None:
        self.batches: dict[bytes, BatchOfKeys] = {}
        self.keys: dict[str, KeptKey] = {}
        self.dead: dict[str, Destroyed] = {}
        self.files: dict[str, bytes] = {}
        for generation in self.chain:
            piece = self._piece(generation.listing.contents, PieceKind.CONTENTS)
            self.contents = KeysContents.from_bytes(piece)
            self.files.update(self.contents.files)
            for digest in self.contents.records:
                for record in backup_key_records.decoded(self._piece(digest, PieceKind.KEY_RECORDS)):
                    self._put(record)
            totals = self.contents.totals
            assert (len(self.batches), len(self.keys), len(self.dead)) == (totals.batches, totals.keys, totals.marks)

    def _put(self, record: backup_key_records.KeyRecord) -> None:
        if isinstance(record, BatchOfKeys):
            self.batches[record.batch] = record
        elif isinstance(record, KeptKey):
            self.keys[record.message] = record
        else:
            self.dead[record.message] = record
            self.keys.pop(record.message, None)

    def _piece(self, digest: str, kind: PieceKind) -> bytes:
        return opened_piece(backup_catalogue.piece_of(self.target, KEYS, digest), kind=kind, pairs=[self.pair])
