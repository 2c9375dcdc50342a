"""The end of everything that is here: proposed by one person, approved by another, and begun once both waited.

What was proposed and approved stands in the audit log and nowhere else: no row can be edited into an approval. A hold
in force stops every step unless both persons name it: nobody ends the practice past a hold unseen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from archive import decision_time
from archive.living_holds import LivingHolds
from archive.two_persons import (
    APPROVERS,
    KEEPERS,
    PROPOSERS,
    require_other_person,
    require_own_step,
    require_role,
)
from mailstore import audit_trail, outbox
from mailstore.actor import Actor
from mailstore.audit_entry import AuditEntry, AuditFact, Detail
from mailstore.database import Database
from mailstore.errors import NotFoundError, RefusedError, TamperedError
from mailstore.instants import instant_of, microseconds
from mailstore.message import ID_BYTES, AccountId, identifier_from
from mailstore.outbox import Kind
from mailstore.sealed_format import Randomness
from mailstore.trusted_clock import TrustedClock
from mailstore.wall_clock import Clock

PROPOSED: Final = "decommission.proposed"
APPROVED: Final = "decommission.approved"
WITHDRAWN: Final = "decommission.withdrawn"
BEGUN: Final = "decommission.begun"
_STEPS: Final = (PROPOSED, APPROVED, WITHDRAWN, BEGUN)

UNDER_WAY: Final = (Kind.DELIVER, Kind.BOUNCE, Kind.REPORT)
"""Work that other people wait for: mail on its way out, and what is to be told of it."""


class HoldsInForceError(RefusedError):
    """Something here is held, and the hold was not named."""

    code = "holds_in_force"


class WrongStepError(RefusedError):
    """The plan is not where this step begins."""

    code = "wrong_decommission_state"


class DecommissionedError(RefusedError):
    """The end of this practice's keys has begun: nothing new is promised here."""

    code = "decommissioned"


@dataclass(frozen=True)
class Plan:
    """What stands in the log. ``terms``: a hash over the holds that were named. ``cooled_off_at`` is trusted time."""

    id: str
    terms: str
    holds: int
    proposed_by: AccountId
    proposed_at: datetime
    approved_by: AccountId | None = None
    approved_at: datetime | None = None
    cooled_off_at: datetime | None = None
    begun: AuditEntry | None = None

    @property
    def state(self) -> str:
        """In a word: proposed, approved or begun."""
        if self.begun is not None:
            return "begun"
        return "proposed" if self.approved_by is None else "approved"


def standing(connection: Connection) -> Plan | None:
    """The plan that was not withdrawn; None while nobody wants an end. ``TamperedError`` for steps that cannot be."""
    found = audit_trail.of_events(connection, _STEPS)
    ids = {each.object for each in found if each.event == PROPOSED}
    gone = {each.object for each in found if each.event == WITHDRAWN}
    living = sorted(ids - gone)
    if len(living) > 1 or any(each.object not in ids for each in found):
        raise TamperedError("the audit log tells of several ends, or of one that nobody proposed")
    return _plan(living[0], [each for each in found if each.object == living[0]]) if living else None


def refuse_begun(connection: Connection) -> None:
    """For whoever promises that something is kept from now on. Raises ``DecommissionedError``."""
    if audit_trail.of_events(connection, (BEGUN,), limit=1):
        raise DecommissionedError("the keys of this practice are being destroyed", fix="finish it: decommission run")


class Decommission:
    """What the command asks. Nothing here destroys anything."""

    def __init__(
        self,
        *,
        database: Database,
        living: LivingHolds,
        clock: Clock,
        trusted_clock: TrustedClock,
        randomness: Randomness,
        cooling_off_hours: int,
    ) -> None:
        self._database = database
        self._living = living
        self._clock = clock
        self._trusted_clock = trusted_clock
        self._randomness = randomness
        self._cooling_off = timedelta(hours=cooling_off_hours)

    def holds_in_force(self) -> list[str]:
        """Their ids. Raises ``TamperedError`` when rows and log disagree about them."""
        with self._database.read() as connection:
            return sorted(hold.id for hold in self._living.all(connection))

    def plan(self) -> Plan | None:
        """As ``standing``."""
        with self._database.read() as connection:
            return standing(connection)

    def propose(self, actor: Actor, *, holds: Collection[str]) -> Plan:
        """Put an end forward. ``holds``: those in force, each named, or ``HoldsInForceError``."""
        require_role(actor, PROPOSERS)
        with self._database.write() as connection:
            if (found := standing(connection)) is not None:
                raise WrongStepError(f"an end is {found.state} already: {found.id}", fix="withdraw it first")
            self._require_named(connection, holds)
            id_ = identifier_from(self._randomness(ID_BYTES))
            detail: Detail = {"terms": terms_of(holds), "holds": len(set(holds))}
            audit_trail.append(connection, [AuditFact(PROPOSED, actor.account, id_, detail)], now=self._clock.now())
            return _required(connection, id_)

    def approve(self, actor: Actor, plan: str, *, holds: Collection[str]) -> Plan:
        """Agree to it, as another person, who names the holds as well. It may begin after the cooling-off."""
        require_role(actor, APPROVERS)
        with self._database.write() as connection:
            found = _required(connection, plan)
            require_other_person(actor, found.proposed_by)
            if found.state != "proposed":
                raise WrongStepError(f"this end is {found.state}, not proposed")
            self._require_named(connection, holds)
            _require_terms(found, holds)
            now = self._clock.now()
            trusted = decision_time.required(connection, self._trusted_clock)
            ends = max(now, trusted) + self._cooling_off if self._cooling_off else now
            detail: Detail = {"terms": found.terms, "cooled_off_at": microseconds(ends)}
            audit_trail.append(connection, [AuditFact(APPROVED, actor.account, plan, detail)], now=now)
            return _required(connection, plan)

    def withdraw(self, actor: Actor, plan: str) -> None:
        """Take it back, while nothing has begun: either of the two persons."""
        require_role(actor, KEEPERS)
        with self._database.write() as connection:
            found = _required(connection, plan)
            require_own_step(actor, found.proposed_by, found.approved_by)
            if found.begun is not None:
                raise WrongStepError("it has begun: the keys are gone or about to be")
            audit_trail.append(connection, [AuditFact(WITHDRAWN, actor.account, plan)], now=self._clock.now())

    def begin(self, actor: Actor, plan: str, *, holds: Collection[str]) -> Plan:
        """Decide again, in one transaction, and say in the log that it begins. From here on no hold can be placed."""
        require_role(actor, PROPOSERS)
        with self._database.write() as connection:
            found = _required(connection, plan)
            if found.approved_by is None or found.cooled_off_at is None:
                raise WrongStepError("this end was not approved", fix="let another person approve it")
            self._require_named(connection, holds)
            _require_terms(found, holds)
            self._require_cooled_off(connection, found.cooled_off_at)
            _require_nothing_under_way(connection)
            if found.begun is not None:
                return found
            detail: Detail = {"terms": found.terms, "holds": found.holds}
            audit_trail.append(connection, [AuditFact(BEGUN, actor.account, plan, detail)], now=self._clock.now())
            return _required(connection, plan)

    def _require_named(self, connection: Connection, named: Collection[str]) -> None:
        living = {hold.id for hold in self._living.all(connection)}
        if unnamed := sorted(living - set(named)):
            raise HoldsInForceError(
                f"what is held for {', '.join(unnamed)} would be destroyed",
                fix="release the hold; or, when its records lie elsewhere, name it: --hold ID, by both persons",
            )
        if unknown := sorted(set(named) - living):
            raise NotFoundError(f"{unknown[0]} is no hold in force", fix="strongroom hold list names them")

    def _require_cooled_off(self, connection: Connection, ends: datetime) -> None:
        trusted = decision_time.required(connection, self._trusted_clock)
        if self._cooling_off and trusted < ends:
            raise WrongStepError(f"this end may begin from {ends:%Y-%m-%d %H:%M} UTC on", fix="wait, or withdraw it")


def terms_of(holds: Iterable[str]) -> str:
    """What both persons agreed to, as a hash: the holds that were named."""
    told = json.dumps({"holds": sorted(set(holds))}, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(told.encode("ascii")).hexdigest()


def _require_terms(plan: Plan, holds: Collection[str]) -> None:
    if terms_of(holds) != plan.terms:
        raise HoldsInForceError("other holds are in force than were named before", fix="propose it again")


def _require_nothing_under_way(connection: Connection) -> None:
    waiting = outbox.waiting(connection)
    if count := sum(waiting[kind] for kind in UNDER_WAY):
        raise WrongStepError(
            f"{count} pieces of mail are on their way still, and would be lost",
            fix="let serve run until the doctor says that nothing waits, with the ports closed to the outside",
        )


def _required(connection: Connection, plan: str) -> Plan:
    found = standing(connection)
    if found is None or found.id != plan:
        raise NotFoundError(f"there is no end {plan} proposed", fix="strongroom decommission show tells of it")
    return found


def _plan(id_: str, entries: list[AuditEntry]) -> Plan:
    by_event = {each.event: each for each in entries}
    proposed, approved, begun = (by_event.get(event) for event in (PROPOSED, APPROVED, BEGUN))
    if proposed is None or len(by_event) != len(entries) or (begun and not approved):
        raise TamperedError("the audit log tells of an end in steps that cannot be")
    return Plan(
        id=id_,
        terms=str(proposed.detail["terms"]),
        holds=int(proposed.detail["holds"]),
        proposed_by=AccountId(proposed.actor),
        proposed_at=proposed.at,
        approved_by=AccountId(approved.actor) if approved else None,
        approved_at=approved.at if approved else None,
        cooled_off_at=instant_of(int(approved.detail["cooled_off_at"])) if approved else None,
        begun=begun,
    )
