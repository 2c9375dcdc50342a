"""Backups that are made by themselves: data every day, keys every few minutes, into every target of the settings.

A target that fails keeps no other one waiting; its age is an alarm before long. Each round goes on where the last one
was cut short: what lies there is not sent again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from appliance.backup_settings import BackupTargetSettings
from appliance.backups import Backups, TargetAge
from appliance.wiring import Appliance
from mailstore import rows_snapshot
from mailstore.backup_pace import BackupPace
from mailstore.errors import StorageUnavailableError, StrongroomError

logger = logging.getLogger(__name__)


class BackupSchedule:
    """What is due of the backups of an open appliance."""

    def __init__(self, appliance: Appliance, *, should_stop: Callable[[], bool]) -> None:
        self._appliance = appliance
        self._should_stop = should_stop
        pace = BackupPace(appliance.settings.backup.bytes_per_second)
        self._backups = Backups(appliance, pace=pace, tell=self._told)

    def clear(self) -> None:
        """Erase what a process that was killed may have left of a copy of the rows."""
        rows_snapshot.cleared(self._appliance.data.backup / "work")

    def data(self) -> None:
        """Back up the data where it is due."""
        every = timedelta(hours=self._appliance.settings.backup.data_hours)
        for told, age in self._targets():
            if self._is_due(age.data_as_of, every):
                self._tried(told, "data", partial(self._data_into, told))

    def keys(self) -> None:
        """Back up the keys where that is due and any changed."""
        every = timedelta(minutes=self._appliance.settings.backup.keys_minutes)
        for told, age in self._targets():
            if self._is_due(age.keys_looked_at, every):
                self._tried(told, "keys", partial(self._keys_into, told))

    def due(self) -> list[str]:
        """The targets for which anything is due."""
        settings = self._appliance.settings.backup
        data, keys = timedelta(hours=settings.data_hours), timedelta(minutes=settings.keys_minutes)
        return [
            told.name
            for told, age in self._targets()
            if self._is_due(age.data_as_of, data) or self._is_due(age.keys_looked_at, keys)
        ]

    def _targets(self) -> Sequence[tuple[BackupTargetSettings, TargetAge]]:
        targets = self._appliance.settings.backup.target
        return list(zip(targets, self._backups.ages(), strict=True)) if targets else []

    def _is_due(self, last: datetime | None, every: timedelta) -> bool:
        """A clock that was set back must not put a backup off."""
        return last is None or not timedelta(0) <= self._appliance.clock.now() - last < every

    def _tried(self, told: BackupTargetSettings, kind: str, make: Callable[[], None]) -> None:
        if self._should_stop():
            return
        try:
            make()
        except (StrongroomError, OSError) as error:
            code = error.code if isinstance(error, StrongroomError) else StorageUnavailableError.code
            logger.exception("backup failed", extra={"target": told.name, "kind": kind, "code": code})

    def _data_into(self, told: BackupTargetSettings) -> None:
        made = self._backups.make_data(told)
        level = logging.ERROR if made.problems else logging.INFO
        extra = {"target": told.name, "kind": "data", "sent_bytes": made.sent_bytes, "lost_objects": len(made.problems)}
        logger.log(level, "backup made", extra=extra)

    def _keys_into(self, told: BackupTargetSettings) -> None:
        made = self._backups.make_keys(told)
        if made is not None:
            logger.info("backup made", extra={"target": told.name, "kind": "keys", "sent_bytes": made.sent_bytes})

    def _told(self, what: str, done: int, of: int) -> None:
        """Called all along: the place where a backup of hours is given up when the appliance ends."""
        del what, done, of
        if self._should_stop():
            raise StorageUnavailableError("the backup was cut short; the next one goes on where it was")
