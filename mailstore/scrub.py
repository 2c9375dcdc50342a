"""Reads every sealed byte once in a set time, a little at a time, so that damage is found while a second copy is there.

Where a round has come to stands in a sealed row and survives every restart. A round aims at half of the time that is
set, so that a machine that is switched off for days is still in time. What is wrong goes into the audit log; a bad
copy is made anew from the other one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection

from mailstore import audit_trail, message_pages, part_records
from mailstore.actor import SYSTEM
from mailstore.audit_entry import AuditFact
from mailstore.consistency_check import Stores
from mailstore.consistency_problem import Finding
from mailstore.errors import StorageUnavailableError
from mailstore.failpoint import reached
from mailstore.message import MessageId
from mailstore.object_layout import FOLDERS
from mailstore.sealed_rows import rows_of
from mailstore.tables import scrub as table
from mailstore.wall_clock import Clock

FOUND: Final = "scrub.found"
FINISHED: Final = "scrub.finished"
OBJECT: Final = "scrub"
ROW_ID: Final = 1
PAGE: Final = 50
HALF: Final = 0.5
"""Messages are read in the first half of a round, shared parts in the second."""

STEP_SECONDS: Final = 20.0
"""A step ends after this long; the next one goes on. The disk is there for mail first."""

Mend = Callable[[Finding], bool]


@dataclass(frozen=True)
class ScrubState:
    """Where the round is. ``finished_at`` is when the last full one ended; ``bad`` what was wrong and not mended.

    Messages are read in the order in which they came, up to ``last_read``; then shared parts by id, up to
    ``last_part``.
    """

    began_at: datetime
    last_read: int = 0
    last_part: str | None = None
    bad: int = 0
    finished_at: datetime | None = None
    finished_bad: int = 0

    def next_by(self, period: timedelta) -> datetime:
        """By when the round that is under way has to be finished."""
        return (self.finished_at or self.began_at) + period


def state(connection: Connection) -> ScrubState | None:
    """Where the scrub is; None when it has not begun. Raises ``TamperedError``."""
    row = rows_of(connection).one(connection, table, table.c.id == ROW_ID)
    return None if row is None else ScrubState(**{name: value for name, value in row.items() if name != "id"})


class Scrub:
    """The scrub of one data directory. Of one worker."""

    def __init__(self, stores: Stores, mend: Mend, *, clock: Clock, period: timedelta) -> None:
        self._stores = stores
        self._mend = mend
        self._clock = clock
        self._period = period

    def step(self) -> ScrubState:
        """Read on as far as the time says. Raises ``StorageUnavailableError``; what was read until then is noted."""
        now = self._clock.now()
        begun = self._begun(now)
        share = (now - begun.began_at) / (self._period / 2)
        ends = time.monotonic() + STEP_SECONDS
        found = self._messages(begun, share)
        while found.is_more and time.monotonic() < ends:
            found = self._messages(found.state, share)
        if not found.is_more and share > HALF:
            found = self._parts(found.state, share)
            while found.is_more and time.monotonic() < ends:
                found = self._parts(found.state, share)
        return self._finished(found.state, now) if share >= 1 and not found.is_more else found.state

    def _begun(self, now: datetime) -> ScrubState:
        """A round that began in the future was begun under a wrong clock: it begins now."""
        with self._stores.database.write() as connection:
            known = state(connection)
            if known is None:
                rows_of(connection).insert(connection, table, {"id": ROW_ID, **vars(ScrubState(now))})
                return ScrubState(now)
            if known.began_at > now:
                return self._changed(connection, known, began_at=now)
        return known

    def _messages(self, before: ScrubState, share: float) -> _Read:
        """The next messages up to the share of the first half of a round that has passed."""
        with self._stores.database.read() as connection:
            newest = message_pages.newest_sequence(connection)
            until = newest if share >= HALF else int(2 * share * newest)
            page = message_pages.id_page(connection, after=before.last_read, limit=PAGE)
        due = [(sequence, message) for sequence, message in page if sequence <= until]
        read, findings, problem = self._read(due)
        last = read[-1] if read else before.last_read
        after = self._noted(before, findings, last_read=last)
        reached("scrub.after_messages")
        if problem is not None:
            raise problem
        return _Read(after, is_more=len(due) == PAGE)

    def _read(
        self, due: list[tuple[int, MessageId]]
    ) -> tuple[list[int], list[Finding], StorageUnavailableError | None]:
        """The sequences that were read, what is wrong with their bytes, and what stopped the reading."""
        read: list[int] = []
        findings: list[Finding] = []
        for sequence, message in due:
            try:
                findings += self._stores.copies.findings(message, reads_objects=True)
            except StorageUnavailableError as error:
                return read, findings, error
            read.append(sequence)
        return read, findings, None

    def _parts(self, before: ScrubState, share: float) -> _Read:
        """The next shared parts up to the share of the second half that has passed: their ids are spread evenly."""
        place = int((2 * share - 1) * len(FOLDERS))
        until = FOLDERS[place] if place < len(FOLDERS) else None
        with self._stores.database.read() as connection:
            page = part_records.page(connection, after=before.last_part or "", limit=PAGE)
        due = [part for part in page if until is None or part.id < until]
        findings = [finding for part in due for finding in self._stores.copies.part_findings(part)]
        last = due[-1].id if due else before.last_part
        after = self._noted(before, findings, last_part=last)
        reached("scrub.after_parts")
        return _Read(after, is_more=len(due) == PAGE)

    def _noted(self, before: ScrubState, findings: list[Finding], **changes: Any) -> ScrubState:
        """Where the round is now, with what it found; then what can be mended is mended."""
        facts = [
            AuditFact(FOUND, SYSTEM.account, each.message or each.object, {"kind": each.kind.value})
            for each in findings
        ]
        with self._stores.database.write() as connection:
            after = self._changed(connection, before, bad=before.bad + len(findings), **changes)
            audit_trail.append(connection, facts, now=self._clock.now())
        mended = sum(self._mend(finding) for finding in findings)
        if not mended:
            return after
        with self._stores.database.write() as connection:
            return self._changed(connection, after, bad=after.bad - mended)

    def _finished(self, done: ScrubState, now: datetime) -> ScrubState:
        fact = AuditFact(FINISHED, SYSTEM.account, OBJECT, {"bad": done.bad})
        with self._stores.database.write() as connection:
            after = self._changed(
                connection,
                done,
                began_at=now,
                last_read=0,
                last_part=None,
                bad=0,
                finished_at=now,
                finished_bad=done.bad,
            )
            audit_trail.append(connection, [fact], now=now)
        reached("scrub.after_round")
        return after

    def _changed(self, connection: Connection, before: ScrubState, **changes: Any) -> ScrubState:
        rows_of(connection).update(connection, table, table.c.id == ROW_ID, changes)
        return ScrubState(**{**vars(before), **changes})


@dataclass(frozen=True)
class _Read:
    """Where the round is now, and whether more was due than one page."""

    state: ScrubState
    is_more: bool
