"""Matters and their holds: what is held, placing one after a look at what it catches, ending one by two people."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from typing import Any

from litestar import Response

from archive.archive_listing import ListedMessage
from archive.holds import HoldView, SomethingElseDueError
from archive.legal_hold import BadHoldError, HoldState, Matter, matter
from archive.search_query import QueryError
from mailstore.addresses import BadAddressError, parse_mailbox
from mailstore.errors import RefusedError
from mailstore.message import AccountId, MessageId
from portal.account_records import Account
from portal.error_pages import refusal_words
from portal.forms import Form
from portal.pages.fresh_proof import shown_now
from portal.visit import RECORDS_OFFICERS, Visit, shows, takes
from portal.writing import Problem

PREVIEW_SECONDS = 8.0
PAGE_ITEMS = 50
FIELDS = ("name", "reason", "custodians", "since", "until", "query")


@shows("/holds", audience=RECORDS_OFFICERS)
def holds_page(visit: Visit) -> Response[Any]:
    """Every matter, those in force first."""
    views = visit.portal.archive.desk.holds.all(visit.actor)
    living = [view for view in reversed(views) if view.state.holds]
    ended = [view for view in reversed(views) if not view.state.holds]
    return visit.page("pages/holds.html", living=living, ended=ended, people=_people(visit, views))


@shows("/holds/new", audience=RECORDS_OFFICERS)
def new_page(visit: Visit) -> Response[Any]:
    """Ask what the matter is."""
    return _form_page(visit, Form())


@takes("/holds/new", audience=RECORDS_OFFICERS)
def look_first(visit: Visit) -> Response[Any]:
    """Show what the hold would catch; nothing is placed yet."""
    if visit.form.get("step") == "change":
        return _form_page(visit, visit.form)
    told = _matter(visit.form)
    if not isinstance(told, Matter):
        return _form_page(visit, visit.form, told)
    archive = visit.portal.archive
    preview = archive.desk.holds.preview(visit.actor, told, seconds=PREVIEW_SECONDS)
    return visit.page(
        "pages/hold_preview.html",
        told=told,
        kept={name: visit.form.get(name) for name in FIELDS},
        preview=preview,
        listed=_listed(visit, preview.samples, about="hold-preview"),
        estimate=_rest_estimate(preview.looked_at, preview.messages),
    )


@takes("/holds", audience=RECORDS_OFFICERS)
def place(visit: Visit) -> Response[Any]:
    """Place the hold."""
    told = _matter(visit.form)
    if not isinstance(told, Matter):
        return _form_page(visit, visit.form, told)
    placed = visit.portal.archive.desk.holds.place(
        visit.actor,
        name=told.name,
        reason=told.reason,
        custodians=told.custodians,
        since=told.since,
        until=told.until,
        query=told.query_text,
    )
    return visit.go(f"/holds/{placed.id}?done=placed")


@shows("/holds/{hold:str}", audience=RECORDS_OFFICERS)
def hold_page(visit: Visit) -> Response[Any]:
    """One matter: what it is about, what it holds, and how it may end."""
    return _hold_page(visit)


@takes("/holds/{hold:str}/release", audience=RECORDS_OFFICERS)
def ask_for_release(visit: Visit) -> Response[Any]:
    """Ask for the end of the hold. It goes on holding."""
    hold, reason = visit.path("hold"), visit.form.get("reason").strip()
    if not reason:
        return _hold_page(visit, (Problem("reason", "Say why the matter may end."),))
    try:
        visit.portal.archive.desk.holds.request_release(visit.actor, hold, reason=reason)
    except RefusedError as error:
        return _hold_page(visit, (Problem("reason", refusal_words(error)),))
    return visit.go(f"/holds/{hold}?done=asked")


@shows("/holds/{hold:str}/release", audience=RECORDS_OFFICERS)
def release_page(visit: Visit) -> Response[Any]:
    """Exactly what would be due at once if the hold ended now, for whoever decides."""
    return _release_page(visit)


@takes("/holds/{hold:str}/release/approval", audience=RECORDS_OFFICERS)
def approve_release(visit: Visit) -> Response[Any]:
    """End the hold, for exactly the list that was seen, with a fresh code."""
    proved = shown_now(visit)
    if isinstance(proved, Problem):
        return _release_page(visit, (proved,))
    hold = visit.path("hold")
    try:
        seen = bytes.fromhex(visit.form.line("set_hash"))
        visit.portal.archive.desk.holds.approve_release(visit.actor, hold, set_hash=seen)
    except SomethingElseDueError:
        changed = "What would be due has changed since you saw it. This is the list as it is now. Read it again."
        return _release_page(proved, (Problem("", changed),))
    except ValueError:
        return _release_page(proved, (Problem("", "The form was not whole. Read the list and try again."),))
    except RefusedError as error:
        return _release_page(proved, (Problem("", refusal_words(error)),))
    return proved.go(f"/holds/{hold}?done=released")


def _form_page(visit: Visit, form: Form, problems: tuple[Problem, ...] = ()) -> Response[Any]:
    return visit.page("pages/hold_new.html", status=422 if problems else 200, form=form, problems=problems)


def _hold_page(visit: Visit, problems: tuple[Problem, ...] = ()) -> Response[Any]:
    holds, actor = visit.portal.archive.desk.holds, visit.actor
    view = holds.show(actor, visit.path("hold"))
    page = visit.number("page")
    held = holds.held(actor, view.id, limit=PAGE_ITEMS, offset=(page - 1) * PAGE_ITEMS)
    total = view.matched + view.kept_to_be_safe
    return visit.page(
        "pages/hold.html",
        status=422 if problems else 200,
        view=view,
        held=held,
        listed=_listed(visit, [each.message for each in held], about=view.id),
        people=_people(visit, [view]),
        may_approve=view.state is HoldState.RELEASE_REQUESTED and view.release_requested_by != actor.account,
        newer=f"/holds/{view.id}?page={page - 1}#held" if page > 1 else "",
        older=f"/holds/{view.id}?page={page + 1}#held" if total > page * PAGE_ITEMS else "",
        done=visit.query("done"),
        problems=problems,
    )


def _release_page(visit: Visit, problems: tuple[Problem, ...] = ()) -> Response[Any]:
    holds, actor = visit.portal.archive.desk.holds, visit.actor
    view = holds.show(actor, visit.path("hold"))
    preview = holds.preview_release(actor, view.id)
    return visit.page(
        "pages/hold_release.html",
        status=409 if problems else 200,
        view=view,
        preview=preview,
        listed=_listed(visit, [each.message for each in preview.due], about=view.id),
        people=_people(visit, [view]),
        may_approve=view.state is HoldState.RELEASE_REQUESTED and view.release_requested_by != actor.account,
        problems=problems,
    )


def _matter(form: Form) -> Matter | tuple[Problem, ...]:
    """What the form tells, or everything that is wrong with it."""
    problems: list[Problem] = []
    since, until = _day(form, "since", problems), _day(form, "until", problems)
    custodians = _custodians(form.get("custodians"), problems)
    if not form.line("name"):
        problems.append(Problem("name", "Give the matter a name."))
    if not form.is_set("reason"):
        problems.append(Problem("reason", "Say why these messages must be kept."))
    try:
        told = matter(
            name=form.line("name") or "-",
            reason=form.get("reason").strip() or "-",
            custodians=custodians,
            since=since,
            until=until,
            query_text=form.line("query"),
        )
    except QueryError as error:
        problems.append(Problem("query", f"The search is not understood: {error.message}."))
    except BadHoldError as error:
        problems.append(Problem("until" if "before" in error.message else "name", refusal_words(error)))
    return tuple(problems) if problems else told


def _custodians(text: str, problems: list[Problem]) -> list[str]:
    found = [each for each in re.split(r"[\s,;]+", text) if each]
    for each in found:
        try:
            parse_mailbox(each)
        except BadAddressError:
            problems.append(Problem("custodians", f"“{each}” is not an e-mail address."))
            return []
    return found


def _day(form: Form, name: str, problems: list[Problem]) -> date | None:
    text = form.line(name)
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        problems.append(Problem(name, "Write the day as year, month, day: 2026-01-31."))
        return None


def _listed(visit: Visit, messages: Iterable[MessageId], *, about: str) -> dict[MessageId, ListedMessage]:
    return visit.portal.archive.listing.of(visit.actor, list(messages), about=about)


def _people(visit: Visit, views: Iterable[HoldView]) -> dict[AccountId, Account]:
    told = {(view.placed_by, view.release_requested_by, view.released_by) for view in views}
    return visit.portal.people.names(frozenset(one for each in told for one in each if one))


def _rest_estimate(looked_at: int, messages: int) -> int:
    """About how many minutes looking at the rest takes, from how far the preview came in its time."""
    rest = messages - looked_at
    return -(-int(rest * PREVIEW_SECONDS / max(looked_at, 1)) // 60) if rest else 0


ROUTES = (holds_page, new_page, look_first, place, hold_page, ask_for_release, release_page, approve_release)
