"""The trusted time of one data directory: what ``trusted_time`` needs to know, kept in one sealed row.

The row is born with the directory, and the audit log knows of it: a row that is gone is not begun anew with whatever
the clock says. Every answer is made of a fresh reading of the machine; only ``keep`` writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from sqlalchemy import Connection

from mailstore import audit_trail, trusted_time
from mailstore.actor import SYSTEM
from mailstore.audit_entry import AuditFact, Detail
from mailstore.database import Database
from mailstore.errors import RefusedError, StrongroomError, TamperedError
from mailstore.failpoint import reached
from mailstore.message import AccountId
from mailstore.sealed_rows import SealedRow, rows_of
from mailstore.tables import trusted_time as table
from mailstore.time_witnesses import Machine
from mailstore.trusted_time import Claim, Frozen, Judgement, Known, Reading, Trusted, Witness

ROW_ID: Final = 1
MICROSECOND: Final = timedelta(microseconds=1)

OBJECT: Final = "clock"
BEGUN: Final = "clock.begun"
FROZEN: Final = "clock.frozen"
RESUMED: Final = "clock.resumed"
CLAIMED: Final = "clock.confirmation_asked"
CONFIRMED: Final = "clock.confirmed"


class ClockInDoubtError(RefusedError):
    """The clock stands ahead of all that vouches for it, or behind: nothing that time allows may happen."""

    code = "clock_not_confirmed"
    FIX: ClassVar[str] = "Set the clock by a time server, or have two persons say: strongroom clock confirm."


@dataclass(frozen=True)
class ClockView:
    """What the machine says, what is made of it, and who has said that it is right and waits for a second person."""

    reading: Reading
    judgement: Judgement
    claimed_by: AccountId | None


class TrustedClock:
    """Answers what time it is, as far as that is proved, inside the caller's transaction."""

    def __init__(self, database: Database, machine: Machine) -> None:
        self._database = database
        self._machine = machine

    def begin(self, connection: Connection) -> None:
        """The directory is born now. Nothing happens when it was before."""
        if self._row(connection) is None and not self._was_begun(connection):
            reading = self._machine.reading()
            known = trusted_time.begun(reading)
            rows_of(connection).insert(connection, table, {"id": ROW_ID, **_values(known)})
            audit_trail.append(connection, [AuditFact(BEGUN, SYSTEM.account, OBJECT)], now=reading.wall)

    def judged(self, connection: Connection) -> Judgement:
        """Whether the time can be trusted now. Raises ``TamperedError`` when what was kept of it is gone or edited."""
        reading = self._machine.reading()
        return trusted_time.judged(self._known(connection, reading), reading)

    def proved(self, connection: Connection) -> datetime | None:
        """What time it is at least, whatever the clock says.

        None when nothing is known of it any more; nothing is destroyed then.
        """
        try:
            return self.judged(connection).now
        except StrongroomError:
            return None

    def keep(self, others: Iterable[Witness] = ()) -> Judgement:
        """Keep what is known now, so that the counting goes on from here after a restart; the worker's duty.

        ``others`` are witnesses that were asked just now over the network. The audit log hears when the time was
        frozen, and when it is trusted again.
        """
        with self._database.write() as connection:
            self.begin(connection)
            reading = self._machine.reading()
            reading = replace(reading, witnesses=(*reading.witnesses, *others))
            before = self._known(connection, reading)
            judgement, known = trusted_time.judged(before, reading), trusted_time.kept(before, reading)
            self._write(connection, known)
            if (before.frozen_since is None) != (known.frozen_since is None):
                detail: Detail = {"doubt": judgement.doubt.value} if isinstance(judgement, Frozen) else {}
                event = FROZEN if isinstance(judgement, Frozen) else RESUMED
                audit_trail.append(connection, [AuditFact(event, SYSTEM.account, OBJECT, detail)], now=reading.wall)
        reached("trusted_clock.after_keep")
        return judgement

    def confirm(self, account: AccountId, *, may_complete: bool) -> bool:
        """One person's word that the wall clock is right: the first is remembered, a second one's makes it so.

        True when the time is trusted now. ``may_complete`` says whether this person's word can be the second. The
        caller has looked at the role; that the two are different people is looked at here.
        """
        with self._database.write() as connection:
            reading = self._machine.reading()
            known = self._known(connection, reading)
            if isinstance(trusted_time.judged(known, reading), Trusted):
                raise RefusedError("the clock is trusted; there is nothing to confirm", fix="Nothing has to be done.")
            is_complete = may_complete and trusted_time.is_confirmed_by(known, reading, by=account)
            after = trusted_time.confirmed(reading) if is_complete else trusted_time.claimed(known, reading, by=account)
            self._write(connection, after)
            event = CONFIRMED if is_complete else CLAIMED
            audit_trail.append(connection, [AuditFact(event, account, OBJECT)], now=reading.wall)
        reached("trusted_clock.after_confirm")
        return is_complete

    def view(self, connection: Connection) -> ClockView:
        """What is known of the time, to be shown. Raises as ``judged`` does."""
        reading = self._machine.reading()
        known = self._known(connection, reading)
        claim = trusted_time.kept(known, reading).claim
        return ClockView(reading, trusted_time.judged(known, reading), AccountId(claim.by) if claim else None)

    def _known(self, connection: Connection, reading: Reading) -> Known:
        row = self._row(connection)
        if row is not None:
            return _known_from(row)
        if self._was_begun(connection):
            raise TamperedError("what was kept of the trusted time is gone", fix="Restore the rows from a backup.")
        return trusted_time.begun(reading)

    def _row(self, connection: Connection) -> SealedRow | None:
        return rows_of(connection).one(connection, table, table.c.id == ROW_ID)

    def _was_begun(self, connection: Connection) -> bool:
        return bool(audit_trail.of_events(connection, (BEGUN,)))

    def _write(self, connection: Connection, known: Known) -> None:
        rows_of(connection).update(connection, table, table.c.id == ROW_ID, _values(known))


def _values(known: Known) -> dict[str, Any]:
    claim = known.claim
    return {
        "trusted": known.trusted,
        "boot": known.boot,
        "uptime": known.uptime // MICROSECOND,
        "frozen_since": known.frozen_since,
        "claimed_by": claim.by if claim else None,
        "claimed_wall": claim.wall if claim else None,
        "claimed_uptime": claim.uptime // MICROSECOND if claim else None,
    }


def _known_from(row: SealedRow) -> Known:
    by = row["claimed_by"]
    claim = None if by is None else Claim(by, row["claimed_wall"], row["claimed_uptime"] * MICROSECOND)
    return Known(row["trusted"], row["boot"], row["uptime"] * MICROSECOND, row["frozen_since"], claim)
