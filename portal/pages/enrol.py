"""Enrolling in three steps: the code, a password, a second factor."""

from __future__ import annotations

from typing import Any

from litestar import Response

from portal import second_factor
from portal.pages.sign_in import JSON, NOT_SIGNED_IN, WRONG_CODE, arrive
from portal.sign_in import Wrong
from portal.visit import WITH_CODE, WITH_NEW_PASSWORD, Visit, shows, takes
from portal.writing import Problem

STEPS = ("Your code", "Your password", "Your second lock")
WRONG_ENROLMENT = Problem("code", "The address and the code do not fit together, or the code was used or has run out.")
WRONG_PASSKEY = Problem("", "The passkey could not be made. Try again, or use an authenticator app.")
DEVICE_NAME_LENGTH = 60


@shows("/enrol", audience=NOT_SIGNED_IN)
def code_page(visit: Visit) -> Response[Any]:
    """Step one."""
    return visit.page("pages/enrol_code.html", steps=STEPS, login="", code="", problems=())


@takes("/enrol", audience=NOT_SIGNED_IN)
def give_code(visit: Visit) -> Response[Any]:
    """Step one, answered."""
    login, code = visit.form.line("login"), visit.form.line("code")
    answer = visit.portal.enrolment.code(visit.session, login, code, visit.address)
    if isinstance(answer, Wrong):
        typed = {"login": login, "code": code}
        return visit.page("pages/enrol_code.html", status=422, steps=STEPS, **typed, problems=(WRONG_ENROLMENT,))
    return visit.go("/enrol/password", answer)


@shows("/enrol/password", audience=WITH_CODE)
def password_page(visit: Visit) -> Response[Any]:
    """Step two."""
    return _password_page(visit, ())


@takes("/enrol/password", audience=WITH_CODE)
def choose_password(visit: Visit) -> Response[Any]:
    """Step two, answered."""
    answer = visit.portal.enrolment.password(visit.session, visit.form.get("password"))
    if isinstance(answer, str):
        return _password_page(visit, (Problem("password", answer),))
    return visit.go("/enrol/factor", answer)


@shows("/enrol/factor", audience=WITH_NEW_PASSWORD)
def factor_page(visit: Visit) -> Response[Any]:
    """Step three: a picture for an app, or a passkey."""
    return _factor_page(visit, ())


@takes("/enrol/factor", audience=WITH_NEW_PASSWORD)
def confirm_authenticator(visit: Visit) -> Response[Any]:
    """Step three with an app."""
    answer = visit.portal.enrolment.authenticator(visit.session, visit.form.get("code"), visit.address)
    if isinstance(answer, Wrong):
        return _factor_page(visit, (WRONG_CODE,))
    return arrive(visit, answer, "")


@takes("/enrol/passkey/options", audience=WITH_NEW_PASSWORD)
def passkey_options(visit: Visit) -> Response[Any]:
    """What the browser is told to make a passkey, for the script."""
    return visit.plain(visit.portal.enrolment.passkey_options(visit.session), JSON)


@takes("/enrol/passkey", audience=WITH_NEW_PASSWORD)
def make_passkey(visit: Visit) -> Response[Any]:
    """Step three with a passkey."""
    label = visit.form.line("label")[:DEVICE_NAME_LENGTH] or "Passkey"
    answer = visit.portal.enrolment.passkey(visit.session, visit.form.get("answer"), label)
    if isinstance(answer, Wrong):
        return _factor_page(visit, (WRONG_PASSKEY,))
    return arrive(visit, answer, "")


def _password_page(visit: Visit, problems: tuple[Problem, ...]) -> Response[Any]:
    shortest = visit.portal.parts.settings.shortest_password
    login = visit.portal.sign_in.account_of(visit.session).person.email
    status = 422 if problems else 200
    return visit.page(
        "pages/enrol_password.html", status=status, steps=STEPS, shortest=shortest, login=login, problems=problems
    )


def _factor_page(visit: Visit, problems: tuple[Problem, ...]) -> Response[Any]:
    enrolment = visit.portal.enrolment
    return visit.page(
        "pages/enrol_factor.html",
        status=422 if problems else 200,
        steps=STEPS,
        picture=second_factor.picture(enrolment.offered_address(visit.session)),
        address=enrolment.offered_address(visit.session),
        secret=second_factor.in_groups(enrolment.offered_secret(visit.session)),
        problems=problems,
    )


ROUTES = (
    code_page,
    give_code,
    password_page,
    choose_password,
    factor_page,
    confirm_authenticator,
    passkey_options,
    make_passkey,
)
