"""A whole appliance put together from nothing but backups and a secret, in a directory of its own.

1. Choose the generations and the newest ledger. 2. Lay down the keys and open them. 3. Lay down rows and files, and put
down which sealed mail they need. 4. Put the keystore together; what the ledger calls dead gets no key. 5. Replay the
ledger. 6. Hold everything against each other. 7. Put it in place: only from here on can it be started. 8. Lay down the
sealed mail (``restore_rest``), beside whatever was started meanwhile.

All but the last happens below ``.restoring`` in the new directory, with a plan beside it. Cut off anywhere, the same
command goes on. Objects and databases that lay on servers come to lie in files here: the copy shares nothing with the
appliance it was made from, and harms nothing should that one be alive. The search index begins empty; the worker fills
it once the mail is there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace

from appliance import (
    archive_wiring,
    birth_record,
    command_session,
    config,
    database_wiring,
    front_door_wiring,
    migration,
    object_store_wiring,
    restore_check,
    restore_choice,
    restore_objects,
    restore_place,
    restore_rest,
    restored_outbox,
)
from appliance.backup_settings import BackupTargetSettings
from appliance.data_directory import DataDirectory, RestoredDirectory
from appliance.front_door_wiring import RANDOMNESS
from appliance.long_work import LongWork
from appliance.restore_choice import Choice, Wish
from appliance.settings import Settings
from appliance.wiring import Appliance
from archive import ledger_replay
from archive.ledger_book import LedgerBook
from archive.ledger_replay import LedgerReplay, Replayed
from mailstore import (
    audit_trail,
    durable_file,
    key_custody,
    message_records,
    restore_keys,
    restore_laying,
)
from mailstore.audit_entry import AuditFact
from mailstore.consistency_problem import Finding
from mailstore.database import Database
from mailstore.errors import RefusedError, TamperedError
from mailstore.failpoint import reached
from mailstore.key_hierarchy import KeyRing
from mailstore.object_store import ObjectStore
from mailstore.part_records import PartLinks
from mailstore.restore_keys import RestoredKeys
from mailstore.restore_plan import RestorePlan
from mailstore.restore_source import ELSEWHERE, RestoreSource
from mailstore.slot_secret import SlotSecret
from mailstore.wall_clock import Clock
from portal import sessions

STEPS = 8
RESTORED = "appliance.restored"
NOT_CHECKED = (
    "rows, keys and log were not held against each other: serve does it once all mail is there; see the doctor"
)
_JOURNALS = ("", "-wal", "-shm")
_KEYS = "keys/"
_ROWS = "rows.sqlite3"
_STORE = "object_store.url"
_HERE = {_STORE: "", "database.url": "", "keystore.url": ""}


@dataclass(frozen=True)
class RestoreOutcome:
    """What a restore came to.

    ``without_key``: messages whose key is in none of these generations. ``missing``: objects that are in no backup.
    ``moved_here``: settings of places on servers that now lie in files. ``problems``: what the check found and left.
    ``may_arrive_twice``: copies that waited to be sent, and may have been since. ``objects_to_come``: what is not laid
    down yet, and is while the appliance works.
    """

    data: str
    as_of: str
    data_generation: int
    keys_generation: int
    messages: int
    keys: int
    keys_without_data: int
    disposed_again: int
    dead_keys: int
    holds_again: int
    withdrawn: int
    without_key: list[str]
    missing: list[str]
    moved_here: list[str]
    warnings: list[str]
    problems: list[str]
    may_arrive_twice: int = 0
    objects_to_come: int = 0
    bytes_to_come: int = 0


@dataclass(frozen=True)
class Restore:
    """One restore. ``into`` is absent, empty, or what an earlier run of the same restore left.

    ``place``: where ``source`` is, for the worker that may have to go on; None when it may not. ``keeps_store``: the
    mail lies in an object store on a server that outlived the box, and stays there. The copy then refuses to start
    until a person takes the store over, and nothing is written to it before.
    """

    source: RestoreSource
    keys_source: RestoreSource
    secret: SlotSecret = field(repr=False)
    into: DataDirectory
    clock: Clock
    work: LongWork = field(default_factory=LongWork)
    place: BackupTargetSettings | None = None
    keeps_store: bool = False

    @property
    def staged(self) -> DataDirectory:
        """Where everything lies until it may be started."""
        return RestoredDirectory.within(self.into)

    def run(self, wish: Wish, *, objects_later: bool = False) -> RestoreOutcome:
        """Do all steps; with ``objects_later`` but the sixth, and the last one, which is the running appliance's then.

        Raises ``RefusedError`` for a directory that is taken, and as ``restore_choice.choose``. ``TamperedError``
        names what is not what was written; ``StorageUnavailableError``: mend it and run it again.
        """
        with self._plan() as plan:
            noted = plan.fact("whole")
            is_checked = not objects_later
            outcome = (
                RestoreOutcome(**json.loads(noted)) if noted else self._made_ready(plan, wish, is_checked=is_checked)
            )
            self.work.step(7, STEPS, "put it in place")
            restore_place.put(self.staged, self.into)
            plan.hold_to("target", self.source.record.target)
            plan.let_kept()
            objects, size = plan.to_come()
            if objects and (objects_later or self.keeps_store):
                return replace(outcome, objects_to_come=objects, bytes_to_come=size)
            self.work.step(8, STEPS, "lay down sealed mail; strongroom serve may be started meanwhile")
            with restore_rest.turn(self.into):
                restore_rest.lay(self.into, plan, self.source, self.work.bytes_done)
        return outcome

    def _made_ready(self, plan: RestorePlan, wish: Wish, *, is_checked: bool) -> RestoreOutcome:
        """Steps 1 to 6, the last of them only where ``is_checked``."""
        self.work.step(1, STEPS, "choose what to restore")
        choice = self._chosen(plan, wish)
        self.work.step(2, STEPS, "lay down the keys")
        ring = self._keys_laid(choice)
        self.work.step(3, STEPS, "lay down rows and files")
        self._files_laid(plan, choice)
        settings = front_door_wiring.settings_of(self.staged)
        birth_record.verify(self.staged.birth_record, row_key=ring.row_key)
        with database_wiring.rows(self.staged, settings, ring.row_key) as database:
            migration.upgrade(database)
            restore_objects.put_down(plan, choice, database, self._kept_store(settings, ring))
            if self.place is not None:
                restore_rest.note_place(plan, self.place)
            self.work.step(4, STEPS, "put the keystore together")
            keys = self._keystore_made(plan, choice, database)
        alone = replace(settings, object_store=Settings().object_store)
        with Appliance.with_ring(self.staged, alone, ring) as appliance:
            self.work.step(5, STEPS, "replay the ledger of disposals and holds")
            replayed = self._replayed(plan, choice, appliance)
            problems: tuple[Finding, ...] = ()
            if is_checked:
                self.work.step(6, STEPS, "hold everything against each other")
                problems = restore_check.problems(appliance, self.work.things_done, is_alone=True)
            else:
                restore_check.owe(self.staged)
            outcome = self._outcome(plan, choice, appliance, keys, replayed)
            outcome = replace(outcome, problems=[each.problem for each in problems])
            if not is_checked:
                outcome = replace(outcome, warnings=[*outcome.warnings, NOT_CHECKED])
        plan.note("whole", json.dumps(asdict(outcome)))
        reached("restore.after_whole")
        return outcome

    def _outcome(
        self, plan: RestorePlan, choice: Choice, appliance: Appliance, keys: RestoredKeys, replayed: Replayed
    ) -> RestoreOutcome:
        with appliance.database.read() as connection:
            messages = message_records.count(connection)
        return RestoreOutcome(
            data=str(self.into.path),
            as_of=choice.as_of.isoformat(),
            data_generation=choice.data.listing.sequence,
            keys_generation=choice.keys.listing.sequence,
            messages=messages,
            keys=keys.kept,
            keys_without_data=keys.without_data,
            disposed_again=replayed.destroyed,
            dead_keys=keys.dead,
            holds_again=replayed.holds,
            withdrawn=replayed.withdrawn,
            without_key=list(restore_keys.without_key(appliance.keystore, appliance.database)),
            missing=_words(plan, restore_objects.MISSING),
            may_arrive_twice=int(plan.fact("may arrive twice") or 0),
            moved_here=_words(plan, "moved here"),
            warnings=list(choice.warnings),
            problems=[],
        )

    @contextmanager
    def _plan(self) -> Iterator[RestorePlan]:
        restore_place.claim(self.into)
        plan = RestorePlan(self.into.restore_plan)
        try:
            yield plan
        finally:
            plan.close()

    def _chosen(self, plan: RestorePlan, wish: Wish) -> Choice:
        """As asked; a restore that goes on keeps to the generations that it began with."""
        noted = {kind: plan.fact(kind) for kind in ("data", "keys")}
        kept = Wish(*(int(number) if number else None for number in noted.values()))
        choice = restore_choice.choose(
            self.source, self.keys_source, Wish(wish.data or kept.data, wish.keys or kept.keys)
        )
        plan.hold_to("target", self.source.record.target)
        plan.hold_to("target of the keys", self.keys_source.record.target)
        plan.hold_to("data", str(choice.data.listing.sequence))
        plan.hold_to("keys", str(choice.keys.listing.sequence))
        return choice

    def _keys_laid(self, choice: Choice) -> KeyRing:
        """Written anew whenever it is come by: they are few and small."""
        for path, content in choice.chain[-1].files:
            if path.startswith(_KEYS):
                target = self.staged.path / restore_laying.checked_path(path)
                durable_file.make_directory(target.parent)
                durable_file.replace(target, content)
        reached("restore.after_keys")
        return key_custody.unlock(self.staged.keys, self.secret)

    def _files_laid(self, plan: RestorePlan, choice: Choice) -> None:
        """Rows and files, proved by their digests; what lay on servers is told to lie here."""
        if plan.is_done("files"):
            return
        contents, source = choice.contents, choice.source
        for name in _JOURNALS:
            (self.staged.path / f"{_ROWS}{name}").unlink(missing_ok=True)
        plan.add_places(source.places(contents))
        lost = plan.want(restore_laying.wanted_of_files(contents.files))
        if lost:
            raise TamperedError(f"{lost[0].name} of the backup is not whole: a part lies nowhere", fix=ELSEWHERE)
        restore_laying.lay(plan, source, self.staged.path, mark_key=contents.mark_key, tell=self.work.bytes_done)
        restore_laying.prove_files(contents.files, self.staged.path)
        moved_here = self._settings_moved()
        self._ledger_laid(choice)
        for folder in self.staged.folders:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        plan.note("moved here", " ".join(moved_here))
        plan.note("files")
        reached("restore.after_files")

    def _kept_store(self, settings: Settings, ring: KeyRing) -> ObjectStore | None:
        if not self.keeps_store:
            return None
        if not settings.object_store.url:
            raise RefusedError("the objects of this appliance lay on its own disk", fix="restore without --keep-store")
        return object_store_wiring.server(self.staged, settings, ring.row_key)

    def _settings_moved(self) -> tuple[str, ...]:
        settings = front_door_wiring.settings_of(self.staged)
        away = {name: value for name, value in _HERE.items() if _setting(settings, name)}
        if self.keeps_store:
            away.pop(_STORE, None)
        if away:
            text = config.with_values(self.staged.settings.read_text("utf-8"), away)
            durable_file.replace(self.staged.settings, text.encode())
        return tuple(away)

    def _ledger_laid(self, choice: Choice) -> None:
        """The longest book, in the place of the one that was laid down with the files."""
        shutil.rmtree(self.staged.ledger, ignore_errors=True)
        durable_file.make_directory(self.staged.ledger)
        for name, page in choice.book.items():
            durable_file.write_new(self.staged.ledger / name, page)

    def _keystore_made(self, plan: RestorePlan, choice: Choice, database: Database) -> RestoredKeys:
        """Made anew unless it was made whole: a half one is not told from a whole one."""
        noted = plan.fact("keystore")
        if noted is not None:
            return RestoredKeys(*map(int, noted.split(" ")))
        for name in _JOURNALS:
            self.staged.keystore.with_name(self.staged.keystore.name + name).unlink(missing_ok=True)
        keystore = database_wiring.made_keystore(self.staged, Settings().keystore)
        try:
            dead = ledger_replay.dead_by(database, choice.ledger)
            made = restore_keys.restore(choice.keys_source, choice.chain, keystore, database, dead=dead)
        finally:
            keystore.close()
        plan.note("keystore", f"{made.kept} {made.without_data} {made.dead}")
        reached("restore.after_keystore")
        return made

    def _replayed(self, plan: RestorePlan, choice: Choice, appliance: Appliance) -> Replayed:
        noted = plan.fact("replayed")
        if noted is not None:
            return Replayed(*map(int, noted.split(" ")))
        links = PartLinks(appliance.ring.archive_key, RANDOMNESS)
        replay = LedgerReplay(
            appliance.database,
            appliance.keystore,
            self.staged.spool,
            appliance.objects,
            links=links,
            clock=self.clock,
        )
        done = replay.replay(choice.ledger)
        archive_wiring.intake(appliance).begin_index()
        waiting = restored_outbox.mark(appliance.database, appliance.retrieval, now=self.clock.now())
        detail = {
            "data": choice.data.listing.sequence,
            "keys": choice.keys.listing.sequence,
            "pages": len(choice.book),
            "waiting": waiting,
        }
        with appliance.database.write() as connection:
            # rows of a while ago bring back who was signed in then, those whose account was closed meanwhile too
            detail["sessions"] = sessions.end_everybodys(connection) + command_session.end_everybodys(connection)
            audit_trail.append(connection, [AuditFact(RESTORED, "system", "appliance", detail)], now=self.clock.now())
        self._book(appliance).keep()
        plan.note("may arrive twice", str(waiting))
        plan.note("replayed", f"{done.keys} {done.destroyed} {done.disposals} {done.holds} {done.withdrawn}")
        reached("restore.after_ledger")
        return done

    def _book(self, appliance: Appliance) -> LedgerBook:
        return LedgerBook(
            self.staged.ledger,
            database=appliance.database,
            keystore=appliance.keystore,
            signer=appliance.signer,
            clock=self.clock,
        )


def _setting(settings: Settings, dotted: str) -> str:
    section, _, name = dotted.partition(".")
    return str(getattr(getattr(settings, section), name))


def _words(plan: RestorePlan, fact: str) -> list[str]:
    return [word for word in (plan.fact(fact) or "").split(" ") if word]
