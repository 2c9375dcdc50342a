from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from mailstore import spool
from mailstore.errors import NotFoundError, RefusedError, StorageUnavailableError, TamperedError
from mailstore.spool import Place, SpoolWriter


def writer(directory: Path, *, segment_bytes: int = 1 << 20) -> SpoolWriter:
    return SpoolWriter(directory, os.urandom, segment_bytes=segment_bytes)


def test_what_was_appended_is_read_from_its_place(tmp_path: Path) -> None:
    mine = writer(tmp_path / "spool")
    objects = [os.urandom(size) for size in (1, 5000, 1)]
    places = mine.append(objects) + mine.append([b"later"])
    assert [spool.read(tmp_path / "spool", place) for place in places] == [*objects, b"later"]
    assert len(spool.segments(tmp_path / "spool")) == 1


def test_segment_is_open_while_its_writer_lives(tmp_path: Path) -> None:
    mine = writer(tmp_path)
    (place,) = mine.append([b"x"])
    assert not spool.is_closed(tmp_path, place.segment)
    mine.close()
    assert spool.is_closed(tmp_path, place.segment)


def test_full_segment_is_closed_and_a_new_one_begun(tmp_path: Path) -> None:
    mine = writer(tmp_path, segment_bytes=100)
    first, second = mine.append([bytes(200)])[0], mine.append([b"x"])[0]
    assert first.segment != second.segment
    assert spool.is_closed(tmp_path, first.segment)
    assert not spool.is_closed(tmp_path, second.segment)


def test_no_writer_opens_an_old_segment_again(tmp_path: Path) -> None:
    mine = writer(tmp_path)
    (place,) = mine.append([b"x"])
    mine.close()
    assert mine.append([b"y"])[0].segment != place.segment


def test_two_writers_never_share_a_segment(tmp_path: Path) -> None:
    assert writer(tmp_path).append([b"x"])[0].segment != writer(tmp_path).append([b"x"])[0].segment


def test_failed_write_abandons_the_segment(tmp_path: Path) -> None:
    mine = writer(tmp_path)
    (kept,) = mine.append([b"kept"])
    os.close(mine._descriptor)
    mine._descriptor = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(StorageUnavailableError):
        mine.append([b"lost"])
    (later,) = mine.append([b"later"])
    assert later.segment != kept.segment
    assert spool.read(tmp_path, kept) == b"kept"
    assert spool.read(tmp_path, later) == b"later"


def test_shortened_segment_is_noticed(tmp_path: Path) -> None:
    (place,) = writer(tmp_path).append([bytes(100)])
    os.truncate(tmp_path / place.segment, 50)
    with pytest.raises(TamperedError, match=place.segment):
        spool.read(tmp_path, place)


def test_released_segment_is_gone(tmp_path: Path) -> None:
    (place,) = writer(tmp_path).append([b"x"])
    spool.release(tmp_path, place.segment)
    spool.release(tmp_path, place.segment)
    assert spool.segments(tmp_path) == []
    with pytest.raises(NotFoundError):
        spool.read(tmp_path, place)


def test_erased_range_is_zeros_and_its_neighbours_stay(tmp_path: Path) -> None:
    before, middle, after = writer(tmp_path).append([os.urandom(9000), os.urandom(3 << 20), os.urandom(9000)])
    kept = spool.read(tmp_path, before), spool.read(tmp_path, after)
    assert not spool.is_erased(tmp_path, middle)
    spool.erase_range(tmp_path, middle)
    assert spool.is_erased(tmp_path, middle)
    assert spool.read(tmp_path, middle) == bytes(middle.length)
    assert (spool.read(tmp_path, before), spool.read(tmp_path, after)) == kept


def test_erasing_never_makes_a_segment_longer(tmp_path: Path) -> None:
    (place,) = writer(tmp_path).append([bytes(100)])
    size = (tmp_path / place.segment).stat().st_size
    spool.erase_range(tmp_path, Place(place.segment, place.offset, 10_000))
    assert (tmp_path / place.segment).stat().st_size == size


def test_erasing_in_a_released_segment_is_done_already(tmp_path: Path) -> None:
    gone = Place("a" * 26 + ".segment", 16, 10)
    spool.erase_range(tmp_path, gone)
    assert spool.is_erased(tmp_path, gone)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "x.segment", "", "a" * 26 + ".segment/..", "a" * 26 + ".segment\n"]
)
def test_name_that_is_not_ours_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RefusedError):
        spool.read(tmp_path, Place(name, 0, 1))


def test_only_we_can_read_the_files(tmp_path: Path) -> None:
    (place,) = writer(tmp_path / "spool").append([b"x"])
    assert stat.S_IMODE((tmp_path / "spool").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "spool" / place.segment).stat().st_mode) == 0o600


def test_no_spool_has_no_segments(tmp_path: Path) -> None:
    assert spool.segments(tmp_path / "none") == []


def test_failed_sync_abandons_the_segment_for_ever(tmp_path: Path) -> None:
    """A pipe takes bytes and cannot be synced: what a disk does that lost the pages it had taken."""
    mine = writer(tmp_path)
    (kept,) = mine.append([b"kept"])
    os.close(mine._descriptor)
    reading, mine._descriptor = os.pipe()
    with pytest.raises(StorageUnavailableError):
        mine.append([b"lost"])
    assert os.read(reading, 10) == b"lost"
    os.close(reading)
    (later,) = mine.append([b"later"])
    assert later.segment != kept.segment
    assert spool.read(tmp_path, later) == b"later"
