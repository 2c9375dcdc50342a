"""Long work says how far it is and about how long it still takes, every few seconds and not more often."""

from __future__ import annotations

import pytest

from appliance.long_work import LongWork, size_words, time_words


def test_progress_is_told_every_few_seconds_with_what_is_left() -> None:
    lines: list[str] = []
    now = [0.0]
    work = LongWork(lines.append, seconds=lambda: now[0])
    work.step(2, 8, "lay down sealed mail")
    for second in range(1, 11):
        now[0] = float(second)
        work.bytes_done(second << 20, 100 << 20)
    assert lines[0] == "2/8 lay down sealed mail\n"
    assert len(lines) == 6
    assert "10.0 MiB of 100.0 MiB (10 %), about 2 min left" in lines[-1]


def test_things_whose_number_nobody_knows_are_counted() -> None:
    lines: list[str] = []
    now = [0.0]
    work = LongWork(lines.append, seconds=lambda: now[0])
    work.things_done("rows", 1)
    now[0] = 5.0
    work.things_done("rows", 12_345)
    assert lines == ["    rows: 12,345\n"]


@pytest.mark.parametrize(("count", "told"), [(7, "7 bytes"), (2048, "2.0 KiB"), (3 << 30, "3.0 GiB")])
def test_sizes_as_people_read_them(count: int, told: str) -> None:
    assert size_words(count) == told


@pytest.mark.parametrize(("seconds", "told"), [(0.2, "1 s"), (59, "59 s"), (600, "10 min"), (9000, "2.5 h")])
def test_times_as_people_read_them(seconds: float, told: str) -> None:
    assert time_words(seconds) == told
