"""Replays a ledger over older rows and keys: what was disposed of dies again, what is held is held again.

For a restore, while nothing else works on the data. ``docs/formats/ledger.md`` says the steps. Each is one transaction
or can be done again: a replay that was cut short anywhere is run again and comes to the same end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection

from archive import archive_records, decommission, disposal_records, disposals, hold_records
from archive.certification import destroyed_records
from archive.disposal_certificate import merkle_root
from archive.disposal_records import DisposalState, ItemState
from archive.hold_records import HeldMessage, HoldRecord
from archive.holds import RELEASE_REQUESTED
from archive.ledger_page import DisposalOnRecord, Ledger, hold_stage
from archive.legal_hold import HoldState
from archive.living_holds import PLACED, RELEASED
from archive.verify_certificate import COMPLETED
from mailstore import audit_trail, message_records
from mailstore.audit_entry import AuditFact, Detail
from mailstore.database import Database
from mailstore.destruction import Destruction
from mailstore.failpoint import reached
from mailstore.keystore import Destroyed, Keystore
from mailstore.message import MessageId
from mailstore.object_store import ObjectStore
from mailstore.part_records import PartLinks
from mailstore.wall_clock import Clock

REPLAYED = "ledger.replayed"
DESTROYED_AGAIN = "message.destroyed"
SYSTEM = "system"
AT_ONCE = 200

_MARK: Detail = {"replayed": 1}
_Thing = TypeVar("_Thing")


@dataclass(frozen=True)
class Replayed:
    """What a replay found newer than the rows and the keys. ``destroyed`` messages were in the rows again.

    ``withdrawn`` counts what was put forward or approved by these rows and had not begun to destroy.
    """

    keys: int = 0
    destroyed: int = 0
    disposals: int = 0
    holds: int = 0
    withdrawn: int = 0


class LedgerReplay:
    """Replays over one data directory that nobody else works on."""

    def __init__(
        self,
        database: Database,
        keystore: Keystore,
        spool_directory: Path,
        objects: ObjectStore,
        *,
        links: PartLinks,
        clock: Clock,
    ) -> None:
        self._database = database
        self._keystore = keystore
        self._destruction = Destruction(database, keystore, spool_directory, objects, links=links, clock=clock)
        self._clock = clock

    def replay(self, ledger: Ledger) -> Replayed:
        """Do as the module says. Raises ``StorageUnavailableError`` when a step could not be done: run it again."""
        put = sum(self._put_disposal(each) for each in ledger.disposals.values())
        reached("ledger_replay.after_disposals")
        certificates = _certificates(ledger)
        keys = destroyed = 0
        for some in _batches(self._alive_again(ledger)):
            keys += len(some)
            destroyed += self._destroy(some, ledger, certificates)
            reached("ledger_replay.after_destruction")
        self._destruction.finish()
        holds = sum(self._put_hold(each) for each in ledger.holds.values())
        for held in _batches(ledger.held.values()):
            self._put_held(held)
        reached("ledger_replay.after_holds")
        done = Replayed(keys, destroyed, put, holds, self._withdraw_pending())
        with self._database.write() as connection:
            audit_trail.append(
                connection, [AuditFact(REPLAYED, SYSTEM, "appliance", vars(done))], now=self._clock.now()
            )
        return done

    def _withdraw_pending(self) -> int:
        """Older rows do not know who took back what since: two persons decide again on all that had not begun."""
        pending = (DisposalState.PROPOSED, DisposalState.APPROVED)
        with self._database.write() as connection:
            found = [each.id for each in disposal_records.all_disposals(connection) if each.state in pending]
            for disposal in found:
                disposal_records.change(connection, disposal, state=DisposalState.WITHDRAWN)
            facts = [AuditFact(disposals.WITHDRAWN, SYSTEM, disposal, _MARK) for disposal in found]
            ending = decommission.standing(connection)
            if ending is not None and ending.begun is None:
                facts.append(AuditFact(decommission.WITHDRAWN, SYSTEM, ending.id, _MARK))
            audit_trail.append(connection, facts, now=self._clock.now())
        return len(facts)

    def _put_disposal(self, told: DisposalOnRecord) -> bool:
        """False when the rows are as far."""
        record = told.record
        with self._database.write() as connection:
            found = disposal_records.find(connection, record.id)
            if found is not None:
                items = tuple(disposal_records.items(connection, record.id))
                certificate = disposal_records.certificate_of(connection, record.id)
                if DisposalOnRecord(found, items, certificate).stage >= told.stage:
                    return False
            disposal_records.put(connection, record, told.items)
            if told.certificate and disposal_records.certificate_of(connection, record.id) is None:
                disposal_records.insert_certificate(connection, told.certificate)
            self._say(connection, record.id, _facts_of_disposal(told))
        return True

    def _alive_again(self, ledger: Ledger) -> Iterator[MessageId]:
        """What the ledger calls dead and rows or keys do not."""
        for some in _batches(sorted(dead_by(self._database, ledger))):
            with self._database.read() as connection:
                messages = {each.id for each in message_records.stored_many(connection, some)}
            for each in some:
                if each in messages or not self._keystore.is_destroyed(each):
                    yield each

    def _destroy(self, dead: Sequence[MessageId], ledger: Ledger, certificates: Mapping[MessageId, str]) -> int:
        """Answers how many of them the rows had again."""
        with self._database.read() as connection:
            back = [each.id for each in message_records.stored_many(connection, dead)]
        self._destroy_keys({each: ledger.destroyed[each] for each in dead})
        reached("ledger_replay.after_keys")
        for certificate in sorted({certificates.get(each, "") for each in back}):
            some = [each for each in back if certificates.get(each, "") == certificate]
            self._destruction.destroy(some, certificate=certificate, forget=self._forget)
        with self._database.write() as connection:
            unsaid = [
                each for each in dead if each in certificates and not message_records.is_disposed(connection, each)
            ]
            for each in unsaid:
                message_records.tombstone(
                    connection, [each], certificate=certificates[each], now=ledger.destroyed[each]
                )
        return len(back)

    def _destroy_keys(self, dead: Mapping[MessageId, datetime]) -> None:
        """Those that have a key die with proof; the others are marked, so that none takes a key again."""
        back = [each for each in dead if self._keystore.has_key(each)]
        for at in sorted({dead[each] for each in back}):
            self._keystore.destroy([each for each in back if dead[each] == at], at=at)
        gone = [each for each in dead if each not in set(back)]
        self._keystore.adopt(marks=[Destroyed(each, dead[each], is_proved=True) for each in gone])

    def _forget(self, connection: Connection, messages: Sequence[MessageId]) -> None:
        """Remove the archive's own rows, and say in the log what died again."""
        for message in messages:
            archive_records.remove_entry(connection, message)
            hold_records.forget_message(connection, message)
        facts = [AuditFact(DESTROYED_AGAIN, SYSTEM, message, _MARK) for message in messages]
        audit_trail.append(connection, facts, now=self._clock.now())

    def _put_hold(self, told: HoldRecord) -> bool:
        """False when the rows are as far. What is newer than the rows counts as not held against all mail yet."""
        with self._database.write() as connection:
            found = hold_records.find(connection, told.id)
            if found is not None and hold_stage(found) >= hold_stage(told):
                return False
            evaluated_at = found.evaluated_at if found else None
            if not told.state.holds:
                evaluated_at = told.evaluated_at
            put = replace(told, evaluated_at=evaluated_at)
            if put == found:
                return False
            hold_records.put(connection, put)
            self._say(connection, told.id, _facts_of_hold(told))
        return True

    def _put_held(self, held: Sequence[HeldMessage]) -> None:
        """Messages that came back come back under their holds."""
        with self._database.write() as connection:
            here = message_records.known_ids(connection, [each.message for each in held])
            hold_records.put_held(connection, [each for each in held if each.message in here])

    def _say(self, connection: Connection, object_: str, facts: Iterable[AuditFact]) -> None:
        """Into the log, what it does not say yet: whoever reads rows holds them against it."""
        said = {entry.event for entry in audit_trail.about(connection, object_)}
        audit_trail.append(connection, [fact for fact in facts if fact.event not in said], now=self._clock.now())


def dead_by(database: Database, ledger: Ledger) -> dict[MessageId, datetime]:
    """What the ledger calls dead, but for parts and dictionaries that these rows know.

    Those go with the last message that needs them, here as ever: older rows may hold messages that need one which the
    newer ones had done without.
    """
    dead: dict[MessageId, datetime] = {}
    for some in _batches(sorted(ledger.destroyed)):
        with database.read() as connection:
            known = message_records.known_ids(connection, some)
            messages = {each.id for each in message_records.stored_many(connection, some)}
        dead.update({each: ledger.destroyed[each] for each in some if each in messages or each not in known})
    return dead


def _certificates(ledger: Ledger) -> dict[MessageId, str]:
    """Under which certificate each dead message stands."""
    dying = {ItemState.DESTROYING, ItemState.DESTROYED}
    return {
        item.message: str(each.record.certificate)
        for each in ledger.disposals.values()
        for item in each.items
        if item.state in dying and item.message in ledger.destroyed
    }


def _facts_of_disposal(told: DisposalOnRecord) -> Iterator[AuditFact]:
    record = told.record
    set_hash = record.set_hash.hex()
    yield AuditFact(disposals.APPROVED, str(record.approved_by), record.id, {"set_hash": set_hash, **_MARK})
    if record.state is DisposalState.COMPLETED:
        counts = Counter(item.state for item in told.items)
        dead = destroyed_records(told.items)
        detail: Detail = {
            "set_hash": set_hash,
            "count": counts[ItemState.DESTROYED],
            "kept": counts[ItemState.KEPT],
            **_MARK,
        }
        if dead:
            detail = {**detail, "certificate": str(record.certificate), "merkle_root": merkle_root(dead).hex()}
        yield AuditFact(COMPLETED, str(record.run_by), record.id, detail)


def _facts_of_hold(told: HoldRecord) -> Iterator[AuditFact]:
    yield AuditFact(PLACED, told.placed_by, told.id, _MARK)
    if told.release_requested_by is not None:
        yield AuditFact(RELEASE_REQUESTED, told.release_requested_by, told.id, _MARK)
    if told.state is HoldState.RELEASED:
        yield AuditFact(RELEASED, str(told.released_by), told.id, _MARK)


def _batches(things: Iterable[_Thing]) -> Iterator[list[_Thing]]:
    every = iter(things)
    while some := list(islice(every, AT_ONCE)):
        yield some
