"""Moves rows, and keys if asked, from files of the data directory to PostgreSQL, while no ``serve`` runs.

1. Mark the target as being moved to by this very directory, and make its tables. 2. Copy every row; 3. every key.
4. Read both sides again, prove every seal, compare. 5. Write it into the audit log. 6. Switch the settings file, in one
step: from here on the target counts. 7. Set the old row file aside, or erase it; erase the old keystore in any case,
for keys that die later must not live on in it. 8. Take the mark away.

A move that was cut off anywhere is gone on with by saying it again. Nobody can write the old rows meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice, zip_longest
from pathlib import Path
from typing import Final, TypeVar

from sqlalchemy import Column, Connection, MetaData, Table, Text, inspect, select

from appliance import birth_record, config, database_wiring, migration, schema
from appliance.data_directory import DataDirectory
from appliance.settings import DatabaseSettings, KeystoreSettings, Settings
from mailstore import audit_trail, database_copy, durable_file
from mailstore.audit_entry import AuditFact
from mailstore.database import Database
from mailstore.errors import NotFoundError, RefusedError, TamperedError
from mailstore.failpoint import reached
from mailstore.file_erasure import erased
from mailstore.key_hierarchy import KeyRing
from mailstore.keystore import Keystore

ASIDE: Final = ".moved"
KEYS_AT_ONCE: Final = 500
_TURN: Final = "-turn"
_FILES: Final = ("", "-wal", "-shm", _TURN)

Each = TypeVar("Each")

_MARKS = MetaData()
_mark = Table("move_mark", _MARKS, Column("directory", Text, primary_key=True))
"""Whose move this database is the target of: the seal of that directory's birth record."""


@dataclass(frozen=True)
class Moved:
    """What a move came to. ``old_rows`` is where the old file lies now; None when it was erased."""

    tables: int
    rows: int
    verified: int
    keys: int
    old_rows: Path | None


@dataclass(frozen=True)
class Move:
    """One move: from where, with which keys, and whom to tell how far it is."""

    data: DataDirectory
    settings: Settings
    ring: KeyRing
    tell: Callable[[str, int], None]

    def run(self, database: DatabaseSettings, keystore: KeystoreSettings, *, now: datetime, erases: bool) -> Moved:
        """Move to ``database``, and keys to ``keystore`` if that names a URL. The caller holds the process file.

        ``RefusedError`` when the rows are there already or the target holds anything else.
        """
        if self.settings.database.url:
            return self._gone_on_behind_switch(database, erases=erases)
        self._refuse_impossible(database, keystore)
        told = self._with_passwords(database, keystore)
        with database_wiring.rows(self.data, self.settings, self.ring.row_key) as source, source.write() as reading:
            schema.require(reading)
            with database_wiring.rows(self.data, told, self.ring.row_key) as target:
                self._mark(target)
                copied = database_copy.copy(source, reading, target, schema.METADATAS, self.tell)
                reached("database_move.after_rows")
                keys = self._move_keys(told) if keystore.url else 0
                reached("database_move.after_keys")
                self._record(target, copied.rows, keys, now)
                reached("database_move.after_record")
        self._switch(told)
        reached("database_move.after_switch")
        return self._finished(told, Moved(copied.tables, copied.rows, copied.verified, keys, None), erases=erases)

    def _gone_on_behind_switch(self, database: DatabaseSettings, *, erases: bool) -> Moved:
        """A move that was cut off when everything was there and verified: only old files and the mark are left."""
        settings, data = self.settings, self.data
        is_left = data.rows.exists() or (bool(settings.keystore.url) and data.keystore.exists())
        with database_wiring.rows(data, settings, self.ring.row_key) as target, target.read() as connection:
            is_left = is_left or inspect(connection).has_table(_mark.name)
            tables = [table for metadata in schema.METADATAS for table in metadata.sorted_tables]
            rows = sum(target.rows.extent(connection, table)[0] for table in tables)
        if not is_left or not database_wiring.is_same(database.url, settings.database.url):
            raise RefusedError("the rows are in PostgreSQL already", fix="move them with the server's own tools")
        return self._finished(settings, Moved(len(tables), rows, rows, 0, None), erases=erases)

    def _refuse_impossible(self, database: DatabaseSettings, keystore: KeystoreSettings) -> None:
        if keystore.url and self.settings.keystore.url:
            raise RefusedError("the keys are in PostgreSQL already", fix="leave out --keystore-to")
        database_wiring.parsed_url(database.url)
        other = keystore if keystore.url else self.settings.keystore
        database_wiring.refuse_one_for_both(database, other)

    def _with_passwords(self, database: DatabaseSettings, keystore: KeystoreSettings) -> Settings:
        """The settings as they will be; passwords that stood in URLs are in files already."""
        rows = database_wiring.with_password_file(self.data, database, self.data.database_password)
        keys = self.settings.keystore
        if keystore.url:
            keys = database_wiring.with_password_file(self.data, keystore, self.data.keystore_password)
        return replace(self.settings, database=rows, keystore=keys)

    def _mark(self, target: Database) -> None:
        mine = birth_record.verify(self.data.birth_record, row_key=self.ring.row_key).seal(self.ring.row_key)
        with target.write() as connection:
            there = inspect(connection).get_table_names()
            if there and (
                _mark.name not in there or list(connection.execute(select(_mark.c.directory)).scalars()) != [mine]
            ):
                raise RefusedError("the target database holds tables already", fix="name an empty database")
            if not there:
                _MARKS.create_all(connection)
                connection.execute(_mark.insert().values(directory=mine))
        reached("database_move.after_mark")
        migration.upgrade(target)
        reached("database_move.after_steps")

    def _move_keys(self, told: Settings) -> int:
        source = database_wiring.opened_keystore(self.data, self.settings)
        try:
            target = self._target_keystore(told, source)
            try:
                return _copy_keys(source, target, self.tell)
            finally:
                target.close()
        finally:
            source.close()

    def _target_keystore(self, told: Settings, source: Keystore) -> Keystore:
        """The keystore that an earlier run began, if it holds no key that died or changed since; else a new one."""
        try:
            begun = database_wiring.opened_keystore(self.data, told)
        except NotFoundError:
            return database_wiring.made_keystore(self.data, told.keystore)
        if _is_part_of(begun, source):
            return begun
        begun.unmake()
        begun.close()
        return database_wiring.made_keystore(self.data, told.keystore)

    def _record(self, target: Database, rows: int, keys: int, now: datetime) -> None:
        with target.write() as connection:
            fact = AuditFact("database.moved", "system", "appliance", {"rows": rows, "keys": keys})
            audit_trail.append(connection, [fact], now=now)

    def _switch(self, told: Settings) -> None:
        text = self.data.settings.read_text("utf-8")
        values = {
            "database.url": told.database.url,
            "database.password_file": told.database.password_file,
            "keystore.url": told.keystore.url,
            "keystore.password_file": told.keystore.password_file,
        }
        birth = birth_record.unverified(self.data.birth_record)
        changed = config.with_values(text, values)
        config.parse(changed, name=str(self.data.settings), is_loopback=birth.is_loopback)
        durable_file.replace(self.data.settings, changed.encode())

    def _finished(self, told: Settings, moved: Moved, *, erases: bool) -> Moved:
        finish(self.data, told, erases=erases)
        with database_wiring.rows(self.data, told, self.ring.row_key) as target, target.write() as connection:
            _unmark(connection)
        aside = self.data.moved_rows
        return replace(moved, old_rows=None if erases else aside)


def finish(data: DataDirectory, told: Settings, *, erases: bool) -> None:
    """Do away with files that the settings no longer name. Nothing to do: nothing is done."""
    if told.keystore.url:
        for path in _with_journals(data.keystore):
            erased(path)
        reached("database_move.after_keystore_file")
    if not told.database.url:
        return
    for path in _with_journals(data.rows):
        if erases or path.name.endswith(_TURN):
            erased(path)
            erased(aside_of(path))
        elif path.exists():
            path.rename(aside_of(path))
    durable_file.sync_directory(data.path)
    reached("database_move.after_row_file")


def aside_of(path: Path) -> Path:
    """Where a file lies that was set aside: beside itself."""
    return path.with_name(path.name + ASIDE)


def _unmark(connection: Connection) -> None:
    if inspect(connection).has_table(_mark.name):
        _mark.drop(connection)


def _with_journals(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in _FILES]


def _is_part_of(begun: Keystore, source: Keystore) -> bool:
    """True when all that was copied so far is still what the source says."""
    keys, marks = source.kept_keys(), source.marks()  # both sides are in one order, so one walk finds all
    return all(key in keys for key in begun.kept_keys()) and all(mark in marks for mark in begun.marks())


def _copy_keys(source: Keystore, target: Keystore, tell: Callable[[str, int], None]) -> int:
    """Copy what is not there yet, then compare all of it. Answers how many message keys there are."""
    for batches in _in_groups(source.batches()):
        target.adopt(batches=batches)
    reached("database_move.after_batches")
    done = 0
    for kept_keys in _in_groups(source.kept_keys()):
        target.adopt(kept_keys=kept_keys)
        reached("database_move.after_some_keys")
        done += len(kept_keys)
        tell("keys", done)
    for marks in _in_groups(source.marks()):
        target.adopt(marks=marks)
    noted = source.high_water()
    if noted is not None:
        target.set_high_water(noted)
    pairs = [
        zip_longest(source.batches(), target.batches()),
        zip_longest(source.kept_keys(), target.kept_keys()),
        zip_longest(source.marks(), target.marks()),
    ]
    if any(wanted != copied for pair in pairs for wanted, copied in pair):
        raise TamperedError("the keys are not the same on both sides", fix="move them again")
    return done


def _in_groups(each: Iterable[Each]) -> Iterator[list[Each]]:
    left = iter(each)
    while group := list(islice(left, KEYS_AT_ONCE)):
        yield group
