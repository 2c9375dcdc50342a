from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from mailstore import durable_file


def test_new_file_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "file"
    durable_file.write_new(path, b"first")
    with pytest.raises(FileExistsError):
        durable_file.write_new(path, b"second")
    assert path.read_bytes() == b"first"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_replaced_file_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    durable_file.write_new(path, b"first")
    durable_file.replace(path, b"second")
    assert path.read_bytes() == b"second"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_what_a_crash_left_aside_does_not_stand_in_the_way(tmp_path: Path) -> None:
    (tmp_path / ("file" + durable_file.ASIDE)).write_bytes(b"half")
    durable_file.write_new(tmp_path / "file", b"whole")
    assert (tmp_path / "file").read_bytes() == b"whole"


def test_failed_write_leaves_nothing_behind() -> None:
    with pytest.raises(OSError, match="No space left"):
        durable_file.write_all(os.open("/dev/full", os.O_WRONLY), b"x")


def test_directories_are_ours_alone(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    durable_file.make_directory(deep)
    durable_file.make_directory(deep)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (deep, deep.parent)} == {0o700}


def test_large_data_is_written_whole_through_a_pipe() -> None:
    reading, writing = os.pipe()
    durable_file.write_all(writing, b"x" * 1000)
    os.close(writing)
    assert os.read(reading, 2000) == b"x" * 1000
    os.close(reading)
