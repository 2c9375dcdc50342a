"""Core: the steps of signing in and of enrolling, as one transition table.

A session holds exactly one step. Nothing but ``Step.SIGNED_IN`` opens a page with mail on it, and the only roads
there lead over two factors (NIST SP 800-63B-4 section 2.2: AAL2).
"""

from __future__ import annotations

from enum import StrEnum

from portal.errors import StepMissingError


class Step(StrEnum):
    """How far a visitor has come."""

    ANONYMOUS = "anonymous"
    PASSWORD_PROVEN = "password_proven"  # noqa: S105 - the name of a step, not a secret
    CODE_PROVEN = "code_proven"
    PASSWORD_CHOSEN = "password_chosen"  # noqa: S105 - the name of a step, not a secret
    SIGNED_IN = "signed_in"


class Proof(StrEnum):
    """What a visitor has just shown. A passkey with user verification is two factors in one."""

    PASSWORD = "password"  # noqa: S105 - the name of a proof, not a secret
    ONE_TIME_CODE = "one_time_code"
    PASSKEY = "passkey"
    ENROLMENT_CODE = "enrolment_code"
    NEW_PASSWORD = "new_password"  # noqa: S105 - the name of a proof, not a secret
    NEW_AUTHENTICATOR = "new_authenticator"
    NEW_PASSKEY = "new_passkey"


TRANSITIONS: dict[tuple[Step, Proof], Step] = {
    (Step.ANONYMOUS, Proof.PASSWORD): Step.PASSWORD_PROVEN,
    (Step.ANONYMOUS, Proof.PASSKEY): Step.SIGNED_IN,
    (Step.PASSWORD_PROVEN, Proof.ONE_TIME_CODE): Step.SIGNED_IN,
    (Step.PASSWORD_PROVEN, Proof.PASSKEY): Step.SIGNED_IN,
    (Step.ANONYMOUS, Proof.ENROLMENT_CODE): Step.CODE_PROVEN,
    (Step.CODE_PROVEN, Proof.NEW_PASSWORD): Step.PASSWORD_CHOSEN,
    (Step.PASSWORD_CHOSEN, Proof.NEW_AUTHENTICATOR): Step.SIGNED_IN,
    (Step.PASSWORD_CHOSEN, Proof.NEW_PASSKEY): Step.SIGNED_IN,
}


def after(step: Step, proof: Proof) -> Step:
    """The step that ``proof`` leads to from ``step``; whatever the table does not name is refused."""
    try:
        return TRANSITIONS[step, proof]
    except KeyError:
        raise StepMissingError(f"{proof} does not follow {step}", fix="Start again at the sign-in page.") from None
