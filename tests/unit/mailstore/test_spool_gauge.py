from __future__ import annotations

import os
from pathlib import Path

import pytest

from mailstore.errors import StorageUnavailableError
from mailstore.spool import SpoolWriter, erase_range
from mailstore.spool_gauge import SpoolFullError, SpoolGauge


class Seconds:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


def test_spool_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    gauge = SpoolGauge(tmp_path / "none", cap_bytes=1)
    assert gauge.used_bytes() == 0
    assert gauge.has_room()


def test_near_the_cap_is_told_and_at_the_cap_nothing_is_taken(tmp_path: Path, seconds: Seconds) -> None:
    writer = SpoolWriter(tmp_path, os.urandom)
    gauge = SpoolGauge(tmp_path, cap_bytes=1_000_000, seconds=seconds)
    writer.append([os.urandom(700_000)])
    assert (gauge.is_pressed(), gauge.has_room()) == (False, True)
    writer.append([os.urandom(150_000)])
    seconds.now += 1
    assert (gauge.is_pressed(), gauge.has_room()) == (True, True)
    gauge.refuse_when_full()
    writer.append([os.urandom(200_000)])
    seconds.now += 1
    assert (gauge.is_pressed(), gauge.has_room()) == (True, False)
    with pytest.raises(SpoolFullError):
        gauge.refuse_when_full()


def test_the_disk_is_asked_once_a_second(tmp_path: Path, seconds: Seconds) -> None:
    gauge = SpoolGauge(tmp_path, cap_bytes=1_000, seconds=seconds)
    assert gauge.has_room()
    SpoolWriter(tmp_path, os.urandom).append([bytes(5_000)])
    seconds.now += 0.9
    assert gauge.has_room()
    seconds.now += 0.1
    assert not gauge.has_room()


def test_what_was_erased_takes_no_room(tmp_path: Path) -> None:
    (place,) = SpoolWriter(tmp_path, os.urandom).append([os.urandom(1_000_000)])
    before = SpoolGauge(tmp_path, cap_bytes=1).used_bytes()
    erase_range(tmp_path, place)
    assert SpoolGauge(tmp_path, cap_bytes=1).used_bytes() < before / 2


def test_spool_that_cannot_be_looked_at_is_told(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("no directory")
    with pytest.raises(StorageUnavailableError):
        SpoolGauge(tmp_path / "spool", cap_bytes=1).has_room()
