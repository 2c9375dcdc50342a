"""Carries out an approved disposal. The only room that may destroy.

1. Hold the disposal, its approval, the holds and the schedule against the audit log, and the log against itself.
2. For some records at a time: mark the intent. Open them and ask schedule and holds again.
3. Under the write lock: ask holds and schedule a last time, and destroy the keys before the lock is given up. A hold
   that was placed a moment before is seen; one placed a moment later finds no such message (promise I3).
4. Destroy what the keys left behind, and the rows, and say so in the audit log. Take the messages out of the index.
5. Prove that nothing is left. 6. Complete, say so in the ledger, and certify: what a certificate says is dead stays
   dead in a restore.

A crash anywhere is mended by running it again: what has begun to die is finished, what has not is asked again, and
every record that died is on exactly one certificate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

from sqlalchemy import Connection

from archive import archive_records, decision_time, disposal_records, hold_records
from archive.certification import Certification, destroyed_records
from archive.disposal_certificate import SALT_BYTES, merkle_root
from archive.disposal_decision import Decision, Dispose, Keep, Why, set_hash
from archive.disposal_records import DisposalItem, DisposalRecord, DisposalState, ItemState
from archive.disposals import APPROVED, WrongDisposalStateError
from archive.due_records import DueRecords, Rules
from archive.ledger_book import KeepLedger
from archive.legal_hold import Evidence
from archive.object_guarding import ObjectGuarding
from archive.query_conditions import AnyOf, IdIs
from archive.search_index import SearchIndex
from archive.two_persons import KEEPERS, require_role
from archive.verify_certificate import COMPLETED
from mailstore import audit_trail, message_records
from mailstore.actor import Actor
from mailstore.audit_entry import AuditFact, Detail
from mailstore.database import Database
from mailstore.destruction import Destruction
from mailstore.errors import ObjectLockedError, RefusedError, StorageUnavailableError, TamperedError
from mailstore.failpoint import reached
from mailstore.keystore import Keystore
from mailstore.message import ID_BYTES, MessageId, StoredMessage, identifier_from
from mailstore.object_store import ObjectStore
from mailstore.part_records import PartLinks
from mailstore.sealed_format import Randomness
from mailstore.trusted_clock import TrustedClock
from mailstore.wall_clock import Clock

RUN = "disposal.run"
DESTROYED = "message.destroyed"

OPEN = frozenset({ItemState.LISTED, ItemState.DESTROYING})

AT_ONCE = 50
"""Records that one turn of the write lock destroys: short enough for mail to be accepted in between."""

Progress = Callable[[int, int], None]
"""Told how many records were dealt with, and of how many."""


class CoolingOffError(RefusedError):
    """The time in which an approval can be thought over has not passed."""

    code = "cooling_off"


@dataclass(frozen=True)
class KeptRecord:
    """A record of the set that stays, and why."""

    message: MessageId
    why: Why


@dataclass(frozen=True)
class RunOutcome:
    """What a run did. ``certificate`` is the path of the JSON; None when nothing was destroyed."""

    disposal: str
    destroyed: int
    kept: tuple[KeptRecord, ...]
    certificate: Path | None


class DisposalRun:
    """Runs disposals, and goes on with those that were interrupted."""

    def __init__(
        self,
        *,
        database: Database,
        keystore: Keystore,
        spool_directory: Path,
        objects: ObjectStore,
        links: PartLinks,
        index: SearchIndex,
        due_records: DueRecords,
        guarding: ObjectGuarding,
        certification: Certification,
        clock: Clock,
        trusted_clock: TrustedClock,
        randomness: Randomness,
        keep_ledger: KeepLedger,
        refuse_copies: Callable[[], None],
    ) -> None:
        self._database = database
        self._keystore = keystore
        self._destruction = Destruction(database, keystore, spool_directory, objects, links=links, clock=clock)
        self._index = index
        self._due_records = due_records
        self._guarding = guarding
        self._certification = certification
        self._clock = clock
        self._trusted_clock = trusted_clock
        self._randomness = randomness
        self._keep_ledger = keep_ledger
        self._refuse_copies = refuse_copies

    def run(self, actor: Actor, disposal: str, progress: Progress | None = None) -> RunOutcome:
        """Destroy what was approved and may still go; certify it. Safe to call again at any time.

        Raises ``CoolingOffError``, ``WrongDisposalStateError``, ``TamperedError`` when anything on record does not
        agree with the audit log, ``StorageUnavailableError`` when a step could not be done or proved, and whatever
        ``refuse_copies`` says of keys that would outlive their destruction.
        """
        require_role(actor, KEEPERS)
        self._refuse_copies()
        self._certification.refuse_damaged_log()
        record = self._begun(actor, disposal)
        if record.state is DisposalState.RUNNING:
            self._destroy_all(actor, record, progress)
            record = self._completed(actor, record)
        self._keep_ledger()
        path = self._certification.certify(record) if record.certificate else None
        self._keep_ledger()
        return self._outcome(record, path)

    def _begun(self, actor: Actor, disposal: str) -> DisposalRecord:
        now = self._clock.now()
        with self._database.write() as connection:
            record = disposal_records.of(connection, disposal)
            self._refuse_unapproved(connection, record)
            trusted = decision_time.required(connection, self._trusted_clock)
            _refuse_early(record, min(now, trusted))
            if record.state is DisposalState.APPROVED:
                changes = {"run_by": actor.account, "started_at": now, "certificate": self._new_id()}
                disposal_records.change(connection, disposal, state=DisposalState.RUNNING, **changes)
                audit_trail.append(connection, [AuditFact(RUN, actor.account, disposal)], now=now)
            begun = disposal_records.of(connection, disposal)
        reached("disposal_run.after_begin")
        return begun

    def _refuse_unapproved(self, connection: Connection, record: DisposalRecord) -> None:
        """Row, items and audit log must tell of the same approval of the same set."""
        if record.state is DisposalState.PROPOSED:
            raise WrongDisposalStateError("this disposal was not approved", fix="Ask an approver to look at it.")
        if record.state is DisposalState.WITHDRAWN:
            raise WrongDisposalStateError("this disposal was withdrawn", fix="Propose what is due again.")
        items = disposal_records.items(connection, record.id)
        now_hash = set_hash((item.message, item.sealed_digest) for item in items)
        approvals = [entry for entry in audit_trail.about(connection, record.id) if entry.event == APPROVED]
        told = [(entry.actor, entry.detail.get("set_hash")) for entry in approvals]
        if told != [(record.approved_by, now_hash.hex())] or now_hash != record.set_hash:
            raise TamperedError("the disposal is not the one that was approved", fix="Propose the disposal again.")
        if record.approved_by == record.proposed_by:
            raise TamperedError("the disposal was approved by the one who proposed it")

    def _destroy_all(self, actor: Actor, record: DisposalRecord, progress: Progress | None) -> None:
        with self._database.read() as connection:
            items = disposal_records.items(connection, record.id)
        open_items = [item for item in items if item.state in OPEN]
        done = len(items) - len(open_items)
        locked: dict[MessageId, str] = {}
        for some in _batches(open_items):
            locked.update(self._destroy_some(actor, record, some))
            done += len(some)
            if progress:
                progress(done, len(items))
        self._destruction.finish()
        self._prove_absent(record)
        self._refuse_locked(record, locked)

    def _destroy_some(
        self, actor: Actor, record: DisposalRecord, items: Sequence[DisposalItem]
    ) -> Mapping[MessageId, str]:
        """Answers what the object store keeps, and why: of that nothing was destroyed, unless it was held anyway."""
        mine = self._intended(record, items)
        reached("disposal_run.after_intent")
        evidence = self._evidence_of(mine)
        locked = self._guarding.locked(stored for stored, _ in evidence.values())
        doomed = self._keys_destroyed(record, mine, evidence, locked)
        reached("disposal_run.after_keys")
        self._destruction.destroy(doomed, certificate=str(record.certificate), forget=self._forgetting(actor, record))
        reached("disposal_run.after_rows")
        self._index.remove(doomed, more_follow=True)
        reached("disposal_run.after_index")
        return locked

    def _refuse_locked(self, record: DisposalRecord, locked: Mapping[MessageId, str]) -> None:
        """A record that the store keeps stays open: the run is not complete before it could be destroyed whole."""
        waiting = [item.message for item in self._items(record) if item.state in OPEN and item.message in locked]
        if waiting:
            raise ObjectLockedError(
                f"{len(waiting)} records cannot be destroyed yet: {locked[waiting[0]]}",
                fix="Run the disposal again after that day, or let whoever runs the object store end the lock.",
            )

    def _intended(self, record: DisposalRecord, items: Sequence[DisposalItem]) -> list[DisposalItem]:
        """Mark what this disposal is about to destroy; what another one has begun with is left to it."""
        mine = []
        with self._database.write() as connection:
            for item in self._still_open(connection, record, items):
                if self._is_anothers(connection, record, item.message):
                    self._keep(connection, record, item.message, Keep(Why.GONE))
                    continue
                state = ItemState.DESTROYING
                disposal_records.change_item(connection, record.id, item.message, state=state)
                mine.append(item)
        return mine

    def _still_open(
        self, connection: Connection, record: DisposalRecord, items: Sequence[DisposalItem]
    ) -> list[DisposalItem]:
        """The items as they are now, without those that a second run of the same disposal has dealt with."""
        now = [disposal_records.item(connection, record.id, item.message) for item in items]
        return [item for item in now if item.state in OPEN]

    def _is_anothers(self, connection: Connection, record: DisposalRecord, message: MessageId) -> bool:
        begun = {ItemState.DESTROYING, ItemState.DESTROYED}
        about = disposal_records.items_about(connection, message)
        return any(disposal != record.id and item.state in begun for disposal, item in about)

    def _evidence_of(self, items: Sequence[DisposalItem]) -> dict[MessageId, tuple[StoredMessage, Evidence]]:
        """Open what can be opened, before any lock is taken. What is not here has no evidence."""
        with self._database.read() as connection:
            stored = message_records.stored_many(connection, [item.message for item in items])
        return {message.id: (message, self._due_records.evidence_of(message)) for message in stored}

    def _keys_destroyed(
        self,
        record: DisposalRecord,
        items: Sequence[DisposalItem],
        evidence: dict[MessageId, tuple[StoredMessage, Evidence]],
        locked: Mapping[MessageId, str],
    ) -> list[MessageId]:
        """Decide under the write lock and destroy the keys before it is given up; answers what died."""
        with self._database.write() as connection:
            rules = self._due_records.rules(connection)
            doomed = []
            for item in self._still_open(connection, record, items):
                decision = self._decision(connection, record, rules, item, evidence.get(item.message))
                match decision:
                    case Keep():
                        self._keep(connection, record, item.message, decision)
                    case Dispose() if item.message in locked:
                        continue
                    case Dispose() | None:
                        self._mark_dying(connection, record, item)
                        doomed.append(item.message)
            if doomed:
                self._keystore.destroy(doomed, at=self._clock.now())
            reached("disposal_run.before_lock_is_given_up")
        return doomed

    def _decision(
        self,
        connection: Connection,
        record: DisposalRecord,
        rules: Rules,
        item: DisposalItem,
        known: tuple[StoredMessage, Evidence] | None,
    ) -> Decision | None:
        """None for a record whose key an interrupted run of this same disposal has destroyed."""
        if self._keystore.is_destroyed(item.message):
            return None
        if known is None:
            return Keep(Why.GONE)
        message, evidence = known
        if message.sealed_digest != item.sealed_digest or message.received_at != item.received_at:
            return Keep(Why.CHANGED)
        if rules.schedule is None or rules.schedule.version != record.schedule:
            return Keep(Why.SCHEDULE_CHANGED)
        decision, _ = self._due_records.decision(connection, rules, message, evidence)
        if isinstance(decision, Dispose) and decision.category != item.category:
            return Keep(Why.CHANGED)
        return decision

    def _mark_dying(self, connection: Connection, record: DisposalRecord, item: DisposalItem) -> None:
        if item.salt is None:
            changes = {"salt": self._randomness(SALT_BYTES), "destroyed_at": self._clock.now()}
            disposal_records.change_item(connection, record.id, item.message, **changes)

    def _keep(self, connection: Connection, record: DisposalRecord, message: MessageId, keep: Keep) -> None:
        changes = {"state": ItemState.KEPT, "why": keep.why}
        disposal_records.change_item(connection, record.id, message, **changes)

    def _forgetting(self, actor: Actor, record: DisposalRecord) -> Callable[[Connection, Sequence[MessageId]], None]:
        def forget(connection: Connection, messages: Sequence[MessageId]) -> None:
            """Remove the archive's own rows, and say in the log what died."""
            living = [
                message
                for message in messages
                if disposal_records.item(connection, record.id, message).state is not ItemState.DESTROYED
            ]
            for message in living:
                archive_records.remove_entry(connection, message)
                hold_records.forget_message(connection, message)
                disposal_records.change_item(connection, record.id, message, state=ItemState.DESTROYED)
            detail: Detail = {"disposal": record.id}
            facts = [AuditFact(DESTROYED, actor.account, message, detail) for message in living]
            audit_trail.append(connection, facts, now=self._clock.now())

        return forget

    def _prove_absent(self, record: DisposalRecord) -> None:
        """Ask every place again for every record that died. Raises ``StorageUnavailableError`` naming what is left."""
        dead = [item.message for item in self._items(record) if item.state is ItemState.DESTROYED]
        if not dead:
            return
        self._index.remove(dead)
        found = self._index.search(AnyOf(tuple(IdIs(message) for message in dead)), limit=1)
        if found.total or not found.is_complete:
            raise StorageUnavailableError("the search index still holds what was destroyed", fix="Run it again.")
        for message in dead:
            problems = self._destruction.prove_absent(message)
            if problems:
                raise StorageUnavailableError(f"message {message} is not gone: {problems[0]}", fix="Run it again.")
        reached("disposal_run.after_proof")

    def _completed(self, actor: Actor, record: DisposalRecord) -> DisposalRecord:
        now, items = self._clock.now(), self._items(record)
        if any(item.state in OPEN for item in items):
            raise StorageUnavailableError("another run of this disposal is under way", fix="Run it again.")
        dead = destroyed_records(items)
        counts = Counter(item.state for item in items)
        detail: Detail = {
            "set_hash": record.set_hash.hex(),
            "count": counts[ItemState.DESTROYED],
            "kept": counts[ItemState.KEPT],
        }
        if dead:
            detail = {**detail, "certificate": str(record.certificate), "merkle_root": merkle_root(dead).hex()}
        changes = {} if dead else {"certificate": None}
        with self._database.write() as connection:
            if disposal_records.of(connection, record.id).state is DisposalState.RUNNING:
                state = DisposalState.COMPLETED
                disposal_records.change(connection, record.id, state=state, completed_at=now, **changes)
                audit_trail.append(connection, [AuditFact(COMPLETED, actor.account, record.id, detail)], now=now)
            completed = disposal_records.of(connection, record.id)
        reached("disposal_run.after_completion")
        return completed

    def _items(self, record: DisposalRecord) -> list[DisposalItem]:
        with self._database.read() as connection:
            return disposal_records.items(connection, record.id)

    def _outcome(self, record: DisposalRecord, certificate: Path | None) -> RunOutcome:
        items = self._items(record)
        kept = tuple(KeptRecord(item.message, Why(str(item.why))) for item in items if item.state is ItemState.KEPT)
        return RunOutcome(record.id, len(items) - len(kept), kept, certificate)

    def _new_id(self) -> str:
        return identifier_from(self._randomness(ID_BYTES))


def _refuse_early(record: DisposalRecord, now: datetime) -> None:
    """Raises ``CoolingOffError`` until the cooling-off is over; where there is none, no clock is asked."""
    if record.cooled_off_at is None:
        raise TamperedError("this disposal was approved without a cooling-off")
    if record.cooled_off_at != record.approved_at and now < record.cooled_off_at:
        raise CoolingOffError(
            f"this disposal may run from {record.cooled_off_at:%Y-%m-%d %H:%M} UTC on",
            fix="Wait until then, or let the approver think again.",
        )


def _batches(items: Sequence[DisposalItem]) -> Iterator[list[DisposalItem]]:
    every = iter(items)
    while some := list(islice(every, AT_ONCE)):
        yield some
