"""The one place that reads the clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the time as an aware UTC datetime."""

    def now(self) -> datetime:
        """The present instant, in UTC."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """The present instant, in UTC, as the operating system tells it."""
        return datetime.now(UTC)


class SetClock:
    """A clock that stands where it was put: for rehearsals, simulations and tests."""

    def __init__(self, instant: datetime) -> None:
        self._instant = instant

    def now(self) -> datetime:
        """The instant it was put at."""
        return self._instant

    def advance(self, step: timedelta) -> None:
        """Move the hands forward (or back, with a negative step)."""
        self._instant += step
