from __future__ import annotations

from datetime import timedelta

import pytest

from mailstore.generation_age import WITNESSES, Dated, Dates, too_old, witnesses
from tests.vault_room import NOW

DEAD_CLOCK = -9_000
YEARS_AHEAD = 7_000
NOBODY = 1_000


def gone(*days: float, first_kept: int = NOBODY) -> list[int]:
    """Those of generations made so many days from now that are older than thirty days, by their places."""
    dated = [Dated(at, NOW + timedelta(days=day)) for at, day in enumerate(days)]
    held = set(witnesses(range(len(dated))))
    dates = Dates([each for each in dated if each.sequence in held], now=NOW)
    return too_old(dated, dates, before=NOW - timedelta(days=30), first_kept=first_kept)


def test_what_was_made_before_goes_and_the_rest_stays() -> None:
    assert gone(-50, -31, -30, -29, 0) == [0, 1]
    assert gone(-50, -31, -30, -29, 0, first_kept=1) == [0]
    assert gone(-20, -10) == []
    assert gone() == []


@pytest.mark.parametrize("wrong", [YEARS_AHEAD, 45, -5, DEAD_CLOCK])
def test_a_wrong_date_keeps_nothing_and_takes_nothing_away(wrong: float) -> None:
    assert gone(wrong, -40, -33, -26, -19, -12) == [0, 1, 2]
    assert gone(-40, wrong, -33, -26, -19, -12) == [0, 1, 2]
    assert gone(-28, wrong, -21, -14, -7, 0) == []
    assert gone(-28, -21, -14, -7, wrong) == []


def test_many_wrong_dates_are_no_more_than_most() -> None:
    ahead = [YEARS_AHEAD + day for day in range(5)]
    assert gone(-40, *ahead, -33, -26, -20) == [0, 1, 2, 3, 4, 5, 6]
    assert gone(*ahead) == []


def test_a_wrong_date_before_what_is_kept_is_judged_by_what_came_next() -> None:
    assert gone(YEARS_AHEAD, -40, -35, first_kept=1) == [0]
    assert gone(YEARS_AHEAD, -20, -15, first_kept=1) == []


def test_of_many_generations_a_few_are_asked_and_a_wrong_one_that_was_not_is_seen() -> None:
    days = [-60 + at / 2 for at in range(121)]
    assert len(witnesses(range(121))) == WITNESSES
    assert gone(*days) == list(range(60))
    for at in (0, 1, 30, 58):
        assert gone(*days[:at], YEARS_AHEAD, *days[at + 1 :]) == list(range(60))
        assert gone(*days[:at], DEAD_CLOCK, *days[at + 1 :]) == list(range(60))
    assert gone(*days[:59], YEARS_AHEAD, *days[60:]) == list(range(59)), "the next one is not too old"


def test_no_more_are_looked_at_than_it_takes() -> None:
    looked = iter([Dated(0, NOW - timedelta(days=40)), Dated(1, NOW), Dated(2, NOW)])
    too_old(looked, Dates([], now=NOW), before=NOW - timedelta(days=30), first_kept=NOBODY)
    assert next(looked).sequence == 2
