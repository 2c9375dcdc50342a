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
    assert (again.packs(), again.bytes_wanted()) == ([FIRST, SECOND], 12)
    [found] = again.wanted_of(SECOND)
    assert (found.wanted.place, found.at.offset, found.at.length) == (65536, 9, 5)
    again.finish([FIRST])
    assert again.packs() == [SECOND]
    again.want(wanted)
    again.close()


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
