"""The plan of a restore remembers across processes what is done, what lies where, and what it was begun with."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailstore.backup_pack import ChunkPlace
from mailstore.errors import RefusedError
from mailstore.restore_laying import checked_path
from mailstore.restore_plan import RestorePlan, Wanted

FIRST, SECOND = b"1" * 32, b"2" * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "plan.sqlite3"


def test_what_is_wanted_is_told_by_pack_until_it_is_laid_down_and_not_after(path: Path) -> None:
    plan = RestorePlan(path)
    plan.add_places([(b"a" * 16, ChunkPlace(FIRST, 0, 7)), (b"b" * 16, ChunkPlace(SECOND, 9, 5))])
    wanted = [Wanted(b"a" * 16, "xx/object"), Wanted(b"b" * 16, "rows.sqlite3", 65536), Wanted(b"c" * 16, "lost")]
    assert [each.name for each in plan.want(wanted)] == ["lost"]
    plan.close()
    again = RestorePlan(path)
    assert (list(again.packs()), again.bytes_wanted()) == ([(FIRST, False), (SECOND, False)], 12)
    [found] = again.wanted_of(SECOND)
    assert (found.wanted.place, found.at.offset, found.at.length) == (65536, 9, 5)
    put: list[str] = []
    again.finish([FIRST], put.extend)
    assert (put, list(again.packs())) == (["xx/object"], [(SECOND, False)])
    again.want(wanted)
    again.close()


def test_what_somebody_waits_for_is_next(path: Path) -> None:
    plan = RestorePlan(path)
    plan.add_places([(bytes([n]) * 16, ChunkPlace(bytes([n]) * 32, 0, 7)) for n in range(4)])
    plan.want([Wanted(bytes([n]) * 16, f"object-{n}") for n in range(4)])
    turns = plan.packs()
    assert next(turns) == (b"\0" * 32, False)
    plan.ask_for("object-3")
    assert next(turns) == (b"\3" * 32, True)
    plan.finish([b"\3" * 32], lambda _names: None)
    assert [is_waited_for for _, is_waited_for in turns] == [False, False]
    plan.close()


def test_what_cannot_be_laid_down_is_first_no_more_and_wanted_still(path: Path) -> None:
    plan = RestorePlan(path)
    plan.add_places([(bytes([n]) * 16, ChunkPlace(bytes([n]) * 32, 0, 7)) for n in range(3)])
    plan.want([Wanted(bytes([n]) * 16, f"object-{n}") for n in range(3)])
    plan.ask_for("object-2")
    plan.unask(b"\2" * 32)
    assert list(plan.packs()) == [(bytes([n]) * 32, False) for n in range(3)]
    plan.close()


def test_what_is_not_awaited_any_more_is_put_nowhere_and_its_pack_is_done_all_the_same(path: Path) -> None:
    plan = RestorePlan(path)
    plan.add_places([(b"a" * 16, ChunkPlace(FIRST, 0, 7)), (b"b" * 16, ChunkPlace(FIRST, 7, 7))])
    plan.want([Wanted(b"a" * 16, "aa/dead"), Wanted(b"b" * 16, "ab/alive")])
    other = RestorePlan.existing(path)
    assert other is not None
    assert list(other.awaited("a")) == ["aa/dead", "ab/alive"]
    other.forget("aa/dead")
    assert (other.awaits("aa/dead"), plan.awaits("ab/alive")) == (False, True)
    put: list[str] = []
    plan.finish([FIRST], put.extend)
    assert (put, plan.to_come(), other.awaits("ab/alive")) == (["ab/alive"], (0, 0), False)
    plan.remove()
    assert (RestorePlan.existing(path), other.to_come()) == (None, (0, 0))
    other.close()


def test_one_chunk_may_be_wanted_in_several_places(path: Path) -> None:
    plan = RestorePlan(path)
    plan.add_places([(b"a" * 16, ChunkPlace(FIRST, 0, 7))])
    plan.want([Wanted(b"a" * 16, "one", 0), Wanted(b"a" * 16, "one", 7), Wanted(b"a" * 16, "other", 0)])
    assert len(plan.wanted_of(FIRST)) == 3
    plan.close()


def test_a_restore_that_goes_on_keeps_to_what_it_was_begun_with(path: Path) -> None:
    plan = RestorePlan(path)
    plan.hold_to("target", "here")
    plan.hold_to("target", "here")
    with pytest.raises(RefusedError, match="another target"):
        plan.hold_to("target", "there")
    assert not plan.is_done("files")
    plan.note("files")
    assert plan.is_done("files")
    plan.close()


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "/etc/passwd",
        "spool/../../x",
        "keys/../rows.sqlite3/..",
        "spool",
        "run/serve.pid",
        "",
        "log/x",
        "tls//x",
    ],
)
def test_a_file_that_is_none_of_a_data_directory_is_never_written(path: str) -> None:
    with pytest.raises(RefusedError):
        checked_path(path)
