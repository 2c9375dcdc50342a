"""Core: points in time as the numbers that rows and formats keep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def microseconds(instant: datetime) -> int:
    """Microseconds from 1970-01-01T00:00:00Z to an aware instant. Naive times: ValueError."""
    if instant.tzinfo is None:
        raise ValueError("an instant needs its time zone")
    return (instant - EPOCH) // MICROSECOND


def instant_of(stored: int) -> datetime:
    """The aware UTC datetime that a row keeps as microseconds since 1970."""
    return EPOCH + timedelta(microseconds=stored)
