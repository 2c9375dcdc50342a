from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailstore import sealed_series, spool
from mailstore.errors import StorageUnavailableError, TamperedError
from mailstore.key_opener import CaptureOpener
from mailstore.message import ReceivedMessage
from mailstore.sealed_series import Arrival, OutOfTurnError, Taken
from mailstore.sealed_spool import SealedSegments, SealedSpool, set_aside_count
from tests.unit.mailstore.test_arrival_group import BOUNCE, CAPTURE, FIRST
from tests.vault_room import Vault


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sealed-spool"


def spooled(folder: Path) -> SealedSpool:
    return SealedSpool(folder, capture_public=CAPTURE.public, randomness=os.urandom)


def written(folder: Path, *messages: ReceivedMessage) -> None:
    """Each message in a group of its own."""
    mine = spooled(folder)
    for each in messages:
        mine.submit(each).result(5)
    mine.close()


def segments(folder: Path) -> SealedSegments:
    return SealedSegments(folder, CaptureOpener(CAPTURE))


def drained(folder: Path) -> Iterator[ReceivedMessage]:
    reading = segments(folder)
    for name in reading.names():
        for place, head in reading.places(name):
            yield from reading.messages(reading.group(place, head))


def test_what_was_promised_is_read_again_in_order(folder: Path) -> None:
    written(folder, FIRST, BOUNCE, FIRST)
    assert list(drained(folder)) == [FIRST, BOUNCE, FIRST]


def test_groups_say_where_they_stand_in_their_series(folder: Path) -> None:
    written(folder, FIRST, BOUNCE)
    reading = segments(folder)
    (name,) = reading.names()
    groups = [reading.group(place, head) for place, head in reading.places(name)]
    assert [(each.index.standing.before, each.after) for each in groups] == [(0, 1), (1, 2)]
    assert len({each.index.standing.series for each in groups}) == 1


def test_segment_is_open_while_its_writer_lives(folder: Path) -> None:
    mine = spooled(folder)
    mine.submit(FIRST).result(5)
    reading = segments(folder)
    (name,) = reading.names()
    assert not reading.is_closed(name)
    mine.close()
    assert reading.is_closed(name)


@pytest.mark.parametrize("cut", [1, 100, 4_000, 5_000])
def test_torn_tail_is_passed_over(folder: Path, cut: int) -> None:
    written(folder, FIRST, BOUNCE)
    (path,) = folder.glob("*.segment")
    os.truncate(path, path.stat().st_size - cut)
    assert list(drained(folder)) == [FIRST]


def test_what_comes_behind_a_destroyed_head_is_found(folder: Path) -> None:
    written(folder, FIRST, BOUNCE, FIRST)
    reading = segments(folder)
    (name,) = reading.names()
    second = reading.places(name)[1][0]
    with (folder / name).open("r+b") as file:
        file.seek(second.offset)
        file.write(bytes(300))
    assert list(drained(folder)) == [FIRST, FIRST]


def test_damaged_group_is_named_and_hides_no_other(folder: Path) -> None:
    written(folder, FIRST, BOUNCE)
    reading = segments(folder)
    (name,) = reading.names()
    (first, head), (second, other) = reading.places(name)
    with (folder / name).open("r+b") as file:
        file.seek(first.offset + 300)
        file.write(b"\xff" * 8)
    with pytest.raises(TamperedError):
        reading.group(first, head)
    assert reading.messages(reading.group(second, other)) == [BOUNCE]


def test_erased_segment_leaves_nothing(folder: Path) -> None:
    written(folder, FIRST)
    (path,) = folder.glob("*.segment")
    kept = folder.parent / "remnant"
    os.link(path, kept)
    segments(folder).erase(path.name)
    assert not path.exists()
    assert not any(kept.read_bytes())


def test_segment_set_aside_is_not_drained_and_not_lost(folder: Path) -> None:
    written(folder, FIRST)
    reading = segments(folder)
    (name,) = reading.names()
    reading.set_aside(name)
    assert reading.names() == []
    assert set_aside_count(folder) == 1


def test_what_could_not_be_stored_shares_no_number_with_what_follows(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed fsync may leave the bytes: they must not stand in the place of mail that was promised later."""
    mine = spooled(folder)
    mine.submit(FIRST).result(5)
    fdatasync = os.fdatasync

    def failing(descriptor: int) -> None:
        del descriptor
        monkeypatch.setattr(os, "fdatasync", fdatasync)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", failing)
    with pytest.raises(StorageUnavailableError):
        mine.submit(BOUNCE).result(5)
    mine.submit(FIRST).result(5)
    mine.close()
    reading = segments(folder)
    standings = [
        reading.group(place, head).index.standing for name in reading.names() for place, head in reading.places(name)
    ]
    assert len(set(standings)) == len(standings) == 3


def test_segment_holds_one_series_whatever_could_not_be_stored(folder: Path) -> None:
    """Numbers of two series beside each other would pass for the same mail."""
    failures = [OSError(5, "Input/output error")]
    is_failing = False

    def randomness(length: int) -> bytes:
        if is_failing and failures:
            raise failures.pop()
        return os.urandom(length)

    mine = SealedSpool(folder, capture_public=CAPTURE.public, randomness=randomness)
    mine.submit(FIRST).result(5)
    is_failing = True
    with pytest.raises(StorageUnavailableError):
        mine.submit(BOUNCE).result(5)
    mine.submit(BOUNCE).result(5)
    mine.close()
    reading = segments(folder)
    series = [
        [reading.group(place, head).index.standing.series for place, head in reading.places(name)]
        for name in reading.names()
    ]
    assert [len(each) for each in series] == [1, 1]
    assert series[0] != series[1]


def test_closed_spool_takes_nothing(folder: Path) -> None:
    mine = spooled(folder)
    mine.close()
    with pytest.raises(StorageUnavailableError):
        mine.submit(FIRST)


def test_segment_of_the_sealed_spool_is_no_spool_segment(folder: Path) -> None:
    written(folder, FIRST)
    (path,) = folder.glob("*.segment")
    assert path.read_bytes()[:5] == b"SRSS\x01"
    assert spool.used_bytes(folder) > 0


def test_each_message_of_a_series_becomes_ours_once_and_in_order(tmp_path: Path) -> None:
    vault, series = Vault(tmp_path / "vault"), "s" * 26
    with vault.database.write() as connection:
        sealed_series.advance(connection, [Arrival(series, 0), Arrival(series, 1)])
    for wrong in (0, 1, 3):
        with pytest.raises(OutOfTurnError), vault.database.write() as connection:
            sealed_series.advance(connection, [Arrival(series, wrong)])
    with vault.database.write() as connection:
        sealed_series.pass_over(connection, series, until=5)
        sealed_series.pass_over(connection, series, until=4)
        assert sealed_series.taken(connection, series) == Taken(5, frozenset({(2, 5)}))
    vault.close()


def test_what_was_missing_of_a_series_becomes_ours_once_when_it_comes_later(tmp_path: Path) -> None:
    vault, series, other = Vault(tmp_path / "vault"), "s" * 26, "t" * 26
    with vault.database.write() as connection:
        sealed_series.pass_over(connection, other, until=9)
        sealed_series.pass_over(connection, series, until=4)
        sealed_series.advance(connection, [Arrival(series, 4)])
    with vault.database.write() as connection:
        sealed_series.advance(connection, [Arrival(series, 1), Arrival(series, 2), Arrival(series, 5)])
    for wrong in (1, 2, 4, 5, 7):
        with pytest.raises(OutOfTurnError), vault.database.write() as connection:
            sealed_series.advance(connection, [Arrival(series, wrong)])
    with vault.database.write() as connection:
        assert sealed_series.taken(connection, series) == Taken(6, frozenset({(0, 1), (3, 4)}))
        sealed_series.advance(connection, [Arrival(series, 3), Arrival(series, 0)])
        assert sealed_series.taken(connection, series) == Taken(6)
        assert sealed_series.taken(connection, other) == Taken(9, frozenset({(0, 9)}))
    vault.close()


def test_what_a_series_lacks_is_counted_within_and_behind_what_was_passed_over() -> None:
    taken = Taken().passing_over(3).taking(3).passing_over(6).taking(1)
    assert [number for number in range(8) if taken.has(number)] == [1, 3]
    assert [taken.lacks(0, 4), taken.lacks(3, 4), taken.lacks(1, 8), taken.lacks(6, 6)] == [2, 0, 5, 0]
    assert taken.passing_over(2) == taken
