"""The targets of backups at the end of a practice: what may be removed there is removed, and what stays is named.

A target that is away is no reason to certify less than could be done: the end waits for it, unless a person says that
what lies there is left. A directory that is empty where backups of keys were made counts as away: its disk is not
mounted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from appliance import backup_wiring
from appliance.backup_settings import BackupTargetSettings
from appliance.data_directory import DataDirectory
from appliance.settings import Settings
from mailstore import backup_claim
from mailstore.backup_target import BackupTarget
from mailstore.errors import NotFoundError, RefusedError, StorageUnavailableError, StrongroomError

OF_KEYS: Final = ("keys/generations/", "keys/pieces/", "ways-in/")
"""The listings of a backup of keys first: one that is cut off never looks whole."""

_LEAVE: Final = "bring it back, or leave what lies there and say so: --leave-unreached NAME"


@dataclass(frozen=True)
class EndOfTargets:
    """``shipped``: until when, by a target's name, keys that were shipped there lie there; empty for no known end.

    ``left``: the targets that a person gave up, by name; ``tell`` hears of what is removed.
    """

    data: DataDirectory
    settings: Settings
    shipped: Mapping[str, str]
    left: frozenset[str]
    tell: Callable[[str], None]

    def require_reached(self, practice: str) -> None:
        """``RefusedError`` while one is away that was not given up, or is another practice's."""
        known = {told.name for told in self.settings.backup.target}
        if unknown := sorted(self.left - known):
            raise NotFoundError(f"there is no target {unknown[0]}", fix="name one that the settings name")
        away = self.away(practice)
        if waited_for := {name: error for name, error in away.items() if name not in self.left}:
            raise RefusedError(_sentence(waited_for), fix=_LEAVE)

    def away(self, practice: str) -> dict[str, StrongroomError]:
        """The targets that cannot be reached now, by name, with what is in the way."""
        found: dict[str, StrongroomError] = {}
        for told in self.settings.backup.target:
            try:
                target = self._reached(told)
                record = backup_claim.found(target)
            except StrongroomError as error:
                found[told.name] = error
                continue
            if record is not None:
                backup_claim.require(record, practice, url=target.url)
        return found

    def cleared(self) -> Iterator[tuple[str, str]]:
        """Remove backups of keys, and what opens backups, wherever we may. Yields what stays where, and why.

        ``StorageUnavailableError`` at the end when one was away that nobody gave up: what was removed stays removed.
        """
        away: dict[str, StrongroomError] = {}
        for told in self.settings.backup.target:
            try:
                target = self._reached(told)
                if target.may_remove:
                    self._remove(target, told.name)
                else:
                    yield told.name, _stays(target)
            except StrongroomError as error:
                if told.name in self.left:
                    yield told.name, self._given_up(told, error)
                else:
                    away[told.name] = error
        yield from self._forgotten()
        if away:
            raise StorageUnavailableError(_sentence(away), fix=_LEAVE)

    def _reached(self, told: BackupTargetSettings) -> BackupTarget:
        target = backup_wiring.target(self.data, told)
        if backup_claim.found(target) is None and told.name in self.shipped:
            raise StorageUnavailableError(
                f"{target.url} holds no backup of this practice, and backups of keys were made there"
            )
        return target

    def _remove(self, target: BackupTarget, name: str) -> None:
        found = [each for beginning in OF_KEYS for each, _ in target.held(beginning)]
        for each in found:
            target.remove(each)
        if found:
            self.tell(f"backups of keys removed from {name}")

    def _given_up(self, told: BackupTargetSettings, error: StrongroomError) -> str:
        what = "no backup of keys is known to have been made there"
        if (until := self.shipped.get(told.name)) is not None:
            ends = f"until {until}" if until else "until somebody removes them"
            what = f"backups of keys (keys/) and what opens backups (ways-in/) stay there {ends}"
        return f"{told.url}: given up by a person, for it could not be reached ({error.message}); {what}"

    def _forgotten(self) -> Iterator[tuple[str, str]]:
        """Keys were shipped there once, and the settings name the place no more."""
        known = {told.name for told in self.settings.backup.target}
        for name, until in self.shipped.items():
            if name not in known:
                ends = f"until {until}" if until else "until somebody removes it"
                yield name, f"no target of the settings; what lies there stays {ends}"


def shipped_of(order: Mapping[str, Any]) -> dict[str, str]:
    """Where keys were ever shipped to, by the order that the practice signed."""
    return {copy["name"]: copy["until"] for copy in order["key_copies"]}


def _stays(target: BackupTarget) -> str:
    count = sum(1 for beginning in OF_KEYS for _ in target.held(beginning))
    days = target.days_until_removed("keys/")
    ends = f"it removes them by itself after {days} days" if days else "nobody is known to remove them"
    return (
        f"{target.url}: {count} files of backups of keys (keys/) and of what opens backups (ways-in/) stay there; "
        f"the appliance may not remove anything there; {ends}"
    )


def _sentence(away: Mapping[str, StrongroomError]) -> str:
    names = ", ".join(away)
    return f"cannot be reached, and may hold backups of keys: {names} ({next(iter(away.values())).message})"
