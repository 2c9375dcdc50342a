"""The backups of one appliance: made into its targets, one run of a kind at a time, and what is known of each target.

A directory that has been a target and has no record of it any more is a disk that is not mounted, or was emptied: it is
refused, never begun anew.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from appliance import backup_wiring, restore_rest
from appliance.backup_settings import BackupTargetSettings
from appliance.front_door_wiring import RANDOMNESS
from appliance.wiring import Appliance
from mailstore import audit_trail, backup_claim, backup_making, durable_file, key_copies
from mailstore.audit_entry import AuditFact
from mailstore.backup_catalogue import Catalogue
from mailstore.backup_listing import GenerationKind, Listing, Seen
from mailstore.backup_making import BackupPlace, GenerationMaker, Made, Tell
from mailstore.backup_memory import BackupMemory
from mailstore.backup_pace import BackupPace
from mailstore.backup_retention import BackupRetention
from mailstore.backup_target import BackupTarget
from mailstore.data_backup import DataBackup
from mailstore.errors import RefusedError, StorageUnavailableError
from mailstore.instants import instant_of, microseconds
from mailstore.key_copy import FOREVER, KeyCopy
from mailstore.keys_backup import KeysBackup
from mailstore.trusted_time import Trusted

KEYS_KEPT: Final = timedelta(days=30)
"""Keys that died are in no backup after this time: certificates of disposal say so."""

MADE: Final = "backup.made"
_ENDING: Final = ".sqlite3"


@dataclass(frozen=True)
class TargetAge:
    """When the newest backups into a target were made, as the appliance remembers: None when never."""

    name: str
    url: str
    data_as_of: datetime | None
    keys_looked_at: datetime | None


class Backups:
    """Makes backups of an open appliance."""

    def __init__(self, appliance: Appliance, *, pace: BackupPace | None = None, tell: Tell | None = None) -> None:
        self._appliance = appliance
        self._pace = pace or BackupPace()
        self._tell: Tell = tell or (lambda _what, _done, _of: None)
        self._folder = appliance.data.backup

    def make_data(self, told: BackupTargetSettings, *, with_waiting: bool = False) -> Made:
        """A backup of the data. ``with_waiting``: as ``backup_wiring.data_sources``.

        Raises ``StorageUnavailableError`` when the target or a source fails, ``TamperedError`` when the target is not
        as it was left, ``RefusedError`` when it is another practice's or another run is under way, and
        ``BeingRestoredError`` while mail is still being brought back from another backup.
        """
        restore_rest.require_whole(self._appliance.data, "a backup of the data")
        backup_wiring.keep_ledger(self._appliance)
        with self._place(told, GenerationKind.DATA) as place:
            sources = backup_wiring.data_sources(self._appliance, with_waiting=with_waiting)
            made = DataBackup(sources, self._maker(place, GenerationKind.DATA), self._tell).run()
            self._record(place, made)
            place.memory.note(made_data={"as_of": microseconds(made.generation.listing.as_of)})
            self._expire(place, made.generation.listing, self._data_kept)
        return made

    def make_keys(self, told: BackupTargetSettings, *, is_base: bool = False) -> Made | None:
        """A backup of the keys that changed; None when none did. Raises as ``make_data``."""
        backup_wiring.keep_ledger(self._appliance)
        with self._place(told, GenerationKind.KEYS) as place:
            now = self._appliance.clock.now()
            maker = self._maker(place, GenerationKind.KEYS)
            made = KeysBackup(backup_wiring.key_sources(self._appliance), maker).run(is_base=is_base)
            if made is not None and made.generation.listing.base == made.generation.listing.sequence:
                self._record(place, made)
            place.memory.note(looked_keys={"at": microseconds(now)})
            newest = self._catalogue(place.target, place.target_id).newest(GenerationKind.KEYS)
            if newest is not None:
                self._expire(place, newest.listing, KEYS_KEPT)
                self._register(place, told, shipped_at=newest.listing.made_at, now=now)
        return made

    def _register(self, place: BackupPlace, told: BackupTargetSettings, *, shipped_at: datetime, now: datetime) -> None:
        """Put down that keys lie there and until when: certificates of disposal tell it."""
        with self._appliance.database.read() as connection:
            found = key_copies.of_place(connection, place.target_id)
        is_fresh = found is not None and found.reached_at <= now < found.reached_at + key_copies.NOTED_AGAIN_AFTER
        if found and found.shipped_at >= shipped_at and is_fresh:
            return
        until = shipped_at + KEYS_KEPT if _removes_old_keys(place.target) else FOREVER
        name = told.name if told in self._appliance.settings.backup.target else place.target.url
        copy = KeyCopy(place.target_id, name, shipped_at, until, now)
        with self._appliance.database.write() as connection:
            key_copies.note(connection, copy)

    def ages(self) -> list[TargetAge]:
        """Of every target in the settings, as remembered here. The targets themselves are not asked."""
        return [self.age(told) for told in self._appliance.settings.backup.target]

    def opened(self, told: BackupTargetSettings) -> tuple[BackupTarget, Catalogue]:
        """A target to read, with its listings. ``RefusedError`` when it is nobody's or another practice's."""
        target = backup_wiring.target(self._appliance.data, told)
        record = backup_claim.found(target)
        if record is None:
            raise RefusedError(f"{target.url} holds no backups", fix="run: strongroom backup create --to TARGET")
        backup_claim.require(record, backup_claim.practice_of(self._appliance.ring.row_key), url=target.url)
        return target, self._catalogue(target, record.target)

    def remembered(self) -> Seen:
        """The newest generations that the appliance has made, by the ids of targets."""
        found = {}
        for path in self._memories():
            with closing(self._memory(path)) as memory:
                if heads := backup_making.known_heads(memory):
                    found[path.name.removesuffix(_ENDING)] = heads
        return found

    @contextmanager
    def _place(self, told: BackupTargetSettings, kind: GenerationKind) -> Iterator[BackupPlace]:
        target = backup_wiring.target(self._appliance.data, told)
        durable_file.make_directory(self._folder)
        known = self._known_as(target.url)
        if known and backup_claim.found(target) is None:
            raise StorageUnavailableError(
                f"{target.url} was a target of backups and holds no record of it any more",
                fix=f"mount the disk of the target; if it was emptied for good, remove {known[0]}",
            )
        practice = backup_claim.practice_of(self._appliance.ring.row_key)
        record = backup_claim.claimed(target, practice, randomness=RANDOMNESS)
        path = self._folder / f"{record.target}{_ENDING}"
        with self._alone(path, kind, target.url), closing(self._memory(path)) as memory:
            memory.note(place={"url": target.url})
            others = {other: heads for other, heads in self.remembered().items() if other != record.target}
            yield BackupPlace(target, record.target, memory, others)

    def _maker(self, place: BackupPlace, kind: GenerationKind) -> GenerationMaker:
        seals = backup_wiring.seals(self._appliance)
        return GenerationMaker(place, seals, kind, pace=self._pace, randomness=RANDOMNESS)

    def _record(self, place: BackupPlace, made: Made) -> None:
        listing = made.generation.listing
        detail = {"kind": listing.kind.value, "sequence": listing.sequence}
        with self._appliance.database.write() as connection:
            fact = AuditFact(MADE, "system", place.target_id, detail)
            audit_trail.append(connection, [fact], now=self._appliance.clock.now())

    @property
    def _data_kept(self) -> timedelta:
        return timedelta(days=self._appliance.settings.backup.data_keep_days)

    def _expire(self, place: BackupPlace, newest: Listing, keep: timedelta) -> None:
        """Remove what is too old, where that is for us to do, and while the time is beyond doubt."""
        if not place.target.may_remove:
            return
        with self._appliance.database.read() as connection:
            judgement = self._appliance.trusted_clock.judged(connection)
        if not isinstance(judgement, Trusted):
            return
        retention = BackupRetention(place.target, self._catalogue(place.target, place.target_id))
        retention.expire(newest.kind, keep=keep, now=judgement.now)
        if newest.kind is GenerationKind.DATA:
            retention.sweep(newest.kind, known=[digest for digest, _ in place.memory.pieces()])
            retention.sweep_ways_in(known={newest.ways_in})
            place.target.tidy(before=(judgement.now - timedelta(days=1)).timestamp())

    def _catalogue(self, target: BackupTarget, target_id: str) -> Catalogue:
        return Catalogue(target, target_id=target_id, audit_public=self._appliance.signer.audit_public)

    def age(self, told: BackupTargetSettings) -> TargetAge:
        """Of one target, as remembered here."""
        url = backup_wiring.target(self._appliance.data, told).url
        data: list[datetime] = []
        keys: list[datetime] = []
        for path in self._known_as(url):
            with closing(self._memory(path)) as memory:
                made, looked = memory.fact("made_data"), memory.fact("looked_keys")
            data += [] if made is None else [instant_of(int(made["as_of"]))]
            keys += [] if looked is None else [instant_of(int(looked["at"]))]
        return TargetAge(told.name, url, max(data, default=None), max(keys, default=None))

    def _known_as(self, url: str) -> list[Path]:
        """The memories of targets that lay at this place: several where disks take turns."""
        found = []
        for path in self._memories():
            with closing(self._memory(path)) as memory:
                place = memory.fact("place")
            if place is not None and place["url"] == url:
                found.append(path)
        return found

    def _memories(self) -> list[Path]:
        return sorted(self._folder.glob(f"*{_ENDING}")) if self._folder.is_dir() else []

    def _memory(self, path: Path) -> BackupMemory:
        return BackupMemory(path, self._appliance.ring.row_key)

    @contextmanager
    def _alone(self, memory: Path, kind: GenerationKind, url: str) -> Iterator[None]:
        """One run of a kind into a target at a time. The lock falls with the process that holds it."""
        descriptor = os.open(memory.with_suffix(f".{kind.value}-turn"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(descriptor, f"a backup of the {kind.value} into {url} is being made already")
            yield
        finally:
            os.close(descriptor)


def _removes_old_keys(target: BackupTarget) -> bool:
    """True where we remove them, or the place itself says that it does."""
    if target.may_remove:
        return True
    days = target.days_until_removed("keys/")
    return days is not None and days <= KEYS_KEPT.days


def _lock(descriptor: int, sentence: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise RefusedError(sentence, fix="wait until it is done") from error
