from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.unseal_tries import FREE_TRIES, LONGEST_WAIT_SECONDS, TooSoonError, UnsealTries
from mailstore.wall_clock import SetClock

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
PAGE, COMMAND = "sealed-mail", "command"


def counted(path: Path, clock: SetClock) -> UnsealTries:
    """As a process that was started anew has it."""
    return UnsealTries(path / "run" / "unseal-tries.json", clock)


def test_a_try_counts_before_it_is_known_to_be_wrong(tmp_path: Path) -> None:
    clock = SetClock(NOW)
    counted(tmp_path, clock).begin(PAGE)
    assert counted(tmp_path, clock).told()[PAGE].wrong == 1


def test_right_one_is_not_counted_and_begins_the_row_anew(tmp_path: Path) -> None:
    clock = SetClock(NOW)
    tries = counted(tmp_path, clock)
    tries.begin(PAGE)
    tries.begin(PAGE)
    tries.was_right(PAGE, was_sealed=True)
    told = tries.told()[PAGE]
    assert (told.wrong, told.in_a_row, told.opened_at) == (1, 0, NOW)


def test_wrong_ones_wait_twice_as_long_each_time_and_a_restart_does_not_shorten_it(tmp_path: Path) -> None:
    clock, waits = SetClock(NOW), []
    for _ in range(20):
        try:
            counted(tmp_path, clock).begin(PAGE)
        except TooSoonError as error:
            waits.append(error.seconds)
            clock.advance(timedelta(seconds=error.seconds))
            counted(tmp_path, clock).begin(PAGE)
    assert waits[:4] == [2, 4, 8, 16]
    assert max(waits) == LONGEST_WAIT_SECONDS


def test_clock_that_is_turned_does_not_lock_anybody_out_for_longer(tmp_path: Path) -> None:
    clock = SetClock(NOW)
    for _ in range(FREE_TRIES):
        counted(tmp_path, clock).begin(PAGE)
    clock.advance(timedelta(days=-400))
    with pytest.raises(TooSoonError) as refused:
        counted(tmp_path, clock).begin(PAGE)
    assert refused.value.seconds == 2


def test_stranger_at_the_page_does_not_hold_up_the_command(tmp_path: Path) -> None:
    clock = SetClock(NOW)
    for _ in range(FREE_TRIES):
        counted(tmp_path, clock).begin(PAGE)
    with pytest.raises(TooSoonError):
        counted(tmp_path, clock).begin(PAGE)
    counted(tmp_path, clock).begin(COMMAND)


def test_file_that_somebody_broke_is_told_of(tmp_path: Path) -> None:
    tries = counted(tmp_path, SetClock(NOW))
    tries.begin(PAGE)
    (tmp_path / "run" / "unseal-tries.json").write_text("[]")
    assert tries.told()["unknown"].wrong == 1
    tries.forget()
    assert tries.told() == {}


def test_sealing_by_hand_is_noted(tmp_path: Path) -> None:
    tries = counted(tmp_path, SetClock(NOW))
    tries.note_sealing(COMMAND)
    assert tries.told()[COMMAND].sealed_at == NOW
    assert tries.told()[COMMAND].wrong == 0
