"""A thief with every backup there is: without shares nothing at all; with them nothing of what was disposed of.

Before the date that the certificate prints, a backup of the keys from before the disposal is still there: whoever has
it, the data of that time and the shares can open by hand what was disposed of. After it none is.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from appliance import restore_choice
from appliance.backups import KEYS_KEPT
from appliance.demo import plain_text_scan
from appliance.restore_choice import Wish
from appliance.wiring import Appliance
from mailstore import backup_key_records, key_custody, message_records
from mailstore.backup_listing import GenerationKind
from mailstore.backup_pack import Marks, chunk_at
from mailstore.backup_piece import PieceKind, opened_piece
from mailstore.backup_retention import BackupRetention
from mailstore.backup_target_directory import DirectoryTarget
from mailstore.errors import (
    DestroyedError,
    LimitExceededError,
    NotFoundError,
    RefusedError,
    TamperedError,
    WrongKeyError,
)
from mailstore.key_hierarchy import BatchKey, MessageKey, unwrap_batch_key, unwrap_message_key
from mailstore.keystore import BatchOfKeys, KeptKey
from mailstore.message import MessageId
from mailstore.restore_source import RestoreSource
from mailstore.sealed_columns import content_context, recipe_context
from mailstore.sealed_format import open_sealed
from mailstore.slot_key_file import KeyFile
from mailstore.slot_secret import RememberedSecret, SlotSecret
from mailstore.slot_shares import SharesFile
from mailstore.wall_clock import SystemClock
from tests.lived_practice import CANARIES, DOOMED, KEPT, archived, disposed, taken_in
from tests.restore_room import RestoreRoom

pytestmark = pytest.mark.sqlite_files(reason="it steals the files of a target and a data directory")

DATA, KEYS = GenerationKind.DATA, GenerationKind.KEYS
REFUSALS = (TamperedError, WrongKeyError, NotFoundError, RefusedError, LimitExceededError)
WORDS = (*CANARIES, "quokka", "clinic.example", "lakeside", "ann@")


class Loot:
    """The target before and after a disposal, and as many recovery shares as are needed, as they were printed."""

    def __init__(self, folder: Path) -> None:
        self.room = RestoreRoom(folder)
        practice = self.room.practice
        practice.told("key", "shares", "make", "--need", "2", "--of", "3", "--into", str(folder / "pages"))
        self.shares = RememberedSecret(SharesFile(folder / "pages"))
        with practice.opened() as appliance:
            practice.doomed = [taken_in(appliance, DOOMED) for _ in range(3)]
            practice.kept = taken_in(appliance, KEPT)
            archived(appliance, [*practice.doomed, practice.kept])
            self.objects = {each: object_of(appliance, each) for each in practice.doomed}
        self.room.back_up()
        with practice.opened() as appliance:
            disposed(practice, appliance)
        self.room.back_up(is_base=True)
        self.before_the_date = Path(shutil.copytree(self.room.target, folder / "before-the-date"))
        self._let_the_date_pass()

    def _let_the_date_pass(self) -> None:
        """As the next backups do once keys are kept too long; the newest base stays, whatever its age."""
        target = DirectoryTarget(self.room.target)
        catalogue = self.room.source().catalogue
        BackupRetention(target, catalogue).expire(KEYS, keep=KEYS_KEPT, now=SystemClock().now() + timedelta(days=31))


def object_of(appliance: Appliance, message: MessageId) -> bytes:
    """The digest by which a backup knows the sealed bytes of a message."""
    with appliance.database.read() as connection:
        stored = message_records.stored(connection, message)
    assert stored.object is not None
    return stored.object.digest


@pytest.fixture(scope="module")
def loot(tmp_path_factory: pytest.TempPathFactory) -> Loot:
    return Loot(tmp_path_factory.mktemp("loot"))


def every_key(
    target: Path, source: RestoreSource, ring_secret: SlotSecret, scratch: Path
) -> dict[MessageId, MessageKey]:
    """By hand, past every ledger and mark: every key in any file below ``keys/`` that anything of the thief's opens."""
    newest = source.generation(KEYS, None)
    assert newest is not None
    for path, content in source.keys_contents(newest)[-1].files:
        (scratch / path).parent.mkdir(parents=True, exist_ok=True)
        (scratch / path).write_bytes(content)
    ring = key_custody.unlock(scratch / "keys", ring_secret)
    batches: dict[bytes, BatchOfKeys] = {}
    kept: list[KeptKey] = []
    for piece in (each for each in (target / "keys" / "pieces").rglob("*") if each.is_file()):
        try:
            records = opened_piece(piece.read_bytes(), kind=PieceKind.KEY_RECORDS, pairs=ring.versions("keys_recovery"))
        except TamperedError:
            continue
        for record in backup_key_records.decoded(records):
            if isinstance(record, BatchOfKeys):
                batches[record.batch] = record
            elif isinstance(record, KeptKey):
                kept.append(record)
    found = {}
    for key in kept:
        batch = batches[key.batch]
        capture = ring.capture_for(batch.sealed_for)
        opened: BatchKey = unwrap_batch_key(
            batch.wrapped, capture=capture, batch=batch.batch, sealed_for=batch.sealed_for
        )
        found[key.message] = unwrap_message_key(key.wrapped, batch_key=opened, batch=key.batch, message=key.message)
    return found


def sealed_bytes(source: RestoreSource, digest: bytes) -> bytes:
    """What any backup of the data, older or newer, has of one object."""
    for generation in source.catalogue.generations(DATA):
        contents = source.data_contents(generation)
        marks = Marks(contents.mark_key)
        mark = marks.of_digest(digest)
        for each, at in source.places(contents):
            if each == mark:
                return chunk_at(source.pack(at.pack), at, mark, marks)
    raise NotFoundError("no backup has it")


def test_every_backup_and_all_shares_open_nothing_of_what_was_disposed_of_after_the_date(
    loot: Loot, tmp_path: Path
) -> None:
    source = RestoreSource.opened(DirectoryTarget(loot.room.target), loot.shares)
    keys = every_key(loot.room.target, source, loot.shares, tmp_path)
    assert loot.room.practice.kept in keys
    assert not keys.keys() & set(loot.room.practice.doomed)
    for message, digest in loot.objects.items():
        sealed = sealed_bytes(source, digest)
        contexts = [make(owner) for make in (content_context, recipe_context) for owner in (message, *keys)]
        for key, context in itertools.product(keys.values(), contexts):
            with pytest.raises((WrongKeyError, TamperedError)):
                open_sealed(sealed, key=key, context=context)


def test_before_the_date_the_older_keys_are_still_there_and_the_certificate_says_so(loot: Loot, tmp_path: Path) -> None:
    source = RestoreSource.opened(DirectoryTarget(loot.before_the_date), loot.shares)
    keys = every_key(loot.before_the_date, source, loot.shares, tmp_path)
    assert set(loot.room.practice.doomed) <= keys.keys()
    certificate = loot.room.practice.certificate.read_text("utf-8")
    assert f"{KEYS_KEPT.days} days" in certificate or "gone_after" in certificate


def test_a_restore_brings_nothing_back_from_any_pair_of_generations_before_or_after_the_date(loot: Loot) -> None:
    for number, (target, data, keys) in enumerate(
        [
            (loot.before_the_date, 1, 1),
            (loot.before_the_date, 1, 2),
            (loot.before_the_date, 2, 1),
            (loot.room.target, 1, 2),
        ]
    ):
        source = RestoreSource.opened(DirectoryTarget(target), loot.shares)
        name = f"pair-{number}"
        loot.room.restore_from(source, name, Wish(data, keys))
        with loot.room.opened(name) as again:
            for message in loot.room.practice.doomed:
                with pytest.raises(DestroyedError):
                    again.retrieval.content(message)
            assert again.retrieval.content(loot.room.practice.kept)
        assert plain_text_scan.findings(loot.room.folder / name, CANARIES) == []


def test_without_shares_no_word_of_anything_is_in_any_file_of_a_target(loot: Loot) -> None:
    assert plain_text_scan.findings(loot.before_the_date, WORDS) == []


def test_without_shares_no_other_secret_opens_anything(loot: Loot, tmp_path: Path) -> None:
    (tmp_path / "other.key").write_text("ab" * 32)
    (tmp_path / "shares").write_text("abandon ability able\n")
    for secret in (KeyFile(tmp_path / "other.key"), SharesFile(tmp_path / "shares")):
        with pytest.raises((WrongKeyError, RefusedError, TamperedError)):
            RestoreSource.opened(DirectoryTarget(loot.before_the_date), secret)


def read_all(source: RestoreSource) -> None:
    """Everything that a restore reads."""
    choice = restore_choice.choose(source, source, Wish())
    packs = {at.pack for _, at in source.places(choice.contents)}
    for pack in packs:
        source.pack(pack)
    for contents in choice.chain:
        for _ in source.key_records(contents):
            pass


def changed(path: Path, stride: int) -> Iterator[int]:
    """The file with one byte after the other changed, and right again at the end."""
    data = path.read_bytes()
    for at in {*range(0, len(data), stride), len(data) - 1}:
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x01]) + data[at + 1 :])
        yield at
    path.write_bytes(data)


def test_any_changed_byte_of_any_file_that_a_restore_reads_is_refused_and_named(loot: Loot, tmp_path: Path) -> None:
    copy = shutil.copytree(loot.room.target, tmp_path / "copy")
    target = DirectoryTarget(copy)
    read_all(RestoreSource.opened(target, loot.shares))
    source = RestoreSource.opened(target, loot.shares)
    choice = restore_choice.choose(source, source, Wish())
    chain = source.catalogue.chain(choice.keys)
    digests = [(each.listing.kind, digest) for each in (choice.data, *chain) for digest, _ in each.listing.pieces]
    listings = [copy / each.listing.name for each in (choice.data, *chain)]
    listings += [copy / "target.json", *(copy / "ways-in").iterdir()]
    pieces = [copy / f"{kind.value}/pieces/{digest[:2]}/{digest}" for kind, digest in digests]
    for path in [*listings, *pieces]:
        for _ in changed(path, 7 if path in listings else max(1, path.stat().st_size // 12)):
            is_refused = is_refused_by_name(target, loot.shares)
            assert is_refused or path.name == "target.json", path  # the time in it counts for nothing


def is_refused_by_name(target: DirectoryTarget, secret: SlotSecret) -> bool:
    try:
        read_all(RestoreSource.opened(target, secret))
    except REFUSALS as error:
        return bool(str(error))
    return False
