"""The app password of a member of staff's mail program: shown once, and the old one ends with it."""

from __future__ import annotations

from typing import Any

from litestar import Response

from portal.pages.fresh_proof import proved
from portal.visit import STAFF, Visit, shows, takes
from portal.writing import Problem


@shows("/account/app-password", audience=STAFF)
def explain(visit: Visit) -> Response[Any]:
    """What a new one does."""
    return _page(visit, ())


@takes("/account/app-password", audience=STAFF)
def renew(visit: Visit) -> Response[Any]:
    """Make a new one and show it, this once."""
    fresh = proved(visit)
    if isinstance(fresh, Problem):
        return _page(visit, (fresh,))
    password = fresh.portal.people.new_app_password(fresh.actor)
    return _page(fresh, (), password)


def _page(visit: Visit, problems: tuple[Problem, ...], password: str = "") -> Response[Any]:
    return visit.page(
        "pages/app_password.html",
        status=422 if problems else 200,
        me=visit.portal.people.me(visit.actor),
        is_fresh=visit.portal.sign_in.is_fresh(visit.session),
        has_authenticator=visit.portal.own_account.has_authenticator(visit.actor),
        password=password,
        problems=problems,
    )


ROUTES = (explain, renew)
