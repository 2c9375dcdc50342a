"""The second factor, shown again in the same form that asks for a dangerous act."""

from __future__ import annotations

from dataclasses import replace

from portal.pages.sign_in import WRONG_CODE
from portal.sign_in import Wrong
from portal.visit import Visit
from portal.writing import Problem


def proved(visit: Visit) -> Visit | Problem:
    """The visit to go on with, once a factor was shown in the last minutes or in the field ``code`` of this form.

    A code that is right begins the session again, so the visit that comes back carries its new cookie and token.
    """
    return visit if visit.portal.sign_in.is_fresh(visit.session) else shown_now(visit)


def shown_now(visit: Visit) -> Visit | Problem:
    """As ``proved``, but the code must stand in this very form, however short a while ago another was shown."""
    answer = visit.portal.sign_in.prove_again(visit.session, visit.form.get("code"), visit.address)
    if isinstance(answer, Wrong):
        return WRONG_CODE
    return replace(visit, session=answer, is_new=True)
