"""Restore drills that are made by themselves, from every target of the settings, and what the newest of each said.

The reports themselves are the memory: they are signed, so that none can be made up, edited or dated anew.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from appliance import backup_wiring, drill_wiring
from appliance.backup_settings import BackupTargetSettings
from appliance.long_work import LongWork
from appliance.wiring import Appliance
from archive import key_succession, verify_drill_report
from archive.disposal_certificate import public_key_pem
from mailstore import backup_claim
from mailstore.errors import NotFoundError, StorageUnavailableError, StrongroomError

logger = logging.getLogger(__name__)

_PATTERN = "drill-*.json"


@dataclass(frozen=True)
class PastDrill:
    """The newest drill of one target."""

    at: datetime
    passed: bool
    told: str


class DrillSchedule:
    """What is due of the drills of an open appliance."""

    def __init__(self, appliance: Appliance, *, should_stop: Callable[[], bool] = lambda: False) -> None:
        self._appliance = appliance
        self._should_stop = should_stop

    def run(self) -> None:
        """Rehearse a restore from every target for which it is due. One that fails keeps no other one waiting."""
        settings = self._appliance.settings.backup
        if not settings.drill_days:
            return
        for told in settings.target:
            if not self._should_stop() and self._is_due(told, timedelta(days=settings.drill_days)):
                self._tried(told)

    def due(self) -> list[str]:
        """The targets for which a drill is due."""
        settings = self._appliance.settings.backup
        every = timedelta(days=settings.drill_days)
        return [told.name for told in settings.target if settings.drill_days and self._is_due(told, every)]

    def newest(self, told: BackupTargetSettings) -> PastDrill | None:
        """The newest drill of a target that the practice signed; None when there was none."""
        record = backup_claim.found(backup_wiring.target(self._appliance.data, told))
        found = [each for target, each in self._reports() if record is not None and target == record.target]
        return max(found, key=lambda each: each.at, default=None)

    def _is_due(self, told: BackupTargetSettings, every: timedelta) -> bool:
        """Not before there is a backup; a clock that was set back must not put a drill off."""
        try:
            if backup_claim.found(backup_wiring.target(self._appliance.data, told)) is None:
                return False
            last = self.newest(told)
        except StrongroomError:
            return False
        return last is None or not timedelta(0) <= self._appliance.clock.now() - last.at < every

    def _tried(self, told: BackupTargetSettings) -> None:
        try:
            done = drill_wiring.drill(self._appliance, told, None, LongWork(self._line)).run()
        except NotFoundError:
            return
        except StrongroomError as error:
            logger.exception("drill failed", extra={"target": told.name, "code": error.code})
            return
        level = logging.INFO if done.report.passed else logging.ERROR
        logger.log(level, "drill made", extra={"target": told.name, "passed": done.report.passed})

    def _line(self, line: str) -> None:
        """Called all along: the place where a drill is given up when the appliance ends."""
        del line
        if self._should_stop():
            raise StorageUnavailableError("the drill was cut short; the next one begins anew")

    def _reports(self) -> Iterator[tuple[str, PastDrill]]:
        """Those that the practice signed, with the key of now or with one that it took the place of."""
        folder = self._appliance.data.certificates
        own = public_key_pem(self._appliance.signer.certificate_public)
        line = key_succession.keys(folder, own)
        let_go_at = key_succession.let_go_at(folder, line) if len(line) > 1 else {}
        for path in folder.glob(_PATTERN):
            data = path.read_bytes()
            key = key_succession.signer_of(data, line, otherwise=own)
            if verify_drill_report.problems_of(data, key):
                continue
            told = json.loads(data)
            at = datetime.fromisoformat(told["ended_at"])
            if key != own and at > let_go_at[key]:
                continue  # whoever kept a key that was let go makes no drill of today with it
            messages = told["messages"]
            words = f"{messages['opened']} of {messages['sampled']} messages opened"
            yield told["target"], PastDrill(at, bool(told["passed"]), words)
