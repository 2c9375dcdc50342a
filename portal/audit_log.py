"""The audit log for those who keep records: who did what to which object, whether it is whole, and as a file."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from archive import spreadsheet
from mailstore import audit_trail
from mailstore.actor import Actor
from mailstore.audit_entry import AuditEntry, AuditFact
from mailstore.audit_trail import AuditReport, Wanted
from mailstore.database import Database
from mailstore.message import AccountId
from mailstore.wall_clock import Clock
from portal import access_rules
from portal.account_records import Account
from portal.audit_words import event_words
from portal.errors import ForbiddenError
from portal.people import People

VERIFIED = "audit.verified"
EXPORTED = "audit.exported"
MOST_EXPORTED = 50_000
COLUMNS = ("sequence", "at", "actor", "name", "event", "words", "object", "detail")


@dataclass(frozen=True)
class LogPage:
    """Some entries, newest first, with the accounts that are named in them. ``older`` goes on where they end."""

    entries: tuple[AuditEntry, ...]
    people: Mapping[AccountId, Account]
    older: int | None


class AuditLog:
    """What the audit page asks."""

    def __init__(
        self, *, database: Database, people: People, audit_public: bytes, checkpoints_path: Path, clock: Clock
    ) -> None:
        self._database = database
        self._people = people
        self._public_key = audit_public
        self._checkpoints_path = checkpoints_path
        self._clock = clock

    def page(self, actor: Actor, wanted: Wanted, *, limit: int, before: int | None = None) -> LogPage:
        """The newest entries of the kind that is wanted."""
        _require_reader(actor)
        with self._database.read() as connection:
            found = audit_trail.newest(connection, wanted, limit=limit + 1, before=before)
        shown = tuple(found[:limit])
        older = shown[-1].sequence if len(found) > limit else None
        objects = (entry.object for entry in shown)
        return LogPage(shown, self._named((*(entry.actor for entry in shown), *objects)), older)

    def events(self, actor: Actor) -> list[str]:
        """Every kind of event that there is."""
        _require_reader(actor)
        with self._database.read() as connection:
            return audit_trail.events(connection)

    def verify(self, actor: Actor) -> AuditReport:
        """Recompute the whole log. That somebody did is in the log too, behind what was verified."""
        _require_reader(actor)
        report = audit_trail.verify(
            self._database, public_key=self._public_key, checkpoints_path=self._checkpoints_path
        )
        self._note(actor, VERIFIED, entries=report.entries, valid=int(report.first_bad is None))
        return report

    def export(self, actor: Actor, wanted: Wanted) -> bytes:
        """The newest entries, at most 50,000, as CSV (RFC 4180) that no spreadsheet takes for formulas."""
        _require_reader(actor)
        with self._database.read() as connection:
            entries = audit_trail.newest(connection, wanted, limit=MOST_EXPORTED)
        self._note(actor, EXPORTED, entries=len(entries))
        return _as_csv(entries, self._named(entry.actor for entry in entries))

    def about(self, actor: Actor, object_: str, events: Collection[str]) -> LogPage:
        """What happened to one object, of these events, oldest first."""
        _require_reader(actor)
        with self._database.read() as connection:
            entries = tuple(entry for entry in audit_trail.about(connection, object_) if entry.event in events)
        return LogPage(entries, self._named(entry.actor for entry in entries), None)

    def _named(self, ids: Iterable[str]) -> dict[AccountId, Account]:
        return self._people.names(frozenset(AccountId(each) for each in ids if each))

    def _note(self, actor: Actor, event: str, **detail: int) -> None:
        with self._database.write() as connection:
            audit_trail.append(connection, [AuditFact(event, actor.account, detail=detail)], now=self._clock.now())


def _as_csv(entries: Iterable[AuditEntry], people: Mapping[AccountId, Account]) -> bytes:
    lines = [spreadsheet.line(COLUMNS)]
    for entry in entries:
        known = people.get(AccountId(entry.actor))
        told = (
            str(entry.sequence),
            entry.at.isoformat().replace("+00:00", "Z"),
            entry.actor,
            known.person.name if known else "",
            entry.event,
            event_words(entry.event),
            entry.object,
            " ".join(f"{name}={value}" for name, value in entry.detail.items()),
        )
        lines.append(spreadsheet.line(told))
    return b"".join(lines)


def _require_reader(actor: Actor) -> None:
    if not access_rules.may_read_archive(actor):
        raise ForbiddenError("the audit log is for those who keep records")
