"""Follow-up work stands back for a burst, at once and for a moment, and not for mail as it comes every day."""

from __future__ import annotations

from collections.abc import Iterator

from appliance.giving_way import LONGEST_SECONDS, GivingWay


def told(way: GivingWay, *, per_second: float, seconds: float, begin: float = 0.0) -> Iterator[bool]:
    """The answers at looks a fifth of a second apart."""
    for number in range(int(seconds * 5)):
        at = begin + number / 5
        yield way.stands_back(round(at * per_second), at=at)


def test_nothing_is_known_at_the_first_look() -> None:
    assert not GivingWay().stands_back(1_000_000, at=5.0)


def test_a_burst_is_given_way_to_from_the_second_look() -> None:
    assert list(told(GivingWay(), per_second=500, seconds=1)) == [False, True, True, True, True]


def test_mail_as_it_comes_every_day_is_followed_up_at_once() -> None:
    assert not any(told(GivingWay(), per_second=75, seconds=60))


def test_when_the_burst_is_over_follow_up_goes_on() -> None:
    way = GivingWay()
    assert list(told(way, per_second=500, seconds=2))[-1]
    assert not way.stands_back(900, at=2.0)


def test_what_never_ends_is_followed_up_half_of_the_time_and_never_long_after() -> None:
    answers = list(told(GivingWay(), per_second=500, seconds=100))
    turns = "".join("-" if answer else "w" for answer in answers[1:]).replace("w-", "w -").replace("-w", "- w").split()
    assert {len(turn) / 5 for turn in turns[:-1]} == {LONGEST_SECONDS}
    assert [turn[0] for turn in turns[:4]] == ["-", "w", "-", "w"]


def test_looks_in_quick_succession_are_not_taken_for_a_pace() -> None:
    way = GivingWay()
    assert not way.stands_back(0, at=0.0)
    assert not way.stands_back(10, at=0.01)
    assert not way.stands_back(10, at=0.2)


def test_the_next_burst_is_given_way_to_from_its_own_beginning() -> None:
    way = GivingWay()
    assert list(told(way, per_second=500, seconds=LONGEST_SECONDS - 1))[-1]
    end = LONGEST_SECONDS - 1
    assert not any(told(way, per_second=0, seconds=5, begin=end + 1))
    again = [way.stands_back(round((at - 20) * 500), at=at) for at in (20.0, 20.2, 20.2 + LONGEST_SECONDS - 0.2)]
    assert again == [False, True, True]
