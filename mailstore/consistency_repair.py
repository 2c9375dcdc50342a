"""Mends what a check found, from the second copy and by the rules of the sweeps; a step at a time, each one audited.

Never touched is what would hide tampering: altered rows, the audit log, messages that are gone, keys that are gone.
For those a person restores a backup. Every repair looks again before it acts, and may be interrupted and repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from mailstore import audit_trail, message_records, outbox, part_records, spool
from mailstore.actor import SYSTEM
from mailstore.audit_entry import AuditFact
from mailstore.consistency_check import SENDING, WAITING, Stores
from mailstore.consistency_problem import Finding, Kind
from mailstore.database import Database
from mailstore.errors import DestroyedError, NotFoundError
from mailstore.failpoint import reached
from mailstore.high_water import HighWaterMark
from mailstore.keystore import BEYOND_ALL_IDS
from mailstore.message import MessageId, Route, StoredMessage
from mailstore.orphan_sweep import ORPHAN_AGE
from mailstore.sealed_copies import place_of
from mailstore.wall_clock import Clock

REPAIRED: Final = "check.repaired"

SWEEPS = frozenset({Kind.KEY_WITHOUT_MESSAGE, Kind.OBJECT_WITHOUT_MESSAGE, Kind.SEGMENT_WITHOUT_MESSAGE})

Mend = Callable[[Finding], bool]


@dataclass(frozen=True)
class Repair:
    """Mends findings. ``is_alone``: no other process works on this directory, so nothing is under way."""

    stores: Stores
    clock: Clock
    is_alone: bool

    def mended(self, finding: Finding) -> bool:
        """True when the finding is mended and the audit log says so; False when it is not ours to mend."""
        mend = self._mends().get(finding.kind)
        if mend is None or (finding.kind in SWEEPS and not self._may_sweep()) or not mend(finding):
            return False
        tell_repaired(self.stores.database, finding, now=self.clock.now())
        return True

    def _mends(self) -> Mapping[Kind, Mend]:
        return {
            Kind.COPY_MISSING: self._copy,
            Kind.COPY_ALTERED: self._copy,
            Kind.PART_BYTES_BAD: self._part,
            Kind.PROMOTION_NOT_QUEUED: self._promotion,
            Kind.DELIVERY_NOT_QUEUED: self._delivery,
            Kind.KEY_WITHOUT_MESSAGE: self._orphan_key,
            Kind.DISPOSED_KEY_BACK: self._disposed_key,
            Kind.DESTRUCTION_MARK_MISSING: self._disposed_key,
            Kind.OBJECT_WITHOUT_MESSAGE: self._orphan_object,
            Kind.SEGMENT_WITHOUT_MESSAGE: self._orphan_segment,
        }

    def _may_sweep(self) -> bool:
        """False when the rows were put back: what has no row may be the mail that came since (``high_water``)."""
        return HighWaterMark(self.stores.database, self.stores.keystore).keep()

    def _copy(self, finding: Finding) -> bool:
        """Read both copies once more; what is not whole is given up in favour of what is."""
        stored = self._stored(finding)
        if stored is None:
            return False
        state = self.stores.copies.state(stored)
        if not state.whole or not state.bad:
            return False
        for bad in state.bad:
            if bad.copy.is_in_store:
                self._object_withdrawn(stored)
            else:
                self._spool_copy_given_up(stored)
        return True

    def _object_withdrawn(self, stored: StoredMessage) -> None:
        is_as_read = self._is_withdrawn(stored)
        if is_as_read and stored.object_name is not None:  # else the spool may have let go: it is the only copy then
            self.stores.objects.delete(stored.object_name)
        reached("consistency_repair.after_bad_object")

    def _is_withdrawn(self, stored: StoredMessage) -> bool:
        """The spool's copy is the one that counts again, and is promoted anew under another name."""
        with self.stores.database.write() as connection:
            is_as_read = message_records.stored_many(connection, [stored.id]) == [stored]
            if is_as_read:
                message_records.set_withdrawn(connection, [stored.id])
                outbox.add(connection, outbox.Kind.PROMOTE, stored.id, None, self.clock.now())
        reached("consistency_repair.after_withdrawal")
        return is_as_read

    def _part(self, finding: Finding) -> bool:
        """Promoting one message anew that needs the part puts the part again, for all that do.

        The message's own object is whole and stays until the sweep: until then there is a second copy of it.
        """
        with self.stores.database.read() as connection:
            part = part_records.in_object(connection, finding.object)
            users = [] if part is None else self.stores.users_of_part(connection, part.id)
        if part is None or not any(self.stores.copies.part_findings(part)):
            return False
        return any(self._is_promoted_anew(message) for message in users)

    def _is_promoted_anew(self, message: MessageId) -> bool:
        """True when a message waits to be promoted from a copy in the spool that is whole."""
        try:
            with self.stores.database.read() as connection:
                stored = message_records.stored(connection, message)
        except (NotFoundError, DestroyedError):
            return False
        if not self.stores.keystore.has_key(message) or not any(
            not copy.is_in_store for copy in self.stores.copies.state(stored).whole
        ):
            return False
        return stored.object_name is None or self._is_withdrawn(stored)

    def _spool_copy_given_up(self, stored: StoredMessage) -> None:
        """Erased first: no row must forget a place where sealed bytes still lie.

        Under the lock nobody withdraws the object meanwhile, which would leave the message this copy alone.
        """
        place = place_of(stored)
        with self.stores.database.write() as connection:
            if place is not None and message_records.stored_many(connection, [stored.id]) == [stored]:
                spool.erase_range(self.stores.spool_directory, place)
                reached("consistency_repair.after_erasure")
                message_records.set_released(connection, [stored.id])
        reached("consistency_repair.after_release")

    def _promotion(self, finding: Finding) -> bool:
        message = MessageId(finding.message)
        with self.stores.database.write() as connection:
            found = message_records.stored_many(connection, [message])
            is_queued = bool(outbox.work_on(connection, [message], [outbox.Kind.PROMOTE]))
            if found and found[0].object_name is None and not is_queued:
                outbox.add(connection, outbox.Kind.PROMOTE, message, None, self.clock.now())
        reached("consistency_repair.after_queued")
        return bool(found)

    def _delivery(self, finding: Finding) -> bool:
        message, position = MessageId(finding.message), finding.position
        if position is None:
            return False
        with self.stores.database.write() as connection:
            row = message_records.recipient_row(connection, message, position)
            is_queued = any(at == position for _, _, at in outbox.work_on(connection, [message], SENDING))
            if row.state in WAITING and not is_queued:
                kind = outbox.Kind.NOTIFY if row.route is Route.PORTAL else outbox.Kind.DELIVER
                outbox.add(connection, kind, message, position, self.clock.now())
        reached("consistency_repair.after_queued")
        return True

    def _orphan_key(self, finding: Finding) -> bool:
        """As the sweep does it: under the lock that writes rows, and only a key that is old enough."""
        message, before = MessageId(finding.message), self.clock.now() - ORPHAN_AGE
        old = self.stores.keystore.messages_keyed_before(before, since=message[:-1], until=f"{message}{BEYOND_ALL_IDS}")
        if message not in set(old):
            return False
        with self.stores.database.write() as connection:
            if message_records.known_ids(connection, [message]):
                return False
            self.stores.keystore.destroy([message], at=self.clock.now())
        reached("consistency_repair.after_key")
        return True

    def _disposed_key(self, finding: Finding) -> bool:
        """Only what a sealed row says was disposed of, and of which no other row is left."""
        message = MessageId(finding.message)
        with self.stores.database.write() as connection:
            is_here = bool(message_records.known_ids(connection, [message]))
            if is_here or not message_records.is_disposed(connection, message):
                return False
            self.stores.keystore.destroy([message], at=self.clock.now())
        reached("consistency_repair.after_key")
        return True

    def _orphan_object(self, finding: Finding) -> bool:
        """Only while nothing else works here: an object without a row may be one that is just being promoted."""
        if not self.is_alone:
            return False
        with self.stores.database.write() as connection:
            if message_records.known_objects(connection, [finding.object]):
                return False
            self.stores.objects.delete(finding.object)
        reached("consistency_repair.after_orphan")
        return True

    def _orphan_segment(self, finding: Finding) -> bool:
        directory = self.stores.spool_directory
        with self.stores.database.write() as connection:
            is_named = bool(message_records.in_segment(connection, finding.object, limit=1))
            if is_named or not spool.is_closed(directory, finding.object):
                return False
            spool.release(directory, finding.object)
        reached("consistency_repair.after_segment")
        return True

    def _stored(self, finding: Finding) -> StoredMessage | None:
        """The row as it is now; None when the message is gone by now."""
        try:
            with self.stores.database.read() as connection:
                return message_records.stored(connection, MessageId(finding.message))
        except (NotFoundError, DestroyedError):
            return None


def tell_repaired(database: Database, finding: Finding, *, now: datetime) -> None:
    """Say in the audit log what was mended."""
    fact = AuditFact(REPAIRED, SYSTEM.account, finding.object, {"kind": finding.kind.value})
    with database.write() as connection:
        audit_trail.append(connection, [fact], now=now)
