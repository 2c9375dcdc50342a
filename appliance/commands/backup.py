"""``strongroom backup``: data without keys and keys without data, made, listed and read to the last byte."""

from __future__ import annotations

from typing import Any

from appliance import backup_settings, command_access
from appliance.backup_settings import BackupTargetSettings
from appliance.backups import Backups
from appliance.command_call import Call, Outcome, facts, table
from appliance.long_work import LongWork
from appliance.settings import Settings
from appliance.wiring import Appliance
from mailstore import backup_catalogue
from mailstore.backup_catalogue import Catalogue, Generation
from mailstore.backup_listing import GenerationKind
from mailstore.backup_making import Made
from mailstore.backup_pace import BackupPace
from mailstore.backup_target import BackupTarget
from mailstore.backup_verification import BackupVerification
from mailstore.backup_ways_in import RecoveryKeys
from mailstore.errors import RefusedError
from mailstore.key_hierarchy import KeyRing

_NAMED_ON_LINE = "the-line"


def create(call: Call) -> Outcome:
    """Back up data, then keys: the keys that come last open all of the data that came before."""
    work = LongWork()
    with command_access.opened(call) as appliance:
        told = told_target(call.arguments.to, call.arguments.credentials, appliance.settings)
        pace = BackupPace(call.arguments.bytes_per_second)
        backups = Backups(appliance, pace=pace, tell=work.things_done)
        made = [] if call.arguments.only == GenerationKind.KEYS else [_data(backups, told, call)]
        if call.arguments.only != GenerationKind.DATA:
            keys = backups.make_keys(told)
            made += [] if keys is None else [keys]
        target, _ = backups.opened(told)
    generations = [_made(each) for each in made]
    problems = [problem for each in made for problem in each.problems]
    fields = {"target": target.url, "generations": generations, "problems": problems}
    columns = ("kind", "sequence", "pieces", "bytes", "sent_pieces", "sent_bytes")
    text = "\n".join([table(generations, columns, empty="Nothing has changed."), *problems])
    return Outcome(fields, text, exit_code=1 if problems else 0)


def _data(backups: Backups, told: BackupTargetSettings, call: Call) -> Made:
    return backups.make_data(told, with_waiting=call.arguments.with_waiting)


def listing(call: Call) -> Outcome:
    """The generations of one target, or of every target in the settings, and what was put away there."""
    items: list[dict[str, Any]] = []
    problems: list[str] = []
    with command_access.opened(call) as appliance:
        backups = Backups(appliance)
        for told in _targets(call, appliance.settings):
            target, catalogue = backups.opened(told)
            items += [_item(target, each) for kind in GenerationKind for each in _shown(catalogue, kind)]
            newest = {kind: catalogue.newest(kind) for kind in GenerationKind}
            if problem := backup_catalogue.rolled_back(catalogue.target_id, newest, backups.remembered()):
                problems.append(f"{target.url}: {problem}")
    fields = {"items": items, "total": len(items), "problems": problems}
    columns = ("kind", "sequence", "base", "as_of", "pieces", "bytes", "target")
    text = "\n".join([table(items, columns, empty="There are no backups."), *problems])
    return Outcome(fields, text, exit_code=1 if problems else 0)


def verify(call: Call) -> Outcome:
    """Read every byte. With the whole ring at hand every piece is unsealed too. Exit 1 while a problem is left."""
    work = LongWork()
    found = []
    with command_access.opened(call) as appliance:
        backups = Backups(appliance)
        for told in _targets(call, appliance.settings):
            target, catalogue = backups.opened(told)
            verification = BackupVerification(
                target,
                target_id=catalogue.target_id,
                audit_public=appliance.signer.audit_public,
                recovery=_recovery(appliance),
                pace=BackupPace(call.arguments.bytes_per_second),
                tell=work.things_done,
            )
            found.append((target.url, verification.run()))
    problems = [f"{url}: {problem}" for url, each in found for problem in each.problems]
    fields = {
        "generations": sum(each.generations for _, each in found),
        "pieces": sum(each.pieces for _, each in found),
        "bytes": sum(each.bytes for _, each in found),
        "is_opened": all(each.is_opened for _, each in found),
        "problems": problems,
    }
    told_in_words = facts({name: value for name, value in fields.items() if name != "problems"})
    text = "\n".join([told_in_words, *(problems or ["Every byte is as it was written."])])
    return Outcome(fields, text, exit_code=1 if problems else 0)


def told_target(named: str | None, credentials: str | None, settings: Settings) -> BackupTargetSettings:
    """The target of that name in the settings, or the place that was named on the line."""
    known = {each.name: each for each in settings.backup.target}
    by_place = {each.url: each for each in settings.backup.target}
    if named is None and len(known) == 1:
        return next(iter(known.values()))
    if named is None:
        raise RefusedError("no target was named", fix="say --to with the name of a target, a directory or a bucket")
    if named in known or named in by_place:
        return known.get(named) or by_place[named]
    if problem := backup_settings.target_place(named):
        raise RefusedError(f"{named} is no target in the settings, and {problem}")
    return BackupTargetSettings(name=_NAMED_ON_LINE, url=named, credentials_file=credentials or "")


def _targets(call: Call, settings: Settings) -> list[BackupTargetSettings]:
    named = call.arguments.source
    if named is None and settings.backup.target:
        return list(settings.backup.target)
    return [told_target(named, call.arguments.credentials, settings)]


def _recovery(appliance: Appliance) -> RecoveryKeys | None:
    """What opens backups, where the whole ring is at hand; beside a running appliance it is not."""
    ring = appliance.ring
    if not isinstance(ring, KeyRing):
        return None
    return RecoveryKeys(ring.versions("data_recovery"), ring.versions("keys_recovery"), ring.audit_seed)


def _shown(catalogue: Catalogue, kind: GenerationKind) -> list[Generation]:
    """Every one of data; of keys, which are made every few minutes, bases and the newest."""
    if kind is GenerationKind.DATA:
        return list(catalogue.generations(kind))
    newest = catalogue.newest(kind)
    if newest is None:
        return []
    base = catalogue.one(kind, newest.listing.base)
    return [newest] if base == newest else [base, newest]


def _made(made: Made) -> dict[str, Any]:
    listing = made.generation.listing
    return {
        "kind": listing.kind.value,
        "sequence": listing.sequence,
        "base": listing.base,
        "as_of": listing.as_of,
        "pieces": len(listing.pieces),
        "bytes": listing.size_bytes,
        "sent_pieces": made.sent_pieces,
        "sent_bytes": made.sent_bytes,
    }


def _item(target: BackupTarget, each: Generation) -> dict[str, Any]:
    listing = each.listing
    return {
        "kind": listing.kind.value,
        "sequence": listing.sequence,
        "base": listing.base,
        "as_of": listing.as_of,
        "made_at": listing.made_at,
        "pieces": len(listing.pieces),
        "bytes": listing.size_bytes,
        "target": target.url,
    }
