from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mailstore import outbox, store_state
from mailstore.outbox import Kind
from mailstore.store_state import StoreReport, StoreState
from tests.vault_room import NOW, Vault, a_deposit


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    opened = Vault(tmp_path / "data")
    yield opened
    opened.close()


def look(vault: Vault, *, cap_bytes: int = 1 << 40, took: float = 0.0) -> StoreReport:
    times = iter((0.0, took))
    return store_state.look(
        vault.database,
        vault.objects,
        vault.gauge(cap_bytes),
        now=vault.clock.now(),
        seconds=lambda: next(times, took),
    )


def test_counts_what_waits_and_since_when(vault: Vault) -> None:
    assert (look(vault).spooled, look(vault).promoted, look(vault).oldest) == (0, 0, None)
    first, second = vault.deposit(a_deposit(b"1"), a_deposit(b"2"))
    vault.promotion().promote(first)
    report = look(vault)
    assert (report.spooled, report.promoted, report.oldest) == (1, 1, NOW)
    vault.promotion().promote(second)
    vault.release()
    report = look(vault)
    assert (report.state, report.spooled, report.promoted, report.oldest) == (StoreState.OK, 0, 2, None)


def test_store_that_is_away_is_down_and_says_what_to_do(vault: Vault) -> None:
    vault.deposit(a_deposit())
    (vault.directory / "objects").rename(vault.directory / "away")
    report = look(vault)
    assert (report.state, report.spooled) == (StoreState.DOWN, 1)
    assert "is not there" in report.problem
    assert report.fix


def test_slow_store_is_degraded(vault: Vault) -> None:
    assert look(vault, took=1.9).state is StoreState.OK
    report = look(vault, took=2.5)
    assert report.state is StoreState.DEGRADED
    assert "2.5 s" in report.problem


def test_mail_that_could_not_be_put_is_told(vault: Vault) -> None:
    vault.deposit(a_deposit())
    (item,) = outbox.claim(
        vault.database, [Kind.PROMOTE], now=NOW, limit=1, lease=timedelta(minutes=1), worker="worker"
    )
    with vault.database.write() as connection:
        outbox.postpone(connection, item, NOW + timedelta(minutes=5), "fault.object_store_down")
    report = look(vault)
    assert report.state is StoreState.DEGRADED
    assert "fault.object_store_down" in report.problem


def test_object_that_the_store_lost_is_news_for_a_week(vault: Vault) -> None:
    (message,) = vault.deposit(a_deposit())
    vault.promotion().promote(message)
    vault.objects.delete(str(vault.stored(message).object_name))
    vault.release()
    vault.promotion().promote(message)
    assert "lost 1 objects" in look(vault).problem
    vault.clock.advance(timedelta(days=8))
    assert look(vault).state is StoreState.OK


def test_spool_near_its_cap_is_told_early(vault: Vault) -> None:
    vault.deposit(a_deposit(os.urandom(80_000)))
    used = look(vault).spool_bytes
    assert look(vault, cap_bytes=used * 2).state is StoreState.OK
    assert "% full" in look(vault, cap_bytes=used + 1).problem
    assert "mail is put off" in look(vault, cap_bytes=used).problem
