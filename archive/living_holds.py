"""The holds in force: read from their rows, held against the audit log, and asked about one message.

A row that is missing or says ``released`` without the log saying so frees nothing: everything that asks here is
refused until the row is back (promise I3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from archive import hold_records
from archive.disposal_decision import HoldFinding
from archive.evidence import OwnMailboxes
from archive.hold_records import HoldRecord
from archive.legal_hold import Evidence, Hold, HoldState, Matter, covers
from archive.sealed_details import SealedDetails
from mailstore import audit_trail
from mailstore.errors import TamperedError
from mailstore.message import MessageId

PLACED = "hold.placed"
RELEASED = "hold.released"

DETAILS = "hold-details"


class LivingHolds:
    """Every hold that was placed and not released."""

    def __init__(self, *, details: SealedDetails, own_mailboxes: OwnMailboxes) -> None:
        self._details = details
        self._own_mailboxes = own_mailboxes

    def matter_of(self, record: HoldRecord) -> Matter:
        """What a hold is about. Raises ``TamperedError``."""
        return Matter.from_bytes(self._details.open(DETAILS, record.id, record.details_sealed))

    def hold_of(self, record: HoldRecord) -> Hold:
        """The hold as it is asked about messages."""
        matter = self.matter_of(record)
        return Hold(record.id, record.state, matter, self._own_mailboxes(matter.custodians))

    def hold_on(self, told: Matter) -> Hold:
        """A hold on this matter as it would be asked, if it were placed."""
        return Hold("", HoldState.ACTIVE, told, self._own_mailboxes(told.custodians))

    def all(self, connection: Connection) -> tuple[Hold, ...]:
        """The holds in force. Raises ``TamperedError`` when rows and audit log disagree about which they are."""
        holds = self.recorded(connection)
        missing = _by_the_log(connection) - {hold.id for hold in holds}
        if missing:
            raise TamperedError(
                f"hold {min(missing)} was placed and never released, and its row does not say so",
                fix="Restore the row from a backup. Until then nothing is destroyed.",
            )
        return holds

    def recorded(self, connection: Connection) -> tuple[Hold, ...]:
        """The holds in force by their rows alone: enough for whoever adds to a hold, not for whoever destroys."""
        records = hold_records.all_holds(connection)
        return tuple(self.hold_of(record) for record in records if record.state.holds)

    def findings(
        self, connection: Connection, holds: Sequence[Hold], message: MessageId, evidence: Evidence
    ) -> tuple[HoldFinding, ...]:
        """What each of these holds says of a message: one that came under a hold stays under it."""
        if not holds:
            return ()
        joined = {held.hold for held in hold_records.holds_of(connection, message)}
        return tuple(HoldFinding(hold.id, hold.id in joined or covers(hold, evidence)) for hold in holds)

    def join(
        self, connection: Connection, arrived: Mapping[MessageId, Evidence], *, now: datetime
    ) -> dict[MessageId, tuple[str, ...]]:
        """Let messages that came in come under every hold that covers them, or may; answers which, for each."""
        holds = self.recorded(connection)
        return {message: self._join(connection, holds, message, evidence, now) for message, evidence in arrived.items()}

    def _join(
        self, connection: Connection, holds: Sequence[Hold], message: MessageId, evidence: Evidence, now: datetime
    ) -> tuple[str, ...]:
        covering = [
            finding for finding in self.findings(connection, holds, message, evidence) if finding.covers is not False
        ]
        for finding in covering:
            hold_records.join(
                connection, finding.hold, [message], now=now, at_placement=False, is_certain=finding.covers is True
            )
        return tuple(finding.hold for finding in covering)


def _by_the_log(connection: Connection) -> set[str]:
    entries = audit_trail.of_events(connection, (PLACED, RELEASED))
    released = {entry.object for entry in entries if entry.event == RELEASED}
    return {entry.object for entry in entries if entry.event == PLACED} - released
