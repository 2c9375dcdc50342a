"""Growing waits after wrong answers, counted by account and by network address.

Unknown accounts are counted the same way as known ones, so that a wait says nothing about who exists. A wait grows
from one second to a quarter of an hour and is forgotten after a day (NIST SP 800-63B-4 section 3.2.2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from mailstore.database import Database
from mailstore.key_hierarchy import blind_index
from mailstore.peer_network import network_of
from portal.tables import throttles

LONGEST_WAIT = timedelta(minutes=15)
FORGOTTEN_AFTER = timedelta(days=1)


@dataclass(frozen=True)
class Subject:
    """Whose wrong answers are counted. ``free`` of them cost no wait."""

    kind: str
    name: str
    free: int


def account_subject(canonical_login: str) -> Subject:
    """The account somebody claims to be; it need not exist."""
    return Subject("account", canonical_login, free=4)


def address_subject(address: str) -> Subject:
    """The network that asks; a waiting room may share one."""
    return Subject("address", network_of(address), free=30)


def wait_after(failures: int, *, free: int) -> timedelta:
    """How long to wait after this many wrong answers in a row."""
    if failures <= free:
        return timedelta(0)
    return min(LONGEST_WAIT, timedelta(seconds=2 ** min(failures - free - 1, 20)))


class Throttles:
    """Counts wrong answers and says when the next may be given."""

    def __init__(self, database: Database, *, lookup_key: bytes) -> None:
        self._database = database
        self._lookup_key = lookup_key

    def take(self, connection: Connection, subjects: tuple[Subject, ...], now: datetime) -> int:
        """Count one try for each subject before its answer is looked at, so that parallel tries cannot slip by.

        Answers 0, or how many seconds somebody still has to wait; then nothing was counted.
        """
        longest = max((self._wait(connection, subject, now) for subject in subjects), default=timedelta(0))
        if longest > timedelta(0):
            return math.ceil(longest.total_seconds())
        for subject in subjects:
            self._count(connection, subject, now)
        return 0

    def refund(self, connection: Connection, subjects: tuple[Subject, ...], now: datetime) -> None:
        """The try was right: take its count back. What was counted before stays."""
        for subject in subjects:
            index = throttles.c.subject == self._index(subject)
            row = self._database.rows.one(connection, throttles, index)
            if row is not None:
                changes = {"failures": max(0, row["failures"] - 1), "wait_until": now}
                self._database.rows.update(connection, throttles, index, changes)

    def forget(self, connection: Connection, subject: Subject) -> None:
        """Every factor was right: the counting ends."""
        self._database.rows.delete(connection, throttles, throttles.c.subject == self._index(subject))

    def sweep(self, connection: Connection, now: datetime) -> int:
        """Drop what is older than a day; answers how many."""
        return self._database.rows.delete(connection, throttles, throttles.c.changed_at < now - FORGOTTEN_AFTER)

    def _count(self, connection: Connection, subject: Subject, now: datetime) -> None:
        index = self._index(subject)
        row = self._database.rows.one(connection, throttles, throttles.c.subject == index)
        failures = 1 if row is None or row["changed_at"] < now - FORGOTTEN_AFTER else row["failures"] + 1
        wait = wait_after(failures, free=subject.free)
        changes = {"failures": failures, "wait_until": now + wait, "changed_at": now}
        if row is None:
            self._database.rows.insert(connection, throttles, {"subject": index, **changes})
        else:
            self._database.rows.update(connection, throttles, throttles.c.subject == index, changes)

    def _wait(self, connection: Connection, subject: Subject, now: datetime) -> timedelta:
        """How long is left, and never longer than so many failures cost: the clock may have been set back."""
        row = self._database.rows.one(connection, throttles, throttles.c.subject == self._index(subject))
        if row is None:
            return timedelta(0)
        left: timedelta = row["wait_until"] - now
        return min(left, wait_after(row["failures"], free=subject.free))

    def _index(self, subject: Subject) -> bytes:
        return blind_index(self._lookup_key, f"throttle {subject.kind}", subject.name)
