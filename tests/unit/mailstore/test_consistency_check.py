from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mailstore import audit_trail, message_records, outbox
from mailstore.consistency_problem import Finding, Kind, Weight
from mailstore.document_signing import SeedSigner
from mailstore.high_water import HighWaterMark
from mailstore.keystore import HighWater
from mailstore.message import MessageId, RecipientState, Route
from mailstore.sealed_rows import rows_of
from mailstore.tables import messages as message_rows
from mailstore.tables import recipients, shared_parts, tombstones
from tests.check_room import found_in, problems, settle, spoil, spoil_copy, three, two_with_one_file
from tests.database_room import KEYSTORE, ROWS, attack
from tests.vault_room import NOW, RING, Vault


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    made = Vault(tmp_path / "data")
    yield made
    made.close()


def test_sound_vault_has_no_findings_before_or_after_a_destruction(vault: Vault) -> None:
    messages = three(vault)
    assert found_in(vault) == []
    vault.destroy(messages[:2])
    assert found_in(vault) == []
    assert found_in(vault, reads_objects=False) == []


def test_message_without_its_key_is_found(vault: Vault) -> None:
    messages = three(vault)
    attack(vault.directory / KEYSTORE, "DELETE FROM message_keys WHERE message = ?", messages[1])
    assert problems(vault) == [(Kind.KEY_MISSING, messages[1])]


def test_message_whose_key_was_destroyed_without_a_disposal_is_found(vault: Vault) -> None:
    messages = three(vault)
    vault.keystore.destroy(messages[:1], at=NOW)
    assert problems(vault) == [(Kind.KEY_DESTROYED, messages[0])]
    assert problems(vault, is_dying=lambda message: message == messages[0]) == []


def test_message_whose_row_was_taken_away_is_found_by_the_log_and_its_key(vault: Vault) -> None:
    messages = three(vault)
    with vault.database.write() as connection:
        message_records.remove(connection, [messages[2]])
    assert problems(vault) == [(Kind.MESSAGE_GONE, messages[2]), (Kind.KEY_WITHOUT_MESSAGE, messages[2])]


@pytest.mark.parametrize("reads_objects", [True, False])
def test_missing_object_and_missing_segment_are_found(vault: Vault, reads_objects: bool) -> None:  # noqa: FBT001 -- parametrize passes by name
    messages = three(vault)
    vault.release()
    with vault.database.read() as connection:
        in_store, in_spool, _ = message_records.stored_many(connection, messages)
    vault.objects.delete(str(in_store.object_name))
    (vault.spool / str(in_spool.segment)).unlink()
    found = found_in(vault, reads_objects=reads_objects)
    assert [(each.kind, each.message) for each in found] == [(Kind.BYTES_MISSING, message) for message in messages]
    assert {each.weight for each in found} == {Weight.FAIL}


def test_one_wrong_byte_of_either_copy_is_found_when_objects_are_read(vault: Vault) -> None:
    messages = three(vault)
    stored = vault.stored(messages[0])
    spoil(vault.directory / "objects" / str(stored.object_name), 40)
    assert found_in(vault, reads_objects=False) == []
    assert problems(vault) == [(Kind.COPY_ALTERED, stored.object_name)]
    spoil_copy(vault, stored)
    assert problems(vault) == [(Kind.BYTES_ALTERED, stored.segment)]


def test_edited_row_is_named_and_hides_nothing_else(vault: Vault) -> None:
    messages = three(vault)
    attack(vault.directory / ROWS, "UPDATE messages SET size_bytes = 1 WHERE id = ?", messages[1])
    attack(vault.directory / KEYSTORE, "DELETE FROM message_keys WHERE message = ?", messages[2])
    kinds = [kind for kind, _ in problems(vault)]
    assert kinds == [Kind.ROW_ALTERED, Kind.KEY_MISSING]


def test_shortened_log_is_found(vault: Vault) -> None:
    three(vault)
    attack(vault.directory / ROWS, "DELETE FROM audit_entries WHERE sequence = 2")
    assert [each.kind for each in found_in(vault)] == [Kind.LOG_BROKEN]


def test_log_is_held_against_a_checkpoint_that_was_kept_elsewhere(vault: Vault, tmp_path: Path) -> None:
    """The whole directory put back to an older state agrees with itself, not with what somebody has on paper."""
    three(vault)
    path = tmp_path / "elsewhere"
    kept = audit_trail.write_checkpoint(vault.database, path, signer=SeedSigner.of(RING), now=NOW).line()
    assert problems(vault, kept_elsewhere=[kept]) == []
    other = Vault(tmp_path / "older")
    three(other)
    assert [kind for kind, _ in problems(other, kept_elsewhere=[kept])] == [Kind.CHECKPOINT_CONTRADICTED]
    other.close()


def test_key_of_a_disposed_message_that_came_back_is_found(vault: Vault) -> None:
    """A keystore put back from an old backup must not bring the dead back unseen."""
    messages = three(vault)
    kept = [key for key in vault.keystore.kept_keys() if key.message == messages[0]]
    vault.destroy(messages[:1])
    vault.keystore.adopt(kept_keys=kept)
    assert problems(vault) == [(Kind.DISPOSED_KEY_BACK, messages[0])]


def test_forgotten_mark_of_destruction_is_found(vault: Vault) -> None:
    messages = three(vault)
    vault.destroy(messages[:1])
    attack(vault.directory / KEYSTORE, "DELETE FROM destroyed WHERE message = ?", messages[0])
    assert problems(vault) == [(Kind.DESTRUCTION_MARK_MISSING, messages[0])]


def test_object_without_a_message_is_a_left_over(vault: Vault) -> None:
    three(vault)
    vault.objects.put("ab/cdefghijklmnopqrstuvwxyz", b"sealed")
    [found] = found_in(vault)
    assert (found.kind, found.object, found.weight) == (
        Kind.OBJECT_WITHOUT_MESSAGE,
        "ab/cdefghijklmnopqrstuvwxyz",
        Weight.WARN,
    )


def test_finished_segment_without_a_message_is_a_left_over(vault: Vault) -> None:
    messages = three(vault)
    segment = str(vault.stored(messages[1]).segment)
    vault.promotion().promote_all(messages[1:])
    with vault.database.write() as connection:
        message_records.set_released(connection, messages)
    settle(vault)
    assert problems(vault) == [(Kind.SEGMENT_WITHOUT_MESSAGE, segment)]


def test_shared_part_that_is_whole_and_counted_is_no_problem(vault: Vault) -> None:
    assert two_with_one_file(vault).uses == 2
    assert problems(vault) == []


def test_shared_part_that_is_altered_or_miscounted_or_closed_is_found(vault: Vault) -> None:
    part = two_with_one_file(vault)
    spoil(vault.directory / "objects" / part.object.name, 40)
    assert problems(vault) == [(Kind.PART_BYTES_BAD, part.object.name)]
    spoil(vault.directory / "objects" / part.object.name, 40)
    with vault.database.write() as connection:
        rows_of(connection).update(connection, shared_parts, shared_parts.c.id == part.id, {"uses": 1})
    assert [kind for kind, _ in problems(vault)] == [Kind.PART_MISCOUNTED]
    with vault.database.write() as connection:
        rows_of(connection).update(connection, shared_parts, shared_parts.c.id == part.id, {"uses": 2})
    attack(vault.directory / KEYSTORE, "DELETE FROM message_keys WHERE message = ?", part.id)
    assert problems(vault) == [(Kind.PART_KEY_BAD, part.id)]


def test_dictionary_that_messages_need_and_that_is_gone_is_found(vault: Vault) -> None:
    messages = three(vault)
    with vault.database.write() as connection:
        changes = {"object_dictionary": 7}
        rows_of(connection).update(connection, message_rows, message_rows.c.id == messages[0], changes)
    assert problems(vault) == [(Kind.DICTIONARY_BAD, "dictionary-7")]


def test_rows_that_were_put_back_are_found_by_what_the_keystore_has_seen(vault: Vault) -> None:
    three(vault)
    assert HighWaterMark(vault.database, vault.keystore).keep()
    assert problems(vault) == []
    vault.keystore.set_high_water(HighWater(100, b"l" * 32))
    assert problems(vault) == [(Kind.ROWS_PUT_BACK, "row database")]


def test_lost_reference_between_tables_is_found(vault: Vault) -> None:
    mailbox = vault.mailbox()
    attack(vault.directory / ROWS, "DELETE FROM mailboxes WHERE id = ?", mailbox)
    [found] = found_in(vault)
    assert found.kind is Kind.DATABASE_DAMAGED
    assert "mailbox_addresses" in found.problem


def test_message_without_recipients_is_found(vault: Vault) -> None:
    messages = three(vault)
    with vault.database.write() as connection:
        rows_of(connection).delete(connection, recipients, recipients.c.message == messages[1])
    assert problems(vault) == [(Kind.MESSAGE_WITHOUT_RECIPIENTS, messages[1])]


def test_work_that_nothing_will_do_is_found(vault: Vault) -> None:
    messages = three(vault)
    with vault.database.write() as connection:
        outbox.drop(connection, messages[1], kind=outbox.Kind.PROMOTE)
        changes = {"route": Route.TLS.value, "state": RecipientState.DEFERRED.value}
        rows_of(connection).update(connection, recipients, recipients.c.message == messages[2], changes)
    assert problems(vault) == [
        (Kind.PROMOTION_NOT_QUEUED, messages[1]),
        (Kind.DELIVERY_NOT_QUEUED, messages[2]),
    ]
    with vault.database.write() as connection:
        outbox.add(connection, outbox.Kind.PROMOTE, messages[1], None, NOW)
        outbox.add(connection, outbox.Kind.DELIVER, messages[2], 0, NOW)
    assert problems(vault) == []


def test_many_keys_without_messages_are_one_failure_that_says_rows_were_lost(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = three(vault)
    monkeypatch.setattr("mailstore.consistency_check.ORPHANS_EXPLAINED", 2)
    with vault.database.write() as connection:
        message_records.remove(connection, messages)
    told = "3 keys have no message, more than a crash leaves behind: rows were lost or put back"
    assert [each for each in found_in(vault) if each.check == "keys"] == [
        Finding(Kind.KEYS_WITHOUT_MESSAGES, "keystore", told)
    ]


def test_pages_of_messages_and_tombstones_are_all_looked_at(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailstore.consistency_check.PAGE", 2)
    messages = [*three(vault), *three(vault), *three(vault)]
    vault.destroy(messages[4:6])
    attack(vault.directory / KEYSTORE, "DELETE FROM message_keys WHERE message = ?", messages[8])
    attack(vault.directory / KEYSTORE, "DELETE FROM destroyed WHERE message = ?", messages[5])
    assert sorted(problems(vault)) == sorted(
        [(Kind.KEY_MISSING, messages[8]), (Kind.DESTRUCTION_MARK_MISSING, messages[5])]
    )


def test_store_that_does_not_answer_is_one_finding_and_the_rest_is_looked_at(vault: Vault) -> None:
    messages = three(vault)
    attack(vault.directory / KEYSTORE, "DELETE FROM message_keys WHERE message = ?", messages[2])
    stored = vault.stored(messages[0])
    path = vault.directory / "objects" / str(stored.object_name)
    path.unlink()
    path.mkdir()
    found = found_in(vault)
    assert [each.kind for each in found if each.object == "messages"] == [Kind.NOT_CHECKED]


def test_unknown_tombstone_of_nobody_does_not_stop_the_check(vault: Vault) -> None:
    three(vault)
    with vault.database.write() as connection:
        row = {"message": MessageId("m" * 26), "disposed_at": NOW, "certificate": "none"}
        rows_of(connection).insert_many(connection, tombstones, [row])
    assert [kind for kind, _ in problems(vault)] == [Kind.DESTRUCTION_MARK_MISSING]
