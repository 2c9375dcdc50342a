"""A practice that backs up into a directory, and boxes on which nothing is left but that directory and a secret."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appliance.backup_settings import BackupTargetSettings
from appliance.backups import Backups
from appliance.data_directory import DataDirectory
from appliance.long_work import LongWork
from appliance.restore import Restore, RestoreOutcome
from appliance.restore_choice import Wish
from appliance.wiring import Appliance
from mailstore.backup_target_directory import DirectoryTarget
from mailstore.restore_source import RestoreSource
from mailstore.slot_key_file import KeyFile
from mailstore.wall_clock import SystemClock
from tests import lived_practice
from tests.lived_practice import LivedPractice, Told

NEWEST = Wish()


@dataclass
class RestoreRoom:
    """One practice, one target, and the key file as a person keeps it elsewhere."""

    folder: Path
    practice: LivedPractice = field(init=False)

    def __post_init__(self) -> None:
        if self.target.exists():
            self.practice = LivedPractice(self.folder / "data")
            return
        self.practice = lived_practice.founded(self.folder)
        self.target.mkdir()
        shutil.copy(self.practice.data.unlock_key, self.folder / "elsewhere.key")

    @property
    def target(self) -> Path:
        return self.folder / "target"

    @property
    def secret(self) -> KeyFile:
        return KeyFile(self.folder / "elsewhere.key")

    def back_up(self, *, data: bool = True, keys: bool = True, is_base: bool = False) -> None:
        told = BackupTargetSettings(name="here", url=str(self.target))
        with self.practice.opened() as appliance:
            backups = Backups(appliance)
            if data:
                backups.make_data(told)
            if keys:
                backups.make_keys(told, is_base=is_base)

    def source(self) -> RestoreSource:
        return RestoreSource.opened(DirectoryTarget(self.target), self.secret)

    def restore(self, name: str = "new", wish: Wish = NEWEST, *, objects_later: bool = False) -> RestoreOutcome:
        return self.restore_from(self.source(), name, wish, objects_later=objects_later)

    def restore_from(
        self, source: RestoreSource, name: str, wish: Wish, *, objects_later: bool = False
    ) -> RestoreOutcome:
        into = DataDirectory(self.folder / name)
        work = LongWork(lambda _line: None)
        place = BackupTargetSettings(name="here", url=str(self.target))
        restore = Restore(source, source, self.secret, into, SystemClock(), work, place)
        return restore.run(wish, objects_later=objects_later)

    def command(self, name: str, *words: str) -> Told:
        """What a command does in a directory that does not open by itself."""
        return LivedPractice(self.folder / name).ask("--key-file", str(self.secret.path), *words)

    def ask(self, name: str, *words: str) -> dict[str, Any]:
        """What a command answers in a restored directory."""
        return self.command(name, *words).json

    @contextmanager
    def opened(self, name: str = "new") -> Iterator[Appliance]:
        with Appliance.opened(DataDirectory(self.folder / name), key_file=self.secret.path) as appliance:
            yield appliance
