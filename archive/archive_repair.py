"""Mends what a check of the archive found: work is put down again, the index follows the rows, holds list mail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from archive import archive_records, hold_records
from archive.archive_check import ArchiveStores
from archive.disposal_decision import classified
from archive.holds import Holds
from archive.index_care import IndexCare
from archive.legal_hold import covers
from mailstore import message_records, outbox
from mailstore.consistency_problem import Finding, Kind
from mailstore.consistency_repair import tell_repaired
from mailstore.failpoint import reached
from mailstore.message import MessageId
from mailstore.wall_clock import Clock

Mend = Callable[[Finding], bool]


@dataclass(frozen=True)
class ArchiveRepair:
    """Mends findings of ``archive_check``. Every repair may be interrupted and repeated."""

    stores: ArchiveStores
    holds: Holds
    care: IndexCare
    clock: Clock

    def mended(self, finding: Finding) -> bool:
        """True when the finding is mended and the audit log says so; False when it is not ours to mend."""
        mend = self._mends().get(finding.kind)
        if mend is None or not mend(finding):
            return False
        tell_repaired(self.stores.database, finding, now=self.clock.now())
        return True

    def _mends(self) -> Mapping[Kind, Mend]:
        return {
            Kind.CAPTURE_NOT_QUEUED: lambda finding: self._queued(finding, outbox.Kind.CAPTURE),
            Kind.INDEX_NOT_QUEUED: lambda finding: self._queued(finding, outbox.Kind.INDEX),
            Kind.INDEX_GAP: self._indexed_again,
            Kind.INDEX_SURPLUS: self._taken_out,
            Kind.INDEX_DAMAGED: self._rebuilt,
            Kind.HOLD_NOT_EVALUATED: self._evaluated,
            Kind.HOLD_COVERAGE_MISSING: self._listed,
            Kind.LOCK_MISSING: self._locked,
        }

    def _queued(self, finding: Finding, kind: outbox.Kind) -> bool:
        message = MessageId(finding.message)
        with self.stores.database.write() as connection:
            is_here = bool(message_records.known_ids(connection, [message]))
            if is_here and not outbox.work_on(connection, [message], [kind]):
                outbox.add(connection, kind, message, None, self.clock.now())
        reached("archive_repair.after_queued")
        return is_here

    def _indexed_again(self, finding: Finding) -> bool:
        message = MessageId(finding.message)
        with self.stores.database.write() as connection:
            is_there = archive_records.forget_index_of(connection, message) > 0
            if is_there and not outbox.work_on(connection, [message], [outbox.Kind.INDEX]):
                outbox.add(connection, outbox.Kind.INDEX, message, None, self.clock.now())
        reached("archive_repair.after_queued")
        return is_there

    def _taken_out(self, finding: Finding) -> bool:
        """What was disposed of goes out by itself; what cannot be named goes with the whole index."""
        if not finding.message:
            return self._rebuilt(finding)
        self.stores.opened().remove([MessageId(finding.message)])
        reached("archive_repair.after_removal")
        return True

    def _rebuilt(self, finding: Finding) -> bool:
        del finding
        self.care.rebuild()
        reached("archive_repair.after_rebuild")
        return True

    def _evaluated(self, finding: Finding) -> bool:
        del finding
        self.holds.evaluate_unfinished()
        reached("archive_repair.after_evaluation")
        return True

    def _locked(self, finding: Finding) -> bool:
        self.stores.guarding.tell([MessageId(finding.message)])
        return True

    def _listed(self, finding: Finding) -> bool:
        """Ask the hold once more about the message itself, and list it."""
        message, due_records = MessageId(finding.message), self.stores.due_records
        with self.stores.database.read() as connection:
            found = message_records.stored_many(connection, [message])
        evidence = [due_records.evidence_of(stored) for stored in found]
        with self.stores.database.write() as connection:
            rules = due_records.rules(connection)
            asked = [
                covers(hold, classified(told, rules.schedule))
                for told in evidence
                for hold in rules.holds
                if hold.id == finding.object
            ]
            is_covered = any(answer is not False for answer in asked)
            if is_covered and message_records.known_ids(connection, [message]):
                is_certain, now = any(asked), self.clock.now()
                hold_records.join(
                    connection, finding.object, [message], now=now, at_placement=False, is_certain=is_certain
                )
        reached("archive_repair.after_listing")
        return is_covered
