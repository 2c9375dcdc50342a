"""Disposals: what is due, proposed by one, approved by another who saw every message, carried out, and certified."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from urllib.parse import urlencode

from litestar import Response

from archive.disposal_decision import Why
from archive.disposal_records import DisposalItem, DisposalRecord, DisposalState, ItemState
from archive.disposals import DisposalView
from archive.retention_schedule import Category
from archive.two_persons import PROPOSERS
from mailstore.actor import Role
from mailstore.errors import NotFoundError, RefusedError
from mailstore.message import AccountId
from portal import security_headers
from portal.account_records import Account
from portal.error_pages import refusal_words
from portal.pages.fresh_proof import shown_now
from portal.visit import RECORDS_OFFICERS, Visit, shows, takes
from portal.writing import Problem

PAGE_ITEMS = 50
CERTIFICATE_KINDS = {"json": "application/json", "pdf": "application/pdf", "pem": "application/x-pem-file"}


class Stage(StrEnum):
    """Where a disposal stands, as people see it."""

    PROPOSED = "Waits for approval"
    COOLING_OFF = "Cooling off"
    READY = "May be carried out"
    RUNNING = "Being carried out"
    DONE = "Done"
    WITHDRAWN = "Withdrawn"


_STEPS = {
    Stage.PROPOSED: 2,
    Stage.COOLING_OFF: 3,
    Stage.READY: 4,
    Stage.RUNNING: 4,
    Stage.DONE: 5,
    Stage.WITHDRAWN: 1,
}


@dataclass(frozen=True)
class StagedDisposal:
    """A disposal and where it stands now."""

    record: DisposalRecord
    stage: Stage

    @property
    def step(self) -> int:
        """Which of the four steps is under way, from 1."""
        return _STEPS[self.stage]

    @property
    def is_over(self) -> bool:
        """True when nothing more will come of it."""
        return self.stage in {Stage.DONE, Stage.WITHDRAWN}


@shows("/disposals", audience=RECORDS_OFFICERS)
def disposals_page(visit: Visit) -> Response[Any]:
    """Every disposal, and how much has passed its period."""
    return _disposals_page(visit)


@takes("/disposals", audience=RECORDS_OFFICERS)
def propose(visit: Visit) -> Response[Any]:
    """Collect exactly what is due now. Nothing dies of it."""
    try:
        made = visit.portal.archive.desk.disposals.propose(visit.actor)
    except RefusedError as error:
        return _disposals_page(visit, (Problem("", refusal_words(error)),))
    return visit.go(f"/disposals/{made.id}?done=proposed")


@shows("/disposals/{disposal:str}", audience=RECORDS_OFFICERS)
def disposal_page(visit: Visit) -> Response[Any]:
    """One disposal, down to every message of its set."""
    return _disposal_page(visit)


@takes("/disposals/{disposal:str}/approval", audience=RECORDS_OFFICERS)
def approve(visit: Visit) -> Response[Any]:
    """Approve exactly the set that was seen, with a fresh code."""
    proved = shown_now(visit)
    if isinstance(proved, Problem):
        return _disposal_page(visit, (proved,))
    disposal = visit.path("disposal")
    try:
        seen = bytes.fromhex(visit.form.line("set_hash"))
        visit.portal.archive.desk.disposals.approve(visit.actor, disposal, set_hash=seen)
    except ValueError:
        return _disposal_page(proved, (Problem("", "The form was not whole. Read the list and try again."),))
    except RefusedError as error:
        return _disposal_page(proved, (Problem("", refusal_words(error)),))
    return proved.go(f"/disposals/{disposal}?done=approved")


@takes("/disposals/{disposal:str}/withdrawal", audience=RECORDS_OFFICERS)
def withdraw(visit: Visit) -> Response[Any]:
    """Take back one's own proposal or approval before anything was destroyed."""
    disposal = visit.path("disposal")
    try:
        visit.portal.archive.desk.disposals.withdraw(visit.actor, disposal)
    except RefusedError as error:
        return _disposal_page(visit, (Problem("", refusal_words(error)),))
    return visit.go(f"/disposals/{disposal}")


@takes("/disposals/{disposal:str}/run", audience=RECORDS_OFFICERS)
def run(visit: Visit) -> Response[Any]:
    """Destroy what was approved and may still go, with a fresh code."""
    proved = shown_now(visit)
    if isinstance(proved, Problem):
        return _disposal_page(visit, (proved,))
    disposal = visit.path("disposal")
    try:
        visit.portal.archive.desk.disposal_run.run(visit.actor, disposal)
    except RefusedError as error:
        return _disposal_page(proved, (Problem("", refusal_words(error)),))
    return proved.go(f"/disposals/{disposal}?done=run")


@takes("/disposals/{disposal:str}/certificate/check", audience=RECORDS_OFFICERS)
def check_certificate(visit: Visit) -> Response[Any]:
    """Ask the stand-alone verifier what the certificate is worth."""
    found = visit.portal.archive.desk.certificates.problems(visit.actor, visit.path("disposal"))
    return _disposal_page(visit, verdict=found)


@shows("/disposals/{disposal:str}/certificate/{kind:str}", audience=RECORDS_OFFICERS)
def certificate(visit: Visit) -> Response[bytes]:
    """The certificate to be saved: the signed document, its picture, or the key to check it with."""
    disposal, kind = visit.path("disposal"), visit.path("kind")
    if kind not in CERTIFICATE_KINDS:
        raise NotFoundError("no such file")
    certificates = visit.portal.archive.desk.certificates
    issued = certificates.of(visit.actor, disposal)
    name, content = f"disposal-certificate-{issued.id}.{kind}", issued.document
    if kind == "pdf":
        content = certificates.picture(visit.actor, disposal)
    if kind == "pem":
        name, content = "disposal.pem", certificates.key_of(visit.actor, disposal)
    headers = {**security_headers.for_download(), "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=CERTIFICATE_KINDS[kind], headers=headers)


def _disposals_page(visit: Visit, problems: tuple[Problem, ...] = ()) -> Response[Any]:
    disposals, actor = visit.portal.archive.desk.disposals, visit.actor
    staged = [_staged(record, visit.now) for record in disposals.all(actor)]
    return visit.page(
        "pages/disposals.html",
        status=409 if problems else 200,
        open_ones=[each for each in staged if not each.is_over],
        done_ones=[each for each in staged if each.is_over],
        past_period=disposals.past_period(actor),
        people=_people(visit, [each.record for each in staged]),
        may_propose=actor.role in PROPOSERS,
        problems=problems,
    )


def _disposal_page(
    visit: Visit, problems: tuple[Problem, ...] = (), *, verdict: tuple[str, ...] | None = None
) -> Response[Any]:
    desk, actor = visit.portal.archive.desk, visit.actor
    view = desk.disposals.show(actor, visit.path("disposal"))
    staged = _staged(view.record, visit.now)
    wanted = visit.query("category")
    items = sorted(
        (item for item in view.items if not wanted or item.category == wanted),
        key=lambda item: (item.received_at, item.message),
    )
    page = visit.number("page")
    shown = items[(page - 1) * PAGE_ITEMS : page * PAGE_ITEMS]
    living = [item.message for item in shown if item.state is not ItemState.DESTROYED]
    return visit.page(
        "pages/disposal.html",
        status=422 if problems else 200,
        staged=staged,
        record=view.record,
        shown=shown,
        listed=visit.portal.archive.listing.of(actor, living, about=view.record.id),
        counts=Counter(item.category for item in view.items),
        kept=_kept(view),
        categories=_categories(visit, view.record.schedule),
        wanted=wanted,
        newer=_at(view, wanted, page - 1) if page > 1 else "",
        older=_at(view, wanted, page + 1) if len(items) > page * PAGE_ITEMS else "",
        people=_people(visit, [view.record]),
        may_approve=actor.role is Role.APPROVER and actor.account != view.record.proposed_by,
        may_withdraw=view.record.state in {DisposalState.PROPOSED, DisposalState.APPROVED}
        and actor.account in {view.record.proposed_by, view.record.approved_by},
        done=visit.query("done"),
        verdict=verdict,
        problems=problems,
        why=_why,
    )


def _staged(record: DisposalRecord, now: datetime) -> StagedDisposal:
    match record.state:
        case DisposalState.PROPOSED:
            return StagedDisposal(record, Stage.PROPOSED)
        case DisposalState.APPROVED:
            has_cooled_off = record.cooled_off_at is not None and record.cooled_off_at <= now
            return StagedDisposal(record, Stage.READY if has_cooled_off else Stage.COOLING_OFF)
        case DisposalState.RUNNING:
            return StagedDisposal(record, Stage.RUNNING)
        case DisposalState.COMPLETED:
            return StagedDisposal(record, Stage.DONE)
        case DisposalState.WITHDRAWN:
            return StagedDisposal(record, Stage.WITHDRAWN)


def _at(view: DisposalView, category: str, page: int) -> str:
    state = {name: value for name, value in {"category": category, "page": page}.items() if value}
    return f"/disposals/{view.record.id}?{urlencode(state)}#set"


def _kept(view: DisposalView) -> Counter[str]:
    """How many messages of the set stayed, by the reason in words."""
    return Counter(_why(item) for item in view.items if item.state is ItemState.KEPT)


def _why(item: DisposalItem) -> str:
    return Why(item.why).words if item.why else ""


def _categories(visit: Visit, schedule: str) -> dict[str, Category]:
    return dict(visit.portal.archive.desk.schedules.show(visit.actor, schedule).schedule.categories)


def _people(visit: Visit, records: list[DisposalRecord]) -> dict[AccountId, Account]:
    told = {(record.proposed_by, record.approved_by, record.run_by) for record in records}
    return visit.portal.people.names(frozenset(one for each in told for one in each if one))


ROUTES = (disposals_page, propose, disposal_page, approve, withdraw, run, check_certificate, certificate)
