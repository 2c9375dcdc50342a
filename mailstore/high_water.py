"""Notices rows that were put back to an older state, before anything is cleared away for having no row.

The keystore lies in backups of its own and may be newer than the rows. It keeps a mark: how many audit entries there
were, and the hash of the last of them. Rows that do not hold that very entry in that very place are not the ones that
were seen; whatever then has no row may belong to mail that only the newer rows know of.
"""

from __future__ import annotations

from mailstore import audit_trail
from mailstore.database import Database
from mailstore.keystore import HighWater, Keystore


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
