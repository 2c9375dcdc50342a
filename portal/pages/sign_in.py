"""Signing in and out."""

from __future__ import annotations

from typing import Any

from litestar import Response

from portal.navigation import home_of
from portal.sessions import Session
from portal.sign_in import Wrong
from portal.sign_in_rules import Step
from portal.visit import ANYBODY, EVERYBODY, WITH_PASSWORD, Audience, Visit, local_path, shows, sign_in_path, takes
from portal.writing import Problem

JSON = "application/json"
BEFORE_PASSKEY = Audience("visitors who may show a passkey", frozenset({Step.ANONYMOUS, Step.PASSWORD_PROVEN}))
NOT_SIGNED_IN = Audience("visitors who have proved nothing", frozenset({Step.ANONYMOUS}))

WRONG_PASSWORD = Problem("login", "The address or the password is not right. Check both and try again.")
WRONG_CODE = Problem("code", "This code is not right, or was used before. Wait for the next one and type that.")
WRONG_PASSKEY = Problem("", "The passkey was not accepted. Try again, or use your password.")


def arrive(visit: Visit, session: Session, wanted: str) -> Response[Any]:
    """Go where the visitor wanted to go, or to the first page."""
    actor = session.actor
    home = home_of(actor) if actor else "/"
    return visit.go(local_path(wanted) or home, session)


@shows("/sign-in", audience=ANYBODY)
def sign_in_page(visit: Visit) -> Response[Any]:
    """The form for password or passkey. Somebody in the middle is led on to their step."""
    if visit.session.step is not Step.ANONYMOUS:
        return visit.go("/")
    return _first_page(visit, visit.query("next"))


@takes("/sign-in", audience=NOT_SIGNED_IN)
def give_password(visit: Visit) -> Response[Any]:
    """The first factor."""
    login, wanted = visit.form.line("login"), visit.form.line("next")
    answer = visit.portal.sign_in.password(visit.session, login, visit.form.get("password"), visit.address)
    if isinstance(answer, Wrong):
        return _first_page(visit, wanted, login=login, problems=(WRONG_PASSWORD,), status=422)
    path = sign_in_path(wanted).replace("/sign-in", "/sign-in/code", 1) if wanted else "/sign-in/code"
    return visit.go(path, answer)


@shows("/sign-in/code", audience=WITH_PASSWORD)
def code_page(visit: Visit) -> Response[Any]:
    """The form for the second factor."""
    return _second_page(visit, visit.query("next"))


@takes("/sign-in/code", audience=WITH_PASSWORD)
def give_code(visit: Visit) -> Response[Any]:
    """The second factor."""
    wanted = visit.form.line("next")
    answer = visit.portal.sign_in.one_time_code(visit.session, visit.form.get("code"), visit.address)
    if isinstance(answer, Wrong):
        return _second_page(visit, wanted, problems=(WRONG_CODE,), status=422)
    return arrive(visit, answer, wanted)


@takes("/sign-in/passkey/options", audience=BEFORE_PASSKEY)
def passkey_options(visit: Visit) -> Response[Any]:
    """The challenge, for the script."""
    return visit.plain(visit.portal.sign_in.passkey_options(visit.session), JSON)


@takes("/sign-in/passkey", audience=BEFORE_PASSKEY)
def give_passkey(visit: Visit) -> Response[Any]:
    """Both factors in one."""
    wanted = visit.form.line("next")
    answer = visit.portal.sign_in.passkey(visit.session, visit.form.get("answer"), visit.address)
    if isinstance(answer, Wrong):
        show = _first_page if visit.session.step is Step.ANONYMOUS else _second_page
        return show(visit, wanted, problems=(WRONG_PASSKEY,), status=422)
    return arrive(visit, answer, wanted)


@takes("/sign-in/again", audience=ANYBODY)
def start_again(visit: Visit) -> Response[Any]:
    """Leave a sign-in or an enrolment in the middle."""
    return visit.go("/sign-in", visit.portal.sign_in.sign_out(visit.session))


@takes("/sign-out", audience=EVERYBODY)
def sign_out(visit: Visit) -> Response[Any]:
    """End the session."""
    return visit.signed_out("/signed-out", visit.portal.sign_in.sign_out(visit.session))


@shows("/signed-out", audience=ANYBODY)
def signed_out_page(visit: Visit) -> Response[Any]:
    """Say that it is done."""
    return visit.page("pages/signed_out.html")


def _first_page(
    visit: Visit, wanted: str, *, login: str = "", problems: tuple[Problem, ...] = (), status: int = 200
) -> Response[Any]:
    kept = local_path(wanted) or ""
    return visit.page("pages/sign_in.html", status=status, wanted=kept, login=login, problems=problems)


def _second_page(visit: Visit, wanted: str, *, problems: tuple[Problem, ...] = (), status: int = 200) -> Response[Any]:
    return visit.page("pages/sign_in_code.html", status=status, wanted=local_path(wanted) or "", problems=problems)


ROUTES = (
    sign_in_page,
    give_password,
    code_page,
    give_code,
    passkey_options,
    give_passkey,
    start_again,
    sign_out,
    signed_out_page,
)
