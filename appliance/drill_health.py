"""How the restore drills do: the newest of every target, whether it passed, and whether it is too old."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from appliance.backup_health import BackupReport
from appliance.drill_schedule import DrillSchedule
from appliance.health_finding import Finding, State
from appliance.wiring import Appliance
from mailstore.errors import StrongroomError

SEE = "see docs/operations/restore.md"


def findings(appliance: Appliance) -> Iterator[Finding]:
    """``reports`` as lines of the doctor, and one where there is nothing to rehearse from."""
    if not appliance.settings.backup.target:
        yield Finding("drill", State.OFF, "there is no target of backups to rehearse a restore from")
    yield from (each.finding() for each in reports(appliance))


def reports(appliance: Appliance) -> Iterator[BackupReport]:
    """Every target of the settings. Overdue and failed are an alarm; that there is no target is told elsewhere."""
    most = timedelta(days=appliance.settings.backup.drill_alarm_days)
    schedule = DrillSchedule(appliance)
    for told in appliance.settings.backup.target:
        name, fix = f"drill {told.name}", f"run: sudo strongroom backup drill --from {told.name}; {SEE}"
        try:
            last = schedule.newest(told)
        except StrongroomError as error:
            yield BackupReport(name, "not looked at", cautions=(error.message,), fix=error.fix, is_unknown=True)
            continue
        if last is None:
            yield BackupReport(name, "not made yet", cautions=("no restore was ever rehearsed from here",), fix=fix)
            continue
        days = max(0, (appliance.clock.now() - last.at).days)
        failings = [] if last.passed else [f"the newest drill failed: {last.told}"]
        failings += [f"the newest drill is {days} days old"] if timedelta(days=days) > most else []
        yield BackupReport(name, f"{last.told}, {days} days ago", tuple(failings), fix=fix if failings else "")
