"""Patients: who has access, who waits for it, enrolling, and a new code after checking who somebody is."""

from __future__ import annotations

from typing import Any

from litestar import Response

from mailstore.errors import NotFoundError, RefusedError
from mailstore.message import AccountId
from portal import second_factor
from portal.account_records import AccountExistsError, AccountState
from portal.pages.conversations import message_id
from portal.pages.fresh_proof import proved
from portal.people import PatientAccess
from portal.visit import ENROLLERS, Visit, shows, takes
from portal.writing import Problem

PATIENTS_AT_ONCE = 50
CHECK_FIRST = Problem("checked", "Check who the person is, then tick this box.")
EXISTS = Problem("email", "A patient with this address is enrolled already. Look under Patients.")
_MOST_DIGITS = 6


@shows("/patients", audience=ENROLLERS)
def patients_page(visit: Visit) -> Response[Any]:
    """Everybody with access, and those for whom mail waits who have none."""
    every = visit.portal.people.patients_with_codes(visit.actor)
    wanted = " ".join(visit.query("find").split())[:120]
    found = [each for each in every if _fits(each, wanted)]
    page = _page_number(visit, len(found))
    return visit.page(
        "pages/patients.html",
        patients=found[(page - 1) * PATIENTS_AT_ONCE : page * PATIENTS_AT_ONCE],
        found=len(found),
        total=len(every),
        find=wanted,
        page=page,
        last_page=_pages(len(found)),
        waiting=visit.portal.tracking.waiting_for_access(visit.actor) if page == 1 and not wanted else [],
        done=visit.query("done"),
        state_of=lambda access: state_words(access, visit),
    )


@shows("/patients/new", audience=ENROLLERS)
def enrol_page(visit: Visit) -> Response[Any]:
    """The form."""
    return _enrol_page(visit, name="", email="")


@shows("/patients/new/{message:str}/{position:int}", audience=ENROLLERS)
def enrol_recipient_page(visit: Visit) -> Response[Any]:
    """The form, for a recipient whose message waits. The address stays out of the address bar."""
    position = int(visit.path("position"))
    if not 0 <= position < 10**_MOST_DIGITS:
        raise NotFoundError("nobody waits here")
    email = visit.portal.tracking.waiting_person(visit.actor, message_id(visit), position)
    return _enrol_page(visit, name="", email=email)


@takes("/patients/new", audience=ENROLLERS)
def enrol(visit: Visit) -> Response[Any]:
    """Enrol, and show the code this once."""
    name, email = visit.form.line("name"), visit.form.line("email")
    try:
        new = visit.portal.people.add_patient(visit.actor, email, name)
    except AccountExistsError:
        return _enrol_page(visit, name=name, email=email, problems=(EXISTS,))
    except RefusedError as error:
        field = "name" if error.message.startswith("the name") else "email"
        return _enrol_page(visit, name=name, email=email, problems=(Problem(field, error.fix or error.message),))
    return _code_page(visit, new.account.id, new.enrolment_code)


@shows("/patients/{patient:str}", audience=ENROLLERS)
def patient_page(visit: Visit) -> Response[Any]:
    """One patient: state, what waits, and the way to a new code."""
    access = visit.portal.people.patient_access(visit.actor, _patient(visit))
    waiting = visit.portal.tracking.waiting_messages(visit.actor, access.account.person.email)
    return visit.page("pages/patient.html", patient=access, state=state_words(access, visit), waiting=waiting)


@shows("/patients/{patient:str}/code", audience=ENROLLERS)
def preview_code(visit: Visit) -> Response[Any]:
    """What a new code ends, before it does."""
    return _preview(visit, ())


@takes("/patients/{patient:str}/code", audience=ENROLLERS)
def new_code(visit: Visit) -> Response[Any]:
    """End the old ways in and show a new code, this once."""
    if not visit.form.is_set("checked"):
        return _preview(visit, (CHECK_FIRST,))
    fresh = proved(visit)
    if isinstance(fresh, Problem):
        return _preview(visit, (fresh,))
    patient = _patient(visit)
    return _code_page(fresh, patient, fresh.portal.people.new_enrolment_code(fresh.actor, patient))


def state_words(access: PatientAccess, visit: Visit) -> tuple[str, str]:
    """The state of somebody's access: the kind of badge, and its words."""
    if access.account.state is AccountState.ACTIVE:
        return "good", "Has access"
    if access.account.state is AccountState.CLOSED:
        return "", "Closed"
    if access.code is None or access.code.expires_at <= visit.now:
        return "warn", "Code has run out"
    return "warn", "Code not used yet"


def _enrol_page(visit: Visit, *, name: str, email: str, problems: tuple[Problem, ...] = ()) -> Response[Any]:
    status = 422 if problems else 200
    return visit.page("pages/patient_new.html", status=status, name=name, email=email, problems=problems)


def _preview(visit: Visit, problems: tuple[Problem, ...]) -> Response[Any]:
    return visit.page(
        "pages/patient_reset.html",
        status=422 if problems else 200,
        patient=visit.portal.people.patient_access(visit.actor, _patient(visit)),
        is_fresh=visit.portal.sign_in.is_fresh(visit.session),
        has_authenticator=visit.portal.own_account.has_authenticator(visit.actor),
        problems=problems,
    )


def _code_page(visit: Visit, patient: AccountId, code: str) -> Response[Any]:
    settings, people = visit.portal.parts.settings, visit.portal.people
    access = people.patient_access(visit.actor, patient)
    return visit.page(
        "pages/patient_code.html",
        patient=access,
        code=code,
        enrol_address=f"{settings.origin.rstrip('/')}/enrol",
        picture=second_factor.picture(f"{settings.origin.rstrip('/')}/enrol"),
        waiting=visit.portal.tracking.waiting_messages(visit.actor, access.account.person.email),
        by=people.me(visit.actor).person.name,
    )


def _patient(visit: Visit) -> AccountId:
    name = visit.path("patient")
    if not name.isalnum():
        raise NotFoundError("no such patient")
    return AccountId(name)


def _fits(access: PatientAccess, wanted: str) -> bool:
    person, words = access.account.person, wanted.casefold().split()
    text = f"{person.name} {person.email}".casefold()
    return all(word in text for word in words)


def _page_number(visit: Visit, found: int) -> int:
    asked = visit.query("page", "1")
    number = int(asked) if asked.isascii() and asked.isdigit() and len(asked) <= _MOST_DIGITS else 1
    return max(1, min(number, _pages(found)))


def _pages(found: int) -> int:
    return max(1, -(-found // PATIENTS_AT_ONCE))


ROUTES = (
    patients_page,
    enrol_page,
    enrol_recipient_page,
    enrol,
    patient_page,
    preview_code,
    new_code,
)
