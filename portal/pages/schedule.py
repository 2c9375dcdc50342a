"""The retention schedule: read by anybody who keeps records, changed by two after a look at what it would do."""

from __future__ import annotations

from typing import Any

from litestar import Response

from archive import retention_schedule
from archive.retention_schedule import ScheduleError, period_text
from archive.schedule_change import Simulation
from archive.schedule_records import ScheduleState
from archive.schedules import ScheduleView
from mailstore.errors import RefusedError
from portal.error_pages import refusal_words
from portal.pages.fresh_proof import shown_now
from portal.visit import RECORDS_OFFICERS, Visit, shows, takes
from portal.writing import Problem


@shows("/schedule", audience=RECORDS_OFFICERS)
def schedule_page(visit: Visit) -> Response[Any]:
    """The schedule in force, what waits for approval, and what was in force before."""
    views = visit.portal.archive.desk.schedules.all(visit.actor)
    return visit.page(
        "pages/schedule.html",
        active=next((view for view in views if view.state is ScheduleState.ACTIVE), None),
        waiting=[view for view in views if view.state is ScheduleState.PROPOSED],
        past=[view for view in views if view.state not in {ScheduleState.ACTIVE, ScheduleState.PROPOSED}],
        people=_people(visit, views),
        period=period_text,
    )


@shows("/schedule/new", audience=RECORDS_OFFICERS)
def new_page(visit: Visit) -> Response[Any]:
    """Write or hand in a schedule, beginning from the one in force."""
    views = visit.portal.archive.desk.schedules.all(visit.actor)
    active = next((view for view in views if view.state is ScheduleState.ACTIVE), None)
    return _new_page(visit, active.text if active else retention_schedule.default_schedule_text())


@takes("/schedule/new", audience=RECORDS_OFFICERS, uploads=True)
def simulate(visit: Visit) -> Response[Any]:
    """Show what the schedule would do to the archive; nothing is proposed yet."""
    text = _text(visit)
    if visit.form.get("step") == "change":
        return _new_page(visit, text)
    try:
        simulation = visit.portal.archive.desk.schedules.simulate(visit.actor, text)
    except ScheduleError as error:
        return _new_page(visit, text, _problems(error))
    return visit.page(
        "pages/schedule_preview.html",
        text=text,
        schedule=retention_schedule.parse(text),
        simulation=simulation,
        most=_most(simulation),
        period=period_text,
    )


@takes("/schedule", audience=RECORDS_OFFICERS)
def propose(visit: Visit) -> Response[Any]:
    """Put the schedule forward for another person."""
    text = visit.form.get("text")
    try:
        made = visit.portal.archive.desk.schedules.propose(visit.actor, text)
    except ScheduleError as error:
        return _new_page(visit, text, _problems(error))
    return visit.go(f"/schedule/{made}?done=proposed")


@shows("/schedule/{schedule:str}", audience=RECORDS_OFFICERS)
def version_page(visit: Visit) -> Response[Any]:
    """One version: what it says, and what is different from the one in force."""
    return _version_page(visit)


@takes("/schedule/{schedule:str}/approval", audience=RECORDS_OFFICERS)
def approve(visit: Visit) -> Response[Any]:
    """Put it in force, with a fresh code."""
    proved = shown_now(visit)
    if isinstance(proved, Problem):
        return _version_page(visit, (proved,))
    schedule = visit.path("schedule")
    try:
        visit.portal.archive.desk.schedules.approve(visit.actor, schedule)
    except RefusedError as error:
        return _version_page(proved, (Problem("", refusal_words(error)),))
    return proved.go(f"/schedule/{schedule}?done=approved")


@takes("/schedule/{schedule:str}/withdrawal", audience=RECORDS_OFFICERS)
def withdraw(visit: Visit) -> Response[Any]:
    """Take back one's own proposal."""
    schedule = visit.path("schedule")
    try:
        visit.portal.archive.desk.schedules.withdraw(visit.actor, schedule)
    except RefusedError as error:
        return _version_page(visit, (Problem("", refusal_words(error)),))
    return visit.go(f"/schedule/{schedule}")


def _version_page(visit: Visit, problems: tuple[Problem, ...] = ()) -> Response[Any]:
    schedules, actor = visit.portal.archive.desk.schedules, visit.actor
    view = schedules.show(actor, visit.path("schedule"))
    is_waiting = view.state is ScheduleState.PROPOSED
    simulation = schedules.simulate(actor, view.text) if is_waiting and visit.query("simulate") else None
    return visit.page(
        "pages/schedule_version.html",
        status=409 if problems else 200,
        view=view,
        change=schedules.change(actor, view.id) if is_waiting else None,
        simulation=simulation,
        most=_most(simulation) if simulation else 0,
        may_approve=is_waiting and view.proposed_by != actor.account,
        people=_people(visit, [view]),
        period=period_text,
        done=visit.query("done"),
        problems=problems,
    )


def _new_page(visit: Visit, text: str, problems: tuple[Problem, ...] = ()) -> Response[Any]:
    return visit.page("pages/schedule_new.html", status=422 if problems else 200, text=text, problems=problems)


def _text(visit: Visit) -> str:
    """The file when one was chosen, else what stands in the box."""
    if visit.form.files:
        return visit.form.files[0].content.decode("utf-8", "replace").replace("\r\n", "\n")
    return visit.form.get("text")


def _problems(error: ScheduleError) -> tuple[Problem, ...]:
    return tuple(Problem("text", problem) for problem in error.problems)


def _most(simulation: Simulation) -> int:
    """How many messages the longest bar stands for."""
    return max((each.messages for each in simulation.categories), default=0)


def _people(visit: Visit, views: list[ScheduleView]) -> dict[Any, Any]:
    told = {(view.proposed_by, view.approved_by) for view in views}
    return dict(visit.portal.people.names(frozenset(one for each in told for one in each if one)))


ROUTES = (schedule_page, new_page, simulate, propose, version_page, approve, withdraw)
