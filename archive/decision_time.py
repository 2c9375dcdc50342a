"""The moment by which records are decided about: the trusted time, held against the newest entry of the audit log."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from archive.disposal_decision import Moment, Why
from archive.two_persons import APPROVERS, KEEPERS, require_role
from mailstore import audit_trail
from mailstore.actor import Actor
from mailstore.errors import RefusedError
from mailstore.trusted_clock import ClockInDoubtError, TrustedClock


class ClockWentBackError(RefusedError):
    """The clock stands before what has been seen to happen: no decision about time can be taken."""

    code = "clock_went_back"


def moment(connection: Connection, clock: TrustedClock) -> Moment:
    """What is known of the time now. Raises ``TamperedError`` when what was kept of it is gone or edited."""
    newest = audit_trail.tail(connection, 1)
    return Moment(clock.judged(connection), newest[0].at if newest else None)


def required(connection: Connection, clock: TrustedClock) -> datetime:
    """The trusted time. Raises ``ClockWentBackError`` or ``ClockInDoubtError`` while it is in doubt."""
    found = moment(connection, clock)
    refuse_doubt(found)
    return found.time.now


def confirm(actor: Actor, clock: TrustedClock) -> bool:
    """One person's word that the clock of this machine is right; an approver's, after somebody else's, makes it so.

    True when the time is trusted now, False when another person still has to say the same.
    """
    require_role(actor, KEEPERS)
    return clock.confirm(actor.account, may_complete=actor.role in APPROVERS)


def refuse_doubt(found: Moment) -> None:
    """Let the step pass when the time is beyond doubt. Raises as ``required`` does."""
    match found.doubt:
        case None:
            return
        case Why.CLOCK:
            raise ClockWentBackError(Why.CLOCK.words, fix="Correct the clock of this machine.")
        case why:
            raise ClockInDoubtError(why.words, fix=ClockInDoubtError.FIX)
