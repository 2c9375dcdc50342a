from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import Connection

from mailstore import mailboxes, message_records, outbox, spool
from mailstore.errors import DestroyedError, NotFoundError, StorageUnavailableError
from mailstore.mailboxes import Folder
from mailstore.message import MessageId
from tests.vault_room import Vault, a_deposit


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "data")


def sealed_bytes(vault: Vault, message: MessageId) -> bytes:
    return vault.retrieval()._sealed_bytes(vault.stored(message)).sealed


def test_destroyed_message_is_nowhere_and_its_neighbour_stays(vault: Vault) -> None:
    mailbox = vault.mailbox()
    doomed, kept = vault.deposit(a_deposit(b"doomed", mailbox=mailbox), a_deposit(b"kept", mailbox=mailbox))
    sealed = sealed_bytes(vault, doomed)
    wrapped = vault.keystore.wrapped_key(doomed).wrapped_message_key
    assert vault.files_hold(sealed)
    vault.destroy([doomed])
    assert not vault.files_hold(sealed)
    assert not vault.files_hold(sealed[:40])
    assert not vault.files_hold(wrapped)
    assert vault.destruction().prove_absent(doomed) == ()
    with pytest.raises(DestroyedError):
        vault.retrieval().content(doomed)
    with vault.database.read() as connection:
        assert [entry.message for entry in mailboxes.entries(connection, mailbox, Folder.INBOX, 10)] == [kept]
        assert sum(outbox.waiting(connection).values()) == 2
    assert vault.retrieval().content(kept) == b"kept"


def test_promoted_message_dies_in_the_store_and_in_the_open_segment(vault: Vault) -> None:
    depositor = vault.depositor()
    doomed, kept = depositor.deposit(a_deposit(os.urandom(5000))), depositor.deposit(a_deposit(b"kept"))
    vault.promotion().promote(doomed)
    sealed = sealed_bytes(vault, doomed)
    assert len(spool.segments(vault.spool)) == 1
    vault.destroy([doomed])
    assert not vault.files_hold(sealed)
    assert not vault.files_hold(sealed[100:200])
    assert list(vault.objects.names()) == []
    assert vault.destruction().prove_absent(doomed) == ()
    assert vault.retrieval().content(kept) == b"kept"
    depositor.close()


def test_message_that_was_never_ours_stops_the_run_before_it_begins(vault: Vault) -> None:
    (message,) = vault.deposit(a_deposit(b"kept"))
    with pytest.raises(NotFoundError):
        vault.destroy([message, MessageId("z" * 26)])
    assert vault.retrieval().content(message) == b"kept"


def test_nothing_to_destroy_destroys_nothing(vault: Vault) -> None:
    (message,) = vault.deposit(a_deposit(b"kept"))
    vault.destroy([])
    assert vault.retrieval().content(message) == b"kept"


def test_run_again_after_it_was_done_changes_nothing(vault: Vault) -> None:
    first, second = vault.deposit(a_deposit(b"1"), a_deposit(b"2"))
    vault.destroy([first])
    vault.destroy([first, second])
    assert vault.destruction().prove_absent(first) == ()
    assert vault.destruction().prove_absent(second) == ()


def test_what_is_left_is_told(vault: Vault) -> None:
    (message,) = vault.deposit(a_deposit())
    problems = vault.destruction().prove_absent(message)
    assert len(problems) == 5
    vault.keystore.destroy([message], at=vault.clock.now())
    assert len(vault.destruction().prove_absent(message)) == 3


def test_the_callers_rows_are_forgotten_in_the_same_transaction(vault: Vault) -> None:
    (message,) = vault.deposit(a_deposit())

    def refuse(connection: Connection, messages: Sequence[MessageId]) -> None:
        assert message_records.stored_many(connection, messages)
        raise StorageUnavailableError("the index does not answer")

    with pytest.raises(StorageUnavailableError):
        vault.destruction().destroy([message], certificate="c", forget=refuse)
    assert "its row is still there" in vault.destruction().prove_absent(message)
    vault.destroy([message])
    assert vault.destruction().prove_absent(message) == ()


def test_message_promoted_during_its_destruction_dies_all_the_same(vault: Vault) -> None:
    """The promotion slips in between reading the row and removing it."""
    (message,) = vault.deposit(a_deposit())
    destruction = vault.destruction()
    sealed = sealed_bytes(vault, message)
    first_look = destruction._stored([message])
    vault.promotion().promote(message)
    removed = destruction._rows_removed(
        [message], first_look, certificate="c", forget=lambda _connection, _messages: None
    )
    assert not removed
    vault.destroy([message])
    assert not vault.files_hold(sealed)
    assert list(vault.objects.names()) == []


def test_destroyed_message_does_not_come_back_by_its_old_key(vault: Vault) -> None:
    (message,) = vault.deposit(a_deposit())
    stored, wrapped = vault.stored(message), vault.keystore.wrapped_key(message)
    vault.destroy([message])
    assert vault.keystore.is_destroyed(message)
    assert not vault.files_hold(wrapped.wrapped_message_key)
    with pytest.raises(DestroyedError):
        vault.retrieval().summary(stored)


CHILD = """
import sys
from pathlib import Path
from tests.vault_room import Vault
Vault(Path(sys.argv[1])).destroy(sys.argv[2:])
"""

STEPS = ["after_keys", "after_spool", "after_object", "after_rows", "after_journal"]


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_destruction_converges(vault: Vault, step: str) -> None:
    promoted, spooled, kept = vault.deposit(a_deposit(b"1"), a_deposit(b"2"), a_deposit(b"3"))
    vault.promotion().promote(promoted)
    dying = [sealed_bytes(vault, message) for message in (promoted, spooled)]
    environment = {**os.environ, "STRONGROOM_FAILPOINT": f"destruction.{step}:kill", "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-c", CHILD, str(vault.directory), promoted, spooled]
    died = subprocess.run(command, env=environment, check=False, timeout=60)
    assert died.returncode == -9
    for message in (promoted, spooled):
        with pytest.raises(DestroyedError):
            vault.retrieval().content(message)
    vault.destroy([promoted, spooled])
    for message, sealed in zip((promoted, spooled), dying, strict=True):
        assert vault.destruction().prove_absent(message) == ()
        assert not vault.files_hold(sealed)
    assert list(vault.objects.names()) == []
    assert vault.retrieval().content(kept) == b"3"
