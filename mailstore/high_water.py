"""Notices rows that were put back to an older state, before anything is cleared away for having no row.

The keystore lies in backups of its own and may be newer than the rows. It keeps a mark: how many audit entries there
were, and the hash of the last of them. Rows that do not hold that very entry in that very place are not the ones that
were seen; whatever then has no row may belong to mail that only the newer rows know of. A person who knows that the
newer rows are gone for good accepts the older ones, and from then on what has no row is cleared away again.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from mailstore import audit_trail
from mailstore.audit_entry import AuditFact
from mailstore.database import Database
from mailstore.failpoint import reached
from mailstore.keystore import HighWater, Keystore
from mailstore.message import AccountId

ACCEPTED: Final = "rows.accepted"


class HighWaterMark:
    """The mark of one appliance. May be kept by several processes."""

    def __init__(self, database: Database, keystore: Keystore) -> None:
        self._database = database
        self._keystore = keystore

    def keep(self) -> bool:
        """Note how far the rows have come. False, and nothing is noted, when they were put back.

        Raises ``TamperedError`` for an audit entry that is not what was written.
        """
        noted = self._keystore.high_water()
        with self._database.read() as connection:
            if noted is not None and audit_trail.leaf_at(connection, noted.entries - 1) != noted.leaf:
                return False
            entries = audit_trail.size(connection)
            leaf = audit_trail.leaf_at(connection, entries - 1)
        if leaf is not None and (noted is None or entries > noted.entries):
            self._keystore.set_high_water(HighWater(entries, leaf))
        return True

    def accept(self, actor: AccountId, *, now: datetime) -> bool:
        """Go on with rows that were put back. The audit log says so first, and who did it.

        False, and nothing changes, when these are the newest rows that were seen.
        """
        noted = self._keystore.high_water()
        if noted is None or self.keep():
            return False
        with self._database.write() as connection:
            detail = {"entries": audit_trail.size(connection), "seen": noted.entries}
            [entry] = audit_trail.append(connection, [AuditFact(ACCEPTED, actor, "rows", detail)], now=now)
            leaf = audit_trail.leaf_at(connection, entry)
        reached("high_water.after_entry")
        if leaf is not None:
            self._keystore.take_high_water(HighWater(entry + 1, leaf))
        return True
