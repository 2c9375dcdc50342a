"""What a restore lays down: all that is whole, whatever else is damaged, and not at the cost of who works meanwhile."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path

import pytest

from mailstore import restore_laying
from mailstore.backup_claim import TargetRecord
from mailstore.backup_listing import GenerationKind, piece_name
from mailstore.backup_pack import Marks, PackFiller
from mailstore.backup_piece import PieceKind, digest_of, sealed_piece
from mailstore.backup_target_directory import DirectoryTarget
from mailstore.backup_ways_in import RecoveryKeys
from mailstore.errors import StorageUnavailableError, TamperedError
from mailstore.key_hierarchy import CaptureKeyPair
from mailstore.restore_plan import RestorePlan, Wanted
from mailstore.restore_source import RecoveryOpener, RestoreSource

PAIR = CaptureKeyPair.of(bytes(range(32)))
MARKS = Marks(bytes(32))


class Box:
    """A target with packs of small objects, a plan that wants them all, and a folder they are laid down in."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.target = folder / "box", folder / "target"
        self.target.mkdir()
        self.plan_path = folder / "plan.sqlite3"
        self.plan = RestorePlan(self.plan_path)
        self.names: dict[bytes, list[str]] = {}

    def hold(self, pack: str, objects: int) -> None:
        """One more pack: ``objects`` that are named after it, each holding its own name."""
        names = [f"aa/{pack}-{number:03}" for number in range(objects)]
        filler = PackFiller()
        for name in names:
            filler.add(MARKS.of(name.encode()), name.encode())
        piece = sealed_piece(filler.content(), kind=PieceKind.PACK, recovery_public=PAIR.public, randomness=os.urandom)
        digest = bytes.fromhex(digest_of(piece))
        DirectoryTarget(self.target).put(piece_name(GenerationKind.DATA, digest.hex()), piece)
        self.plan.add_places(filler.places(digest).items())
        assert self.plan.want(Wanted(MARKS.of(name.encode()), name) for name in names) == []
        self.names[digest] = names

    def piece(self, pack: bytes) -> Path:
        return self.target / piece_name(GenerationKind.DATA, pack.hex())

    def lay(self, shelf: restore_laying.Shelf | None = None) -> None:
        opener = RecoveryOpener(RecoveryKeys((PAIR,), (), bytes(32)))
        record = TargetRecord("p", "t")
        source = RestoreSource(DirectoryTarget(self.target), record, opener, audit_public=bytes(32))
        restore_laying.lay(self.plan, source, self.folder, mark_key=bytes(32), tell=lambda *_: None, shelf=shelf)

    def laid(self) -> list[str]:
        return sorted(f"aa/{path.name}" for path in (self.folder / "objects" / "aa").iterdir())


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    made = Box(tmp_path)
    with closing(made.plan):
        yield made


def test_damaged_pack_is_named_and_all_others_are_laid_though_somebody_waits_for_it(box: Box) -> None:
    for pack in "abc":
        box.hold(pack, 2)
    first, damaged, last = sorted(box.names)
    whole = box.piece(damaged).read_bytes()
    box.piece(damaged).write_bytes(whole[:-1])
    for _ in range(2):
        box.plan.ask_for(box.names[damaged][1])
        with pytest.raises(TamperedError, match=f"{damaged.hex()} was changed"):
            box.lay()
        assert box.laid() == sorted(box.names[first] + box.names[last])
        assert list(box.plan.packs()) == [(damaged, False)], "what is damaged is wanted still, and not before others"
    box.piece(damaged).write_bytes(whole)
    box.lay()
    assert box.laid() == sorted(chain.from_iterable(box.names.values()))
    assert box.plan.to_come() == (0, 0)


def test_every_damaged_pack_is_stepped_over_and_the_first_is_named(box: Box) -> None:
    for pack in "abcd":
        box.hold(pack, 1)
    first, second, *others = sorted(box.names)
    box.piece(second).unlink()
    box.piece(first).write_bytes(b"rot")
    with pytest.raises(TamperedError, match=f"{first.hex()} was changed"):
        box.lay()
    assert box.laid() == sorted(chain.from_iterable(box.names[pack] for pack in others))
    assert [pack for pack, _ in box.plan.packs()] == [first, second]


def test_who_destroys_a_message_gets_a_turn_while_many_small_objects_go_to_a_server(box: Box) -> None:
    """And what is destroyed then is never put there."""
    box.hold("a", 300)
    [names] = box.names.values()
    put: list[str] = []
    turns: list[int] = []

    def forget_the_last() -> None:
        with closing(RestorePlan(box.plan_path)) as other:
            other.forget(names[-1])
        turns.append(len(put))

    destroyer = threading.Thread(target=forget_the_last)

    def shelf(name: str, aside: Path) -> None:
        assert aside.read_bytes() == name.encode()
        if not put:
            destroyer.start()
        put.append(name)
        time.sleep(0.004)

    box.lay(shelf)
    destroyer.join()
    assert turns[0] < 299
    assert sorted(put) == names[:-1]
    assert (box.laid(), box.plan.to_come()) == ([], (0, 0))


def test_what_a_server_has_is_not_put_there_again_when_it_goes_away_in_the_middle_of_a_pack(box: Box) -> None:
    box.hold("a", 100)
    put: list[str] = []

    def shelf(name: str, _aside: Path) -> None:
        if len(put) == 70:
            raise StorageUnavailableError("the server is gone")
        put.append(name)

    with pytest.raises(StorageUnavailableError, match="server is gone"):
        box.lay(shelf)
    left = box.plan.to_come()[0]
    assert 30 <= left < 70
    box.lay(lambda name, _aside: put.append(name))
    assert (len(put), len(set(put))) == (70 + left, 100)
