"""Every byte of every file of a backup is changed in turn: it is refused and named, never read as something else."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mailstore import backup_catalogue, backup_claim, backup_listing, backup_ways_in
from mailstore.backup_listing import GenerationKind
from mailstore.backup_pace import BackupPace
from mailstore.backup_piece import HEAD_BYTES, PieceKind, opened_piece, opened_with_key, piece_key
from mailstore.backup_verification import BackupVerification, Verified
from mailstore.backup_ways_in import RecoveryKeys
from mailstore.document_signing import signing_public
from mailstore.errors import NotFoundError, RefusedError, StrongroomError, TamperedError, WrongKeyError
from mailstore.key_hierarchy import CaptureKeyPair
from tests.backup_room import DATA, KEYS, Backups
from tests.vault_room import Vault, a_deposit


@pytest.fixture(scope="module")
def backups(tmp_path_factory: pytest.TempPathFactory) -> Backups:
    folder = tmp_path_factory.mktemp("backups")
    made = Backups(Vault(folder / "vault"), folder / "backup")
    made.vault.promotion().promote_all(made.vault.deposit(a_deposit()))
    made.vault.deposit(a_deposit())
    made.data()
    made.keys()
    return made


def recovery(backups: Backups) -> RecoveryKeys:
    ring = backups.vault.ring
    data, keys = CaptureKeyPair.of(ring.data_recovery), CaptureKeyPair.of(ring.keys_recovery)
    return RecoveryKeys((data,), (keys,), ring.audit_seed)


def verified(backups: Backups, *, opens: bool = True) -> Verified:
    record = backup_claim.found(backups.into)
    assert record is not None
    return BackupVerification(
        backups.into,
        target_id=record.target,
        audit_public=signing_public(backups.vault.ring.audit_seed),
        recovery=recovery(backups) if opens else None,
        pace=BackupPace(),
        tell=lambda *_: None,
    ).run()


def files(backups: Backups) -> Iterator[tuple[str, Path]]:
    folder = backups.folder / "target"
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(folder)), path


def kind_of(name: str) -> GenerationKind:
    return GenerationKind(name.partition("/")[0])


def reader_of(backups: Backups, name: str) -> Callable[[], object]:
    """What reads this file, as every reader of backups does."""
    target, digest = backups.into, name.rpartition("/")[2]
    if name == backup_listing.TARGET:
        return lambda: _target_read(backups)
    if name.startswith(backup_listing.WAYS_IN):
        return lambda: backup_catalogue.ways_in_of(target, digest.removesuffix(".json"))
    if "/pieces/" in name:
        return lambda: backup_catalogue.piece_of(target, kind_of(name), digest)
    catalogue = backups.catalogue()
    return lambda: catalogue.one(kind_of(name), backup_listing.sequence_of(name))


def _target_read(backups: Backups) -> None:
    record = backup_claim.found(backups.into)
    assert record is not None
    backup_claim.require(record, backups.seals.practice, url=backups.into.url)
    backups.catalogue().newest(DATA)


def test_an_untouched_backup_is_whole(backups: Backups) -> None:
    for opens in (True, False):
        found = verified(backups, opens=opens)
        assert (found.problems, found.generations, found.is_opened) == ((), 2, opens)


def test_every_byte_of_every_file_is_covered(backups: Backups) -> None:
    for name, path in files(backups):
        read = reader_of(backups, name)
        content = path.read_bytes()
        read()
        with path.open("r+b", buffering=0) as file:
            for place in range(len(content)):
                os.pwrite(file.fileno(), bytes([content[place] ^ 0x01]), place)
                with pytest.raises((TamperedError, RefusedError)) as refusal:
                    read()
                assert refusal.value.message
                os.pwrite(file.fileno(), content[place : place + 1], place)


def test_every_byte_of_a_piece_is_sealed_besides(backups: Backups) -> None:
    """Whoever changes a piece and gives it the name that it then must have still gets nothing past the seal."""
    for name, path in files(backups):
        if "/pieces/" not in name:
            continue
        piece = path.read_bytes()
        kind = PieceKind(piece[5])
        pairs = recovery(backups).of(kind_of(name))
        opened_piece(piece, kind=kind, pairs=pairs)
        key = piece_key(piece[:HEAD_BYTES], pairs=pairs)
        for place in range(len(piece)):
            changed = piece[:place] + bytes([piece[place] ^ 0x80]) + piece[place + 1 :]
            with pytest.raises((TamperedError, WrongKeyError)):
                _read(changed, kind, pairs, None if place < HEAD_BYTES else key)


def _read(piece: bytes, kind: PieceKind, pairs: tuple[CaptureKeyPair, ...], key: bytes | None) -> bytes:
    """With the key where the head, which leads to it, is as it was."""
    if key is None:
        return opened_piece(piece, kind=kind, pairs=pairs)
    return opened_with_key(piece, kind=kind, key=key)


def test_a_cut_piece_is_refused_at_every_length(backups: Backups) -> None:
    name, path = next((name, path) for name, path in files(backups) if name.startswith("keys/pieces/"))
    piece = path.read_bytes()
    for length in range(len(piece)):
        with pytest.raises(StrongroomError):
            opened_piece(piece[:length], kind=PieceKind(piece[5]), pairs=recovery(backups).of(kind_of(name)))


def test_verifying_names_the_file_that_was_changed(backups: Backups) -> None:
    for name, path in files(backups):
        if name == backup_listing.TARGET:
            continue
        content = path.read_bytes()
        path.write_bytes(content[:-3] + bytes([content[-3] ^ 0x01]) + content[-2:])
        for opens in (True, False):
            problems = verified(backups, opens=opens).problems
            assert any(name in problem for problem in problems), (name, problems)
        path.unlink()
        if "/generations/" not in name:
            assert any(name in problem for problem in verified(backups).problems), name
        path.write_bytes(content)


def test_a_piece_of_keys_in_the_place_of_one_of_data_does_not_open(backups: Backups) -> None:
    pieces = {kind_of(name): path.read_bytes() for name, path in files(backups) if "/pieces/" in name}
    with pytest.raises(WrongKeyError):
        opened_piece(pieces[KEYS], kind=PieceKind(pieces[KEYS][5]), pairs=recovery(backups).of(DATA))


def test_ways_in_that_are_none_are_refused() -> None:
    for data in (b"", b"{}", b"[]\n", b'{"format":"strongroom/backup-ways-in/v1"}\n'):
        with pytest.raises(TamperedError):
            backup_ways_in.understood(data)


def test_what_is_not_there_is_named(backups: Backups) -> None:
    with pytest.raises(NotFoundError):
        backups.catalogue().one(DATA, 99)
