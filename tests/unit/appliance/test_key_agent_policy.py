"""Who may ask the key agent for what, and how fast."""

from __future__ import annotations

import pytest

from appliance.key_agent_policy import DOORS, Allowance, Ask, Asker, Rate, as_whom, may

OPENS_MAIL = {Ask.WORKING_KEYS, Ask.OPEN, Ask.UNSEAL}


@pytest.mark.parametrize("asker", [Asker.SMTP, Asker.SEALED_SMTP])
def test_role_that_faces_the_internet_may_ask_for_nothing_that_opens_mail(asker: Asker) -> None:
    assert {ask for ask in Ask if may(asker, ask)} <= {Ask.DEPOSIT_KEYS, Ask.FOLLOW}


def test_socket_of_a_unit_is_that_of_its_roles_and_of_nobody_else() -> None:
    granted = {door: {ask for ask in Ask if may(as_whom(DOORS[door], ask), ask)} for door in DOORS}
    assert granted["smtp"] == {Ask.DEPOSIT_KEYS, Ask.FOLLOW}
    assert granted["mail"] == {Ask.STATUS, Ask.SEAL, Ask.WORKING_KEYS, Ask.OPEN, Ask.SIGN, Ask.FOLLOW, Ask.UNSEAL}
    assert {door for door in DOORS if {Ask.PREPARED, Ask.END} & granted[door]} == {"worker"}


def test_only_those_who_work_on_mail_get_its_keys() -> None:
    assert {asker for asker in Asker if may(asker, Ask.OPEN)} == {Asker.MAIL, Asker.WORKER, Asker.COMMAND}


def test_sealed_roles_get_no_key_at_all() -> None:
    for asker in (Asker.SEALED_SMTP, Asker.SEALED_MAIL):
        for ask in (Ask.DEPOSIT_KEYS, Ask.WORKING_KEYS, Ask.OPEN):
            assert not may(asker, ask)


def test_nobody_who_has_keys_may_try_secrets_but_commands() -> None:
    assert {asker for asker in Asker if may(asker, Ask.UNSEAL)} == {Asker.SEALED_MAIL, Asker.COMMAND}


def test_after_a_quiet_time_keys_come_at_once_and_then_at_the_rate() -> None:
    rate = Rate(per_minute=60, at_once=10)
    allowance = Allowance.full(rate, now=0.0)
    allowance, wait = allowance.taken(10, rate, now=0.0)
    assert wait == 0.0
    allowance, wait = allowance.taken(3, rate, now=0.0)
    assert wait == pytest.approx(3.0)
    allowance, wait = allowance.taken(1, rate, now=3.0)
    assert wait == pytest.approx(1.0)
    _, wait = allowance.taken(10, rate, now=1000.0)
    assert wait == 0.0


def test_whoever_waits_gets_on_for_ever_at_the_rate() -> None:
    rate, now = Rate(per_minute=600, at_once=1), 0.0
    allowance = Allowance.full(rate, now=now)
    for _ in range(1000):
        allowance, wait = allowance.taken(1, rate, now=now)
        now += wait
    assert now == pytest.approx(100.0, rel=0.01)


def test_quiet_for_a_year_is_no_more_than_at_once() -> None:
    rate = Rate(per_minute=60, at_once=10)
    _, wait = Allowance.full(rate, now=0.0).taken(11, rate, now=365 * 86400.0)
    assert wait == pytest.approx(1.0)
