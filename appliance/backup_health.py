"""How the backups do: their age in every target, who removes old keys, and whether a fire leaves a way to open them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from appliance import backup_wiring, key_health
from appliance.backup_settings import BackupTargetSettings
from appliance.backups import KEYS_KEPT, Backups, TargetAge
from appliance.health_finding import Finding, State
from appliance.wiring import Appliance
from mailstore import key_custody, key_files
from mailstore.errors import StrongroomError
from mailstore.key_file_form import SLOTS
from mailstore.keys_backup import BASE_EVERY
from mailstore.trusted_time import TOLERANCE

SEE = "see docs/operations/backups.md"


@dataclass(frozen=True)
class BackupReport:
    """One target, or the backups as a whole. ``failings`` are an alarm, ``cautions`` are to be known.

    ``is_unknown``: it could not be looked at, which says nothing of how it does.
    """

    name: str
    told: str
    failings: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()
    fix: str = ""
    is_unknown: bool = False

    def finding(self) -> Finding:
        """The same as a line of the doctor."""
        state = State.FAIL if self.failings else State.WARN if self.cautions else State.OK
        told = "; ".join([self.told, *self.failings, *self.cautions])
        return Finding(self.name, state, told, self.fix, is_unknown=self.is_unknown)


def findings(appliance: Appliance) -> Iterator[Finding]:
    """``reports`` as lines of the doctor."""
    return (each.finding() for each in reports(appliance))


def reports(appliance: Appliance) -> Iterator[BackupReport]:
    """Every target of the settings, and the way in."""
    targets = appliance.settings.backup.target
    if not targets:
        caution = "nothing is backed up by itself: a fire takes the mail"
        yield BackupReport(
            "backups",
            "no target",
            cautions=(caution,),
            fix=f"name two [[backup.target]] in {appliance.data.settings}, or strongroom_backup_targets; {SEE}",
        )
        return
    if appliance.data.unlock_key.exists() and _is_only_way_in(appliance):
        caution = "the only key that opens them lies in the data directory: after a fire nothing does"
        fix = key_health.ANOTHER
        yield BackupReport("backups", f"{len(targets)} targets", cautions=(caution,), fix=fix)
    for told in targets:
        try:
            yield _of_target(appliance, told, Backups(appliance).age(told))
        except StrongroomError as error:
            yield BackupReport(f"backup {told.name}", "not looked at", (error.message,), fix=error.fix)


def _of_target(appliance: Appliance, told: BackupTargetSettings, age: TargetAge) -> BackupReport:
    settings, now = appliance.settings.backup, appliance.clock.now()
    looks = (
        ("data", age.data_as_of, timedelta(hours=settings.data_alarm_hours)),
        ("keys", age.keys_looked_at, timedelta(minutes=settings.keys_alarm_minutes)),
    )
    failings = tuple(
        f"the newest backup of the {what} is {_age_in_words(at, now)}"
        for what, at, most in looks
        if _is_of_the_future(at, now) or _is_old(at, now, most)
    )
    told_ages = ", ".join(f"{what} {_age_in_words(at, now)}" for what, at, _ in looks)
    fix = f"run: sudo strongroom backup create --to {told.name}, which says what is in the way" if failings else ""
    cautions = _who_removes_keys(appliance, told)
    return BackupReport(f"backup {told.name}", told_ages, failings, cautions, fix or (SEE if cautions else ""))


def _who_removes_keys(appliance: Appliance, told: BackupTargetSettings) -> tuple[str, ...]:
    """Where we do not remove old keys ourselves, the place must: else no certificate of disposal keeps its word."""
    try:
        target = backup_wiring.target(appliance.data, told)
        if target.may_remove:
            return ()
        days = target.days_until_removed("keys/")
    except StrongroomError as error:
        return (error.message,)
    if days is None:
        return (f"the bucket does not say that it removes keys/ after {KEYS_KEPT.days} days",)
    if days <= BASE_EVERY.days:
        return (f"the bucket removes keys/ after {days} days, before a whole backup of them is made again",)
    if days > KEYS_KEPT.days:
        return (f"the bucket keeps keys/ for {days} days, and certificates of disposal promise {KEYS_KEPT.days}",)
    return ()


def _is_only_way_in(appliance: Appliance) -> bool:
    return len(key_custody.listed(key_files.read_state(appliance.data.keys)[SLOTS])) == 1


def _is_old(at: datetime | None, now: datetime, most: timedelta) -> bool:
    return at is None or now - at > most


def _is_of_the_future(at: datetime | None, now: datetime) -> bool:
    """A clock that was wrong dated it: how old it is, nobody knows, and it would pass for a new one for years."""
    return at is not None and at > now + TOLERANCE


def _age_in_words(at: datetime | None, now: datetime) -> str:
    if at is None:
        return "not made yet"
    if _is_of_the_future(at, now):
        return f"dated by a clock that was wrong ({at.date()})"
    minutes = max(0, int((now - at).total_seconds() // 60))
    hours = minutes // 60
    return f"{minutes} minutes old" if hours < 2 else f"{hours} hours old"  # noqa: PLR2004 -- as people say it
