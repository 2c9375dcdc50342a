from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mailstore import audit_trail
from mailstore.errors import RefusedError, TamperedError
from mailstore.message import AccountId
from mailstore.sealed_rows import rows_of
from mailstore.tables import trusted_time as table
from mailstore.time_witnesses import ThisMachine, dated, service_witness
from mailstore.trusted_clock import BEGUN, CLAIMED, CONFIRMED, FROZEN, RESUMED, TrustedClock
from mailstore.trusted_time import Doubt, Frozen, Judgement, Trusted, Witness
from mailstore.wall_clock import SystemClock
from tests.vault_room import NOW, Vault

RUTH, PAUL = AccountId("r" * 26), AccountId("p" * 26)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    made = Vault(tmp_path / "data")
    with made.database.write() as connection:
        made.trusted_clock.begin(connection)
    yield made
    made.close()


def judged(vault: Vault) -> Judgement:
    with vault.database.read() as connection:
        return vault.trusted_clock.judged(connection)


def events(vault: Vault) -> list[str]:
    with vault.database.read() as connection:
        return [entry.event for entry in audit_trail.tail(connection, 100)]


def test_time_goes_on_from_what_was_kept_by_another_process(vault: Vault) -> None:
    vault.clock.advance(3 * DAY)
    vault.trusted_clock.keep()
    vault.clock.advance(2 * DAY)
    other = TrustedClock(vault.database, vault.machine)
    with vault.database.read() as connection:
        assert other.judged(connection) == Trusted(NOW + 5 * DAY)


def test_jump_is_frozen_at_once_and_the_log_hears_of_it_once(vault: Vault) -> None:
    vault.machine.jump(10 * DAY)
    assert judged(vault) == Frozen(NOW, Doubt.AHEAD, NOW)
    vault.trusted_clock.keep()
    vault.trusted_clock.keep()
    vault.machine.jump(-10 * DAY)
    vault.trusted_clock.keep()
    assert events(vault) == [BEGUN, FROZEN, RESUMED]
    assert judged(vault) == Trusted(NOW)


def test_long_pause_is_frozen_until_a_witness_says_the_same(vault: Vault) -> None:
    vault.machine.restart(clock_gains=30 * DAY)
    assert isinstance(judged(vault), Frozen)
    vault.machine.witnesses = (Witness("kernel", vault.clock.now()),)
    assert vault.trusted_clock.keep() == Trusted(NOW + 30 * DAY)
    vault.machine.witnesses = ()
    assert judged(vault) == Trusted(NOW + 30 * DAY)


def test_two_persons_confirm_the_clock_and_one_twice_does_not(vault: Vault) -> None:
    vault.machine.restart(clock_gains=30 * DAY)
    assert not vault.trusted_clock.confirm(RUTH, may_complete=True)
    assert not vault.trusted_clock.confirm(RUTH, may_complete=True)
    assert isinstance(judged(vault), Frozen)
    vault.clock.advance(HOUR)
    assert vault.trusted_clock.confirm(PAUL, may_complete=True)
    assert judged(vault) == Trusted(NOW + 30 * DAY + HOUR)
    assert events(vault) == [BEGUN, CLAIMED, CLAIMED, CONFIRMED]


def test_word_of_who_may_not_complete_waits_for_another(vault: Vault) -> None:
    vault.machine.restart(clock_gains=30 * DAY)
    assert not vault.trusted_clock.confirm(PAUL, may_complete=True)
    assert not vault.trusted_clock.confirm(RUTH, may_complete=False)
    with vault.database.read() as connection:
        assert vault.trusted_clock.view(connection).claimed_by == RUTH
    assert vault.trusted_clock.confirm(PAUL, may_complete=True)


def test_trusted_clock_cannot_be_confirmed(vault: Vault) -> None:
    with pytest.raises(RefusedError, match="nothing to confirm"):
        vault.trusted_clock.confirm(RUTH, may_complete=True)


def test_answer_of_another_server_is_a_witness_and_nonsense_is_none(vault: Vault) -> None:
    assert dated("store", "Wed, 04 Mar 2026 05:06:07 GMT") == (Witness("store", NOW.replace(microsecond=0)),)
    assert [dated("store", date) for date in (None, "", "yesterday", "Wed, 04 Mar 2026 05:06:07 -0000")] == [()] * 4
    vault.machine.restart(clock_gains=30 * DAY)
    assert isinstance(vault.trusted_clock.keep(dated("store", "Wed, 04 Mar 2026 05:06:07 GMT")), Frozen)
    assert isinstance(vault.trusted_clock.keep(dated("store", "Fri, 03 Apr 2026 05:06:07 GMT")), Trusted)
    assert judged(vault) == Trusted(NOW.replace(microsecond=0) + 30 * DAY)


def test_row_that_was_taken_away_is_not_begun_anew_with_another_time(vault: Vault) -> None:
    with vault.database.write() as connection:
        rows_of(connection).delete(connection, table, table.c.id == 1)
    vault.machine.jump(10 * DAY)
    with pytest.raises(TamperedError):
        judged(vault)
    with pytest.raises(TamperedError):
        vault.trusted_clock.keep()


def test_mail_goes_on_being_captured_while_the_time_cannot_be_known(vault: Vault) -> None:
    with vault.database.write() as connection:
        rows_of(connection).delete(connection, table, table.c.id == 1)
    with vault.database.read() as connection:
        assert vault.trusted_clock.proved(connection) is None


def test_what_is_proved_goes_on_whatever_the_clock_says(vault: Vault) -> None:
    vault.machine.jump(-100 * DAY)
    vault.clock.advance(DAY)
    with vault.database.read() as connection:
        assert vault.trusted_clock.proved(connection) == NOW + DAY


def test_this_machine_counts_time_that_passes(vault: Vault) -> None:
    machine = ThisMachine(SystemClock(), asked=lambda _wall: ())
    first, second = machine.reading(), machine.reading()
    assert first.boot == second.boot
    assert timedelta(0) <= second.uptime - first.uptime < timedelta(minutes=1)
    assert isinstance(ThisMachine(SystemClock()).reading().witnesses, tuple)
    del vault


def test_mark_of_the_time_service_is_believed_while_it_is_fresh_and_the_clock_agrees(tmp_path: Path) -> None:
    mark = tmp_path / "synchronized"
    assert service_witness(NOW, mark) == ()
    mark.touch()
    os.utime(mark, (NOW.timestamp(), NOW.timestamp()))
    (witness,) = service_witness(NOW + timedelta(minutes=34), mark)
    assert witness.at == NOW
    assert service_witness(NOW + timedelta(minutes=46), mark) == (), "the service is silent, or the clock was set"
    assert service_witness(NOW - timedelta(seconds=1), mark) == ()
