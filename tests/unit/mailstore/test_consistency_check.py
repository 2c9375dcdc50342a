from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mailstore import message_records
from mailstore.audit_tree import audit_public_key
from mailstore.consistency_check import Finding, Stores, Weight, check
from mailstore.message import MessageId
from tests.vault_room import NOW, RING, Vault, a_deposit

LATER = NOW + timedelta(hours=2)


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    made = Vault(tmp_path / "data")
    yield made
    made.close()


def findings(vault: Vault, *, reads_objects: bool = True) -> list[Finding]:
    stores = Stores(
        database=vault.database,
        keystore=vault.keystore,
        spool_directory=vault.spool,
        objects=vault.objects,
        audit_public_key=audit_public_key(RING.audit_seed),
        checkpoints_path=vault.directory / "audit" / "checkpoints.jsonl",
        prove_key=vault.retrieval().prove_key,
    )
    return list(check(stores, now=LATER, accepted_events=["message.accepted"], reads_objects=reads_objects))


def three(vault: Vault) -> list[MessageId]:
    """One message in the object store, two in the spool."""
    messages = vault.deposit(a_deposit(b"one"), a_deposit(b"two"), a_deposit(b"three"))
    vault.promotion().promote(messages[0])
    return messages


def edit(vault: Vault, file_name: str, statement: str, *values: str) -> None:
    raw = sqlite3.connect(vault.directory / file_name, isolation_level=None)
    raw.execute("PRAGMA foreign_keys=OFF")
    raw.execute(statement, values)
    raw.close()


def spoil(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def test_sound_vault_has_no_findings_before_or_after_a_destruction(vault: Vault) -> None:
    messages = three(vault)
    assert findings(vault) == []
    vault.destroy(messages[:2])
    assert findings(vault) == []
    assert findings(vault, reads_objects=False) == []


def test_message_without_its_key_is_found(vault: Vault) -> None:
    messages = three(vault)
    edit(vault, "keystore.sqlite3", "DELETE FROM message_keys WHERE message = ?", messages[1])
    assert findings(vault) == [Finding("messages", Weight.FAIL, f"message {messages[1]}: its key is not there")]


def test_message_whose_row_was_taken_away_is_found_by_the_log_and_its_key(vault: Vault) -> None:
    messages = three(vault)
    with vault.database.write() as connection:
        message_records.remove(connection, [messages[2]])
    lost = Finding("messages", Weight.FAIL, f"message {messages[2]}: accepted, not disposed of, and its row is gone")
    assert findings(vault) == [lost, Finding("keys", Weight.WARN, f"a key without a message: {messages[2]}")]


@pytest.mark.parametrize("reads_objects", [True, False])
def test_missing_object_and_missing_segment_are_found(vault: Vault, reads_objects: bool) -> None:  # noqa: FBT001 -- parametrize passes by name
    messages = three(vault)
    with vault.database.read() as connection:
        in_store, in_spool, _ = message_records.stored_many(connection, messages)
    vault.objects.delete(str(in_store.object_name))
    (vault.spool / str(in_spool.segment)).unlink()
    found = findings(vault, reads_objects=reads_objects)
    assert {finding.weight for finding in found} == {Weight.FAIL}
    assert [message for message in messages for finding in found if message in finding.problem] == messages


def test_one_wrong_byte_of_a_sealed_object_is_found_when_objects_are_read(vault: Vault) -> None:
    messages = three(vault)
    stored = vault.stored(messages[0])
    spoil(vault.directory / "objects" / str(stored.object_name), 40)
    assert findings(vault, reads_objects=False) == []
    [found] = findings(vault)
    assert found.weight is Weight.FAIL
    assert str(stored.object_name) in found.problem


def test_edited_row_is_named(vault: Vault) -> None:
    messages = three(vault)
    edit(vault, "rows.sqlite3", "UPDATE recipients SET state = 'failed' WHERE message = ?", messages[1])
    problem = f"the row recipients(message={messages[1]}, position=0) is not what was written"
    assert findings(vault) == [Finding("rows", Weight.FAIL, problem)]


def test_shortened_log_is_found(vault: Vault) -> None:
    three(vault)
    edit(vault, "rows.sqlite3", "DELETE FROM audit_entries WHERE sequence = 2")
    [found] = findings(vault)
    assert (found.check, found.weight) == ("audit", Weight.FAIL)


def test_key_of_a_disposed_message_that_came_back_is_found(vault: Vault) -> None:
    """A keystore put back from an old backup must not bring the dead back unseen."""
    messages = three(vault)
    copy = sqlite3.connect(vault.directory / "keystore.sqlite3")
    rows = copy.execute("SELECT message, batch, wrapped FROM message_keys WHERE message = ?", messages[:1]).fetchall()
    copy.close()
    vault.destroy(messages[:1])
    raw = sqlite3.connect(vault.directory / "keystore.sqlite3", isolation_level=None)
    raw.executemany("INSERT INTO message_keys VALUES (?, ?, ?)", rows)
    raw.close()
    assert findings(vault) == [Finding("keys", Weight.FAIL, f"the key of disposed message {messages[0]} is back")]


def test_object_without_a_message_is_a_left_over(vault: Vault) -> None:
    three(vault)
    vault.objects.put("ab/cdefghijklmnopqrstuvwxyz", b"sealed")
    assert findings(vault) == [
        Finding("objects", Weight.WARN, "an object without a message: ab/cdefghijklmnopqrstuvwxyz")
    ]


def test_lost_reference_between_tables_is_found(vault: Vault) -> None:
    mailbox = vault.mailbox()
    edit(vault, "rows.sqlite3", "DELETE FROM mailboxes WHERE id = ?", mailbox)
    assert findings(vault) == [
        Finding("database", Weight.FAIL, "a row of mailbox_addresses names a row of mailboxes that is not there")
    ]


def test_many_keys_without_messages_are_one_failure_that_says_rows_were_lost(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = three(vault)
    monkeypatch.setattr("mailstore.consistency_check.ORPHANS_EXPLAINED", 2)
    with vault.database.write() as connection:
        message_records.remove(connection, messages)
    told = "3 keys have no message, more than a crash leaves behind: rows were lost or put back"
    assert [each for each in findings(vault) if each.check == "keys"] == [Finding("keys", Weight.FAIL, told)]
