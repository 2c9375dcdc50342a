"""Core: when a message that could not be handed over is tried again, reported late, and given up.

RFC 5321 section 4.5.4.1 asks for a first retry after some minutes, growing pauses, and four to five days
before giving up. Every instant is told from outside, and so is the jitter that keeps a queue from knocking on
one door all at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from appliance.settings import OutboundSettings

DEFAULT_WAITS = tuple(timedelta(minutes=minutes) for minutes in (5, 10, 20, 40, 80, 160, 240))


@dataclass(frozen=True)
class RetrySchedule:
    """The pauses of a queue.

    ``waits`` are the pauses after the first, second, ... failure; the last one repeats. ``jitter_share`` is the
    largest part of a pause that chance may add to it, 0.1 being ten per cent. ``portal_after`` (a server that
    could not be asked: the portal takes over), ``delay_report_after`` and ``give_up_after`` are counted from
    the moment the message was accepted. However old it is, a message is tried ``fewest_attempts`` times: an
    appliance that was switched off for a week, or whose clock jumped, does not give up on everything at once.
    """

    waits: tuple[timedelta, ...] = DEFAULT_WAITS
    jitter_share: float = 0.1
    fewest_attempts: int = 4
    portal_after: timedelta = timedelta(minutes=60)
    delay_report_after: timedelta = timedelta(hours=4)
    give_up_after: timedelta = timedelta(days=5)


def schedule_of(settings: OutboundSettings) -> RetrySchedule:
    """The schedule that the settings ask for."""
    return RetrySchedule(
        waits=tuple(timedelta(minutes=minutes) for minutes in settings.attempt_minutes),
        portal_after=timedelta(minutes=settings.portal_after_minutes),
        delay_report_after=timedelta(hours=settings.delay_report_hours),
        give_up_after=timedelta(hours=settings.give_up_hours),
    )


def wait_after(schedule: RetrySchedule, *, attempts: int, jitter: float) -> timedelta:
    """How long to pause after ``attempts`` failures in a row.

    ``jitter`` is a number from 0 to 1 drawn by the caller. No pause is ever shorter than the schedule says:
    chance only lengthens it.
    """
    if not 0 <= jitter <= 1:
        raise ValueError("jitter is a number from 0 to 1")
    place = min(max(attempts, 1), len(schedule.waits)) - 1
    return schedule.waits[place] * (1 + schedule.jitter_share * jitter)


def delay_report_at(schedule: RetrySchedule, *, accepted_at: datetime) -> datetime:
    """When a sender whose message still waits is told about it, once."""
    return accepted_at + schedule.delay_report_after


def is_over(schedule: RetrySchedule, *, accepted_at: datetime, attempts: int, now: datetime) -> bool:
    """True when the attempt that just failed, number ``attempts``, was the last.

    A clock that jumped back makes a message younger, and so only ever waits longer (promise I10).
    """
    return attempts >= schedule.fewest_attempts and now - accepted_at >= schedule.give_up_after
