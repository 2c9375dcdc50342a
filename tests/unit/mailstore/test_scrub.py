from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mailstore import audit_trail, message_pages, scrub
from mailstore.consistency_repair import Repair
from mailstore.errors import StorageUnavailableError
from mailstore.message import MessageId
from mailstore.scrub import FINISHED, FOUND, Scrub, ScrubState
from tests.check_room import spoil, spoil_copy, stores_of, three
from tests.vault_room import NOW, Vault, a_deposit

PERIOD = timedelta(days=30)
ROUND = PERIOD / 2


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    made = Vault(tmp_path / "data")
    yield made
    made.close()


def scrub_of(vault: Vault) -> Scrub:
    """As a worker that was just started has it."""
    stores = stores_of(vault)
    return Scrub(stores, Repair(stores, vault.clock, is_alone=False).mended, clock=vault.clock, period=PERIOD)


def found(vault: Vault) -> list[tuple[str, str]]:
    with vault.database.read() as connection:
        return [(entry.object, str(entry.detail["kind"])) for entry in audit_trail.of_events(connection, (FOUND,))]


def known(vault: Vault) -> ScrubState | None:
    with vault.database.read() as connection:
        return scrub.state(connection)


def test_round_reads_everything_in_half_of_the_time_and_says_so(vault: Vault) -> None:
    vault.deposit(*(a_deposit(f"message {number}".encode()) for number in range(60)))
    places = []
    for _ in range(15):
        places.append(scrub_of(vault).step().last_read)
        vault.clock.advance(timedelta(days=1))
    assert places == sorted(places)
    assert places[0] == 0
    assert 0 < places[3] < places[6] < places[9] == 60
    done = scrub_of(vault).step()
    assert (done.finished_at, done.finished_bad, done.last_read) == (NOW + ROUND, 0, 0)
    assert done.next_by(PERIOD) == NOW + ROUND + PERIOD
    with vault.database.read() as connection:
        assert len(audit_trail.of_events(connection, (FINISHED,))) == 1


def test_round_goes_on_after_a_restart_where_it_was(vault: Vault) -> None:
    vault.deposit(*(a_deposit(f"message {number}".encode()) for number in range(60)))
    scrub_of(vault).step()
    vault.clock.advance(ROUND / 4)
    first = scrub_of(vault).step()
    assert first.last_read == 30
    assert known(vault) == first
    spoil_copy(vault, vault.stored(_nth(vault, 10)))
    spoil_copy(vault, vault.stored(_nth(vault, 50)))
    vault.clock.advance(ROUND / 4)
    assert scrub_of(vault).step().last_read == 60
    assert [message for message, _ in found(vault)] == [_nth(vault, 50)]


def _nth(vault: Vault, sequence: int) -> MessageId:
    with vault.database.read() as connection:
        [(_, message)] = message_pages.id_page(connection, after=sequence - 1, limit=1)
    return message


def test_bad_copy_is_told_and_made_anew_from_the_whole_one(vault: Vault) -> None:
    message = three(vault)[0]
    scrub_of(vault).step()
    name = str(vault.stored(message).object_name)
    spoil(vault.directory / "objects" / name, 40)
    vault.clock.advance(ROUND / 2)
    assert scrub_of(vault).step().bad == 0
    assert found(vault) == [(message, "copy_altered")]
    vault.promotion().promote(message)
    assert vault.stored(message).object_name not in {None, name}
    assert vault.retrieval().content(message) == b"one"


def test_message_without_a_whole_copy_stays_an_alarm_until_a_round_finds_it_whole(vault: Vault) -> None:
    message = three(vault)[1]
    scrub_of(vault).step()
    spoil_copy(vault, vault.stored(message))
    vault.clock.advance(ROUND / 2)
    assert scrub_of(vault).step().bad == 1
    assert found(vault) == [(message, "bytes_altered")]
    vault.clock.advance(ROUND / 2)
    assert scrub_of(vault).step().finished_bad == 1
    spoil_copy(vault, vault.stored(message))
    vault.clock.advance(ROUND)
    assert scrub_of(vault).step().finished_bad == 0


def test_store_that_does_not_answer_stops_a_step_and_not_what_was_read_before(vault: Vault) -> None:
    messages = three(vault)
    scrub_of(vault).step()
    vault.promotion().promote(messages[2])
    path = vault.directory / "objects" / str(vault.stored(messages[2]).object_name)
    path.unlink()
    path.mkdir()
    vault.clock.advance(ROUND / 2)
    with pytest.raises(StorageUnavailableError):
        scrub_of(vault).step()
    state = known(vault)
    assert state is not None
    assert state.last_read == 2
    path.rmdir()
    assert scrub_of(vault).step().last_read == 3
    assert [kind for _, kind in found(vault)] == ["copy_missing"]


def test_clock_set_back_does_not_stop_the_scrub(vault: Vault) -> None:
    three(vault)
    vault.clock.advance(timedelta(days=4000))
    scrub_of(vault).step()
    vault.clock.advance(timedelta(days=-4000))
    scrub_of(vault).step()
    vault.clock.advance(ROUND)
    assert scrub_of(vault).step().finished_at == NOW + ROUND


def test_empty_vault_finishes_its_rounds(vault: Vault) -> None:
    scrub_of(vault).step()
    vault.clock.advance(ROUND)
    assert scrub_of(vault).step().finished_bad == 0


def test_disposed_messages_are_passed_over(vault: Vault) -> None:
    messages = three(vault)
    scrub_of(vault).step()
    vault.destroy(messages[:2])
    vault.clock.advance(ROUND)
    assert scrub_of(vault).step().finished_bad == 0
    assert found(vault) == []
