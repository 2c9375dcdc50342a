"""A restore, rehearsed: a sample of the mail in a backup is put together in a scratch place, compared, and opened.

1. Every piece that the newest generations need must be there, as long as it was written. 2. Rows are laid down in
scratch and proved. 3. The sealed bytes of a sample are laid beside them and held against the rows. 4. Its keys are
taken from the backup of the keys. 5. Each message is opened, in memory alone; no key of what the ledger calls dead may
be in the backup. What came of it is signed and written down.

Only sealed bytes ever lie in the scratch place, which is erased at the end. Nothing living is touched.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from pathlib import Path

from appliance.data_directory import DataDirectory
from appliance.front_door_wiring import RANDOMNESS
from appliance.long_work import LongWork
from appliance.restore_choice import Choice, Wish, choose
from appliance.wiring import Appliance
from archive.certification import PUBLIC_KEY_FILE
from archive.disposal_certificate import public_key_pem
from archive.drill_report import SALT_BYTES, DrilledGeneration, DrilledMessage, DrillReport
from mailstore import durable_file, message_pages, message_records, part_records, restore_laying
from mailstore.backup_contents import BackedFile
from mailstore.backup_listing import GenerationKind
from mailstore.backup_pack import Marks
from mailstore.database import Database, sqlite_url
from mailstore.dictionary_records import id_of
from mailstore.errors import StrongroomError, TamperedError, WrongKeyError
from mailstore.keystore import BatchOfKeys, KeptKey
from mailstore.keystore_sqlite import SqliteKeystore
from mailstore.message import ID_BYTES, MessageId, StoredMessage, identifier_from
from mailstore.message_keys import MessageKeys
from mailstore.object_store_local import LocalObjectStore
from mailstore.part_records import PartLinks
from mailstore.restore_plan import RestorePlan
from mailstore.restore_source import RestoreSource
from mailstore.retrieval import Retrieval
from mailstore.sealed_copies import copies_of, read_copy

ROWS = "rows.sqlite3"
SAMPLE = 25
STEPS = 5
_PROBLEM_CHARACTERS = 200
_NO_LISTING = "0" * 64


@dataclass(frozen=True)
class Drilled:
    """What a drill wrote."""

    report: DrillReport
    path: Path


@dataclass(frozen=True)
class _Keys:
    """Of the backup of the keys: what of it opens the sample, and how many messages have none."""

    batches: tuple[BatchOfKeys, ...]
    keys: tuple[KeptKey, ...]
    alive: frozenset[MessageId]


class Drill:
    """Rehearses a restore from one target of a living appliance."""

    def __init__(self, appliance: Appliance, source: RestoreSource, *, opened_with: str, work: LongWork) -> None:
        self._appliance = appliance
        self._source = source
        self._opened_with = opened_with
        self._work = work

    def run(self, sample: int = SAMPLE) -> Drilled:
        """Do it and write the report, whether it passed or not; a backup that is not what was written is a failure.

        Raises ``NotFoundError``, and as ``restore_choice.choose``, where there is nothing to rehearse with, and
        ``StorageUnavailableError`` when the target does not answer.
        """
        begun_at = self._appliance.clock.now()
        self._work.step(1, STEPS, "look whether every piece is there")
        try:
            found = self._rehearsed(sample)
        except (TamperedError, WrongKeyError) as error:
            found = _Found(problems=(error.message,))
        report = DrillReport(
            id=identifier_from(RANDOMNESS(ID_BYTES)),
            practice=self._appliance.settings.practice.name,
            target=self._source.record.target,
            opened_with=self._opened_with,
            begun_at=begun_at,
            ended_at=max(begun_at, self._appliance.clock.now()),
            data=self._told(GenerationKind.DATA, begun_at),
            keys=self._told(GenerationKind.KEYS, begun_at),
            missing_pieces=len(found.missing),
            in_backup=found.in_backup,
            without_key=found.without_key,
            sample=found.sample,
            salts=tuple(RANDOMNESS(SALT_BYTES) for _ in found.sample),
            pages=found.pages,
            destroyed=found.destroyed,
            with_key=found.with_key,
            problems=tuple(each[:_PROBLEM_CHARACTERS] for each in (*found.missing[:10], *found.problems)),
        )
        return Drilled(report, self._written(report))

    def _rehearsed(self, sample: int) -> _Found:
        choice = choose(self._source, self._source, Wish())
        missing = self._source.missing_pieces([choice.data, *self._source.catalogue.chain(choice.keys)])
        with self._scratch() as scratch:
            try:
                found = _Rehearsal(self._appliance, self._source, choice, scratch, self._work).run(sample)
            except TamperedError as error:
                found = _Found(problems=(error.message,))
        return replace(found, missing=tuple(missing), pages=len(choice.book), destroyed=len(choice.ledger.destroyed))

    def _told(self, kind: GenerationKind, begun_at: datetime) -> DrilledGeneration:
        """The newest generation; number 0 where its listing is not what was written, and nothing can be said of it."""
        try:
            generation = self._source.generation(kind, None)
        except TamperedError:
            generation = None
        if generation is None:
            return DrilledGeneration(0, begun_at, _NO_LISTING, 0, 0)
        listing = generation.listing
        return DrilledGeneration(
            listing.sequence, listing.as_of, generation.digest, len(listing.pieces), listing.size_bytes
        )

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        place = self._appliance.data.backup / "drill"
        shutil.rmtree(place, ignore_errors=True)
        durable_file.make_directory(place)
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _written(self, report: DrillReport) -> Path:
        """The report, its picture for people, and the key to check it with, beside the certificates of disposal."""
        from archive.drill_pdf import drill_pdf  # noqa: PLC0415 -- fonts and all, 25 MB that no other step needs

        signer = self._appliance.signer
        document = report.signed(signer)
        folder = self._appliance.data.certificates
        path = folder / f"drill-{report.ended_at:%Y-%m-%dT%H-%M-%S}Z.json"
        durable_file.make_directory(folder)
        durable_file.replace(folder / PUBLIC_KEY_FILE, public_key_pem(signer.certificate_public))
        durable_file.replace(path.with_suffix(".pdf"), drill_pdf(document))
        durable_file.replace(path, document)
        return path


@dataclass(frozen=True)
class _Found:
    """What a rehearsal came to; nothing where it did not come so far."""

    in_backup: int = 0
    without_key: int = 0
    with_key: int = 0
    sample: tuple[DrilledMessage, ...] = ()
    problems: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    pages: int = 0
    destroyed: int = 0


class _Rehearsal:
    """Steps 2 to 5, in a scratch place."""

    def __init__(
        self, appliance: Appliance, source: RestoreSource, choice: Choice, scratch: Path, work: LongWork
    ) -> None:
        self._appliance = appliance
        self._source = source
        self._choice = choice
        self._place = DataDirectory(scratch / "data")
        self._work = work
        self._plan = RestorePlan(scratch / "plan.sqlite3")

    def run(self, size: int) -> _Found:
        contents, source = self._choice.contents, self._source
        try:
            self._work.step(2, STEPS, "put the rows together")
            self._plan.add_places(source.places(contents))
            self._laid([each for each in contents.files if each.path == ROWS])
            database = Database(sqlite_url(self._place.rows), self._appliance.ring.row_key)
            try:
                return self._with_rows(database, size)
            finally:
                database.dispose()
        finally:
            self._plan.close()

    def _with_rows(self, database: Database, size: int) -> _Found:
        every = [message for page in message_pages.all_messages(database, lambda _count: None) for message in page]
        picked = secrets.SystemRandom().sample(every, min(size, len(every)))
        with database.read() as connection:
            stored = message_records.stored_many(connection, picked)
        self._work.step(3, STEPS, "lay down a sample of sealed mail")
        wanted = self._bytes_laid(database, stored)
        self._work.step(4, STEPS, "take the keys from the backup of the keys")
        keys = self._keys_of(set(wanted))
        self._work.step(5, STEPS, "open the sample")
        sample, problems = self._opened(database, stored, keys)
        dead = self._choice.ledger.destroyed
        return _Found(
            in_backup=len(every),
            without_key=sum(each not in keys.alive and each not in dead for each in every),
            with_key=sum(each in keys.alive for each in dead),
            sample=tuple(sample),
            problems=tuple(problems),
        )

    def _bytes_laid(self, database: Database, stored: Sequence[StoredMessage]) -> list[MessageId]:
        """Every id whose key the sample needs: messages, their shared parts, their dictionaries."""
        links = PartLinks(self._appliance.ring.archive_key, RANDOMNESS)
        with database.read() as connection:
            parts = [part for each in stored for part in links.of(connection, each.id)]
            shared = [part_records.part(connection, part) for part in dict.fromkeys(parts)]
            numbers = {each.object.dictionary for each in stored if each.object and each.object.dictionary}
            dictionaries = [id_of(connection, number) for number in sorted(numbers)]
        objects = [each.object for each in stored if each.object] + [part.object for part in shared]
        marks = Marks(self._choice.contents.mark_key)
        self._plan.want(restore_laying.wanted_of_objects(objects, marks))
        segments = {f"spool/{each.segment}" for each in stored if each.object is None}
        self._laid([each for each in self._choice.contents.files if each.path in segments])
        return [*(each.id for each in stored), *(MessageId(part) for part in parts), *dictionaries]

    def _laid(self, files: Sequence[BackedFile]) -> None:
        contents = self._choice.contents
        if self._plan.want(restore_laying.wanted_of_files(files)):
            raise TamperedError("a file of the backup is not whole: a part lies nowhere")
        restore_laying.lay(
            self._plan, self._source, self._place.path, mark_key=contents.mark_key, tell=self._work.bytes_done
        )
        restore_laying.prove_files(files, self._place.path)

    def _keys_of(self, wanted: set[MessageId]) -> _Keys:
        alive: set[MessageId] = set()
        kept: dict[MessageId, KeptKey] = {}
        batches: dict[bytes, BatchOfKeys] = {}
        for record in chain.from_iterable(map(self._source.key_records, self._choice.chain)):
            if isinstance(record, BatchOfKeys):
                batches[record.batch] = record
            elif isinstance(record, KeptKey):
                alive.add(record.message)
                if record.message in wanted:
                    kept[record.message] = record
            else:
                alive.discard(record.message)
                kept.pop(record.message, None)
        needed = {key.batch for key in kept.values()}
        return _Keys(
            tuple(batch for name, batch in batches.items() if name in needed), tuple(kept.values()), frozenset(alive)
        )

    def _opened(
        self, database: Database, stored: Sequence[StoredMessage], keys: _Keys
    ) -> tuple[list[DrilledMessage], list[str]]:
        """Each message read back from scratch and opened, in memory. One that fails hides no other."""
        objects = LocalObjectStore.made(self._place.objects)
        keystore = SqliteKeystore.create(self._place.keystore)
        try:
            keystore.adopt(batches=keys.batches, kept_keys=keys.keys)
            retrieval = Retrieval(
                database,
                MessageKeys(keystore, self._appliance.opener),
                self._place.spool,
                objects,
                randomness=RANDOMNESS,
                reads_second_copy=False,
            )
            looked = [self._looked_at(retrieval, objects, each) for each in stored]
        finally:
            keystore.close()
        return [each for each, _ in looked], [problem for _, problem in looked if problem]

    def _looked_at(
        self, retrieval: Retrieval, objects: LocalObjectStore, stored: StoredMessage
    ) -> tuple[DrilledMessage, str]:
        kept = stored.object
        digest, size = (kept.digest, kept.length) if kept else (stored.sealed_digest, stored.sealed_length)
        is_compared = is_opened = False
        problem = ""
        try:
            read_copy(copies_of(stored)[-1], spool_directory=self._place.spool, objects=objects)
            is_compared = True
            retrieval.content(stored.id)
            is_opened = True
        except StrongroomError as error:
            problem = f"message {stored.id}: {error.message}"
        return DrilledMessage(stored.id, digest, size, is_compared, is_opened), problem
