"""Nothing but two factors leads to SIGNED_IN."""

from __future__ import annotations

from itertools import product

import pytest

from portal.errors import StepMissingError
from portal.sign_in_rules import TRANSITIONS, Proof, Step, after


@pytest.mark.parametrize(("step", "proof"), [pair for pair in product(Step, Proof) if pair not in TRANSITIONS])
def test_what_the_table_does_not_name_is_refused(step: Step, proof: Proof) -> None:
    with pytest.raises(StepMissingError):
        after(step, proof)


def test_only_a_second_factor_signs_in() -> None:
    last = {proof for (_, proof), step in TRANSITIONS.items() if step is Step.SIGNED_IN}
    assert last == {Proof.ONE_TIME_CODE, Proof.PASSKEY, Proof.NEW_AUTHENTICATOR, Proof.NEW_PASSKEY}


def test_from_nothing_only_a_passkey_signs_in_at_once() -> None:
    at_once = [proof for (step, proof), to in TRANSITIONS.items() if step is Step.ANONYMOUS and to is Step.SIGNED_IN]
    assert at_once == [Proof.PASSKEY]


def test_a_signed_in_person_has_nothing_more_to_prove_here() -> None:
    assert not [step for step, _ in TRANSITIONS if step is Step.SIGNED_IN]
