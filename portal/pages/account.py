"""One's own account: ways to sign in, devices, signing out everywhere."""

from __future__ import annotations

from typing import Any

from litestar import Response

from portal.errors import ForbiddenError
from portal.pages.sign_in import JSON, WRONG_CODE, WRONG_PASSKEY
from portal.sign_in import Wrong
from portal.visit import EVERYBODY, Visit, shows, takes
from portal.writing import Problem

DEVICE_NAME_LENGTH = 60


@shows("/account", audience=EVERYBODY)
def account_page(visit: Visit) -> Response[Any]:
    """What the account looks like now."""
    return _page(visit, ())


@takes("/account/proof", audience=EVERYBODY)
def prove(visit: Visit) -> Response[Any]:
    """Show the second factor again before changing how one signs in."""
    answer = visit.portal.sign_in.prove_again(visit.session, visit.form.get("code"), visit.address)
    if isinstance(answer, Wrong):
        return _page(visit, (WRONG_CODE,))
    return visit.go("/account", answer)


@takes("/account/passkeys/options", audience=EVERYBODY)
def passkey_options(visit: Visit) -> Response[Any]:
    """What the browser is told to make a passkey, for the script."""
    _require_fresh(visit)
    return visit.plain(visit.portal.own_account.passkey_options(visit.actor, visit.session), JSON)


@takes("/account/passkeys", audience=EVERYBODY)
def add_passkey(visit: Visit) -> Response[Any]:
    """Add a passkey."""
    _require_fresh(visit)
    label = visit.form.line("label")[:DEVICE_NAME_LENGTH]
    if not visit.portal.own_account.add_passkey(visit.actor, visit.session, visit.form.get("answer"), label):
        return _page(visit, (WRONG_PASSKEY,))
    return visit.go("/account?done=passkey-added")


@takes("/account/passkeys/{passkey:str}/remove", audience=EVERYBODY)
def remove_passkey(visit: Visit) -> Response[Any]:
    """Forget a passkey."""
    _require_fresh(visit)
    visit.portal.own_account.remove_passkey(visit.actor, visit.path("passkey"))
    return visit.go("/account?done=passkey-removed")


@takes("/account/sign-out-everywhere", audience=EVERYBODY)
def sign_out_everywhere(visit: Visit) -> Response[Any]:
    """End every session, this one too."""
    return visit.signed_out("/signed-out", visit.portal.sign_in.sign_out(visit.session, everywhere=True))


def _require_fresh(visit: Visit) -> None:
    if not visit.portal.sign_in.is_fresh(visit.session):
        raise ForbiddenError("the second factor must be shown first", fix="Show it on the account page.")


def _page(visit: Visit, problems: tuple[Problem, ...]) -> Response[Any]:
    own, actor = visit.portal.own_account, visit.actor
    return visit.page(
        "pages/account.html",
        status=422 if problems else 200,
        me=visit.portal.people.me(actor),
        passkeys=own.passkeys_of(actor),
        has_authenticator=own.has_authenticator(actor),
        sessions=own.sessions_of(actor),
        is_fresh=visit.portal.sign_in.is_fresh(visit.session),
        done=visit.query("done"),
        problems=problems,
    )


ROUTES = (account_page, prove, passkey_options, add_passkey, remove_passkey, sign_out_everywhere)
