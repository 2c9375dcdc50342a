"""Saved searches: one's own, with what is new in each; saved, opened, renamed, run daily, removed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from litestar import Response

from archive.saved_search import BadSavedSearchError, NothingAskedError
from archive.search_facets import BadFacetError
from archive.search_query import QueryError
from portal import facet_words
from portal.error_pages import refusal_words
from portal.forms import Form
from portal.search_address import SearchAddress
from portal.visit import RECORDS_OFFICERS, Visit, shows, takes

LIST = "/archive/saved"


@shows("/archive/saved", audience=RECORDS_OFFICERS)
def saved_page(visit: Visit) -> Response[Any]:
    """One's own saved searches."""
    return _page(visit)


@takes("/archive/saved", audience=RECORDS_OFFICERS)
def save(visit: Visit) -> Response[Any]:
    """Save the search that the form carries."""
    asked, form = _address(visit.form), visit.form
    try:
        visit.portal.archive.saved.add(visit.actor, form.line("name"), asked.asked, is_daily=form.is_set("daily"))
    except (BadSavedSearchError, NothingAskedError, QueryError, BadFacetError) as error:
        return _page(visit, refusal_words(error), status=422)
    return visit.go(LIST)


@takes("/archive/saved/{saved:str}/open", audience=RECORDS_OFFICERS)
def open_saved(visit: Visit) -> Response[Any]:
    """Go to its results; what came since they were looked at last is marked as new there."""
    found = visit.portal.archive.saved.look(visit.actor, visit.path("saved"))
    return visit.go(SearchAddress(found.asked, new_since=found.looked_until, saved=found.id).at())


@takes("/archive/saved/{saved:str}", audience=RECORDS_OFFICERS)
def change(visit: Visit) -> Response[Any]:
    """Give it another name, and run it daily or not any more."""
    saved, id_, form = visit.portal.archive.saved, visit.path("saved"), visit.form
    before = saved.show(visit.actor, id_)
    try:
        if form.line("name") != before.name:
            saved.rename(visit.actor, id_, form.line("name"))
    except BadSavedSearchError as error:
        return _page(visit, refusal_words(error), status=422)
    if form.is_set("daily") is not before.is_daily:
        saved.run_daily(visit.actor, id_, is_daily=form.is_set("daily"))
    return visit.go(LIST)


@takes("/archive/saved/{saved:str}/remove", audience=RECORDS_OFFICERS)
def remove(visit: Visit) -> Response[Any]:
    """Forget it."""
    visit.portal.archive.saved.remove(visit.actor, visit.path("saved"))
    return visit.go(LIST)


def _page(visit: Visit, problem: str = "", *, status: int = 200) -> Response[Any]:
    archive = visit.portal.archive
    names = archive.search.mailboxes(visit.actor)
    saved = archive.saved.all(visit.actor)
    chips = {each.id: facet_words.chips(SearchAddress(each.asked), names) for each in saved}
    return visit.page("pages/saved_searches.html", status=status, problem=problem, saved=saved, chips=chips)


def _address(form: Form) -> SearchAddress:
    """The search that a form carries, as its page carried it in the address."""
    return replace(SearchAddress.read(form.get, 1), new_since=None, saved="")


ROUTES = (saved_page, save, open_saved, change, remove)
