"""The object store fails in every way it can: mail is taken in and read all the same, and nothing is lost (I1, I9)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from mailstore import store_state
from mailstore.errors import StorageUnavailableError, StrongroomError
from mailstore.message import MessageId
from mailstore.object_store_s3 import S3ObjectStore
from mailstore.s3_bucket import Limits
from mailstore.store_state import StoreReport, StoreState
from tests import s3_servers
from tests.chaos_proxy import Behaviour, ChaosProxy
from tests.s3_servers import S3Server
from tests.vault_room import Vault, a_deposit

DAY = timedelta(hours=24)
SHORT = Limits(connections=8, silence_seconds=0.4, call_seconds=1.0)
SIZES = (10, 90_000, 100)


@pytest.fixture
def proxy() -> Iterator[ChaosProxy]:
    """The way to a MinIO, as bad as it is told to be."""
    opened = ChaosProxy(("127.0.0.1", s3_servers.minio().port))
    yield opened
    opened.close()


def store(proxy: ChaosProxy, limits: Limits | None = None) -> S3ObjectStore:
    """The store behind the proxy, as a process has it that has just started."""
    return S3ObjectStore(s3_servers.minio().bucket("outage", port=proxy.port, limits=limits))


@pytest.fixture
def vault(tmp_path: Path, proxy: ChaosProxy) -> Iterator[Vault]:
    opened = Vault(tmp_path / "data")
    opened.objects = store(proxy)
    yield opened
    opened.close()


def look(vault: Vault) -> StoreReport:
    return store_state.look(vault.database, vault.objects, vault.gauge(), now=vault.clock.now())


@contextmanager
def broken(vault: Vault, proxy: ChaosProxy, behaviour: Behaviour, *, cut_after: int = 0) -> Iterator[None]:
    """While the network is bad nobody waits for long; afterwards, as after a start, for as long as it takes."""
    vault.objects = store(proxy, SHORT)
    with proxy.behaving(behaviour, cut_after=cut_after):
        proxy.drop_all()
        yield
    vault.objects = store(proxy)


def recovered(vault: Vault) -> None:
    """Wait as the worker does: after a fault the store is left in peace for a moment."""
    ends = time.monotonic() + 60
    while look(vault).state is StoreState.DOWN:
        assert time.monotonic() < ends, look(vault)
        time.sleep(0.05)


def contents(vault: Vault, messages: list[MessageId]) -> list[bytes]:
    return [vault.retrieval().content(message) for message in messages]


def deposited(vault: Vault) -> list[MessageId]:
    return vault.deposit(*map(a_deposit, map(os.urandom, SIZES)))


@pytest.mark.parametrize("behaviour", [each for each in Behaviour if each is not Behaviour.HONEST])
def test_store_behind_a_broken_network_costs_nobody_a_message(
    vault: Vault, proxy: ChaosProxy, behaviour: Behaviour
) -> None:
    first = deposited(vault)
    before = contents(vault, first)
    with broken(vault, proxy, behaviour, cut_after=100):
        with pytest.raises(StorageUnavailableError):
            vault.promotion().promote_all(first)
        assert contents(vault, first) == before
        second = deposited(vault)
        assert len(contents(vault, second)) == len(SIZES)
        if behaviour not in (Behaviour.SLOW, Behaviour.ALTER):
            report = look(vault)
            assert (report.state, report.spooled) == (StoreState.DOWN, 6)
            assert report.problem
            assert report.fix
    vault.promotion().promote_all([*first, *second])
    assert look(vault).spooled == 0
    assert vault.release().segments == 2
    assert contents(vault, first) == before


@pytest.mark.parametrize("behaviour", [Behaviour.BLACK_HOLE, Behaviour.ALTER, Behaviour.REFUSE])
def test_store_that_fails_within_the_dwell_time_keeps_nobody_from_reading(
    vault: Vault, proxy: ChaosProxy, behaviour: Behaviour
) -> None:
    messages = deposited(vault)
    before = contents(vault, messages)
    vault.promotion().promote_all(messages)
    with broken(vault, proxy, behaviour):
        asked = proxy.connections
        assert contents(vault, messages) == before
        assert proxy.connections == asked, "the store was asked although the spool has it"


@pytest.mark.parametrize("behaviour", [each for each in Behaviour if each not in (Behaviour.HONEST, Behaviour.SLOW)])
def test_message_that_the_store_alone_has_is_refused_and_never_another(
    vault: Vault, proxy: ChaosProxy, behaviour: Behaviour
) -> None:
    messages = deposited(vault)
    before = contents(vault, messages)
    vault.promotion().promote_all(messages)
    vault.release()
    with broken(vault, proxy, behaviour, cut_after=100):
        for message in messages:
            with pytest.raises(StrongroomError):
                vault.retrieval().content(message)
    assert contents(vault, messages) == before


def test_damaged_spool_is_read_from_the_store(vault: Vault) -> None:
    messages = deposited(vault)
    before = contents(vault, messages)
    vault.promotion().promote_all(messages)
    segment = vault.spool / str(vault.stored(messages[0]).segment)
    segment.write_bytes(os.urandom(segment.stat().st_size))
    assert contents(vault, messages) == before


def test_objects_lost_after_acknowledgement_are_put_again(vault: Vault) -> None:
    messages = deposited(vault)
    before = contents(vault, messages)
    vault.promotion().promote_all(messages)
    vault.objects.delete(str(vault.stored(messages[0]).object_name))
    vault.clock.advance(DAY)
    assert vault.release(DAY).lost_objects == 1
    assert "lost 1 objects" in look(vault).problem
    vault.promotion().promote_all(messages)
    vault.clock.advance(DAY)
    assert vault.release(DAY).segments == 1
    assert contents(vault, messages) == before


def test_credentials_that_expire_put_mail_off_to_later_and_say_so(tmp_path: Path) -> None:
    server = s3_servers.minio()
    mine = S3Server(server.kind, server.port, tmp_path, server.access_key, server.secret_key)
    vault = Vault(tmp_path / "data")
    vault.objects = mine.store()
    messages = deposited(vault)
    good = mine.credentials_file.read_text()
    mine.credentials_file.write_text(f"{server.access_key}\nno longer valid\n")
    with pytest.raises(StorageUnavailableError):
        vault.promotion().promote_all(messages)
    report = look(vault)
    assert report.state is StoreState.DOWN
    assert "credentials" in report.problem
    mine.credentials_file.write_text(good)
    recovered(vault)
    vault.promotion().promote_all(messages)
    assert look(vault).state is StoreState.OK
    vault.close()
