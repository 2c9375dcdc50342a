"""Pauses grow, chance only lengthens them, and a wrong clock never gives up early."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from appliance.retry_schedule import RetrySchedule, delay_report_at, is_over, schedule_of, wait_after
from appliance.settings import OutboundSettings

ACCEPTED = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
SCHEDULE = RetrySchedule()


@pytest.mark.parametrize(("attempts", "minutes"), [(0, 5), (1, 5), (2, 10), (3, 20), (7, 240), (8, 240), (10_000, 240)])
def test_pauses_grow_up_to_the_longest(attempts: int, minutes: int) -> None:
    assert wait_after(SCHEDULE, attempts=attempts, jitter=0) == timedelta(minutes=minutes)


def test_chance_only_lengthens_a_pause() -> None:
    assert wait_after(SCHEDULE, attempts=1, jitter=1) == timedelta(minutes=5.5)


@pytest.mark.parametrize("jitter", [-0.01, 1.01])
def test_jitter_beyond_its_range_is_a_mistake(jitter: float) -> None:
    with pytest.raises(ValueError, match="jitter"):
        wait_after(SCHEDULE, attempts=1, jitter=jitter)


@pytest.mark.parametrize(("hours", "expected"), [(119.9, False), (120, True), (-1000, False)])
def test_giving_up_comes_after_five_days_and_never_by_a_clock_that_jumped_back(hours: float, *, expected: bool) -> None:
    assert is_over(SCHEDULE, accepted_at=ACCEPTED, attempts=30, now=ACCEPTED + timedelta(hours=hours)) is expected


@pytest.mark.parametrize(("attempts", "expected"), [(1, False), (3, False), (4, True)])
def test_a_week_without_power_is_no_reason_to_give_up_at_once(attempts: int, *, expected: bool) -> None:
    now = ACCEPTED + timedelta(days=7)
    assert is_over(SCHEDULE, accepted_at=ACCEPTED, attempts=attempts, now=now) is expected


def test_a_delay_is_reported_after_four_hours() -> None:
    assert delay_report_at(SCHEDULE, accepted_at=ACCEPTED) == ACCEPTED + timedelta(hours=4)


def test_the_schedule_is_what_the_settings_say() -> None:
    settings = OutboundSettings(attempt_minutes=(1, 2), delay_report_hours=3, give_up_hours=48, portal_after_minutes=7)
    schedule = schedule_of(settings)
    assert schedule.waits == (timedelta(minutes=1), timedelta(minutes=2))
    assert schedule.delay_report_after == timedelta(hours=3)
    assert schedule.give_up_after == timedelta(days=2)
    assert schedule.portal_after == timedelta(minutes=7)
