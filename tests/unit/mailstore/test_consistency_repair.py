from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailstore import audit_trail, message_records, outbox
from mailstore.consistency_problem import Kind
from mailstore.consistency_repair import REPAIRED, Repair
from mailstore.message import MessageId, RecipientState, Route
from mailstore.outbox import Kind as Work
from mailstore.part_records import PartLinks
from mailstore.sealed_rows import rows_of
from mailstore.tables import recipients
from mailstore.wall_clock import SetClock
from tests.check_room import LATER, found_in, problems, settle, spoil, spoil_copy, stores_of, three, two_with_one_file
from tests.database_room import KEYSTORE, ROWS, attack
from tests.vault_room import NOW, Vault


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    made = Vault(tmp_path / "data")
    yield made
    made.close()


def repair_all(vault: Vault, *, is_alone: bool = True) -> list[tuple[Kind, bool]]:
    repair = Repair(stores_of(vault), SetClock(LATER), is_alone)
    return [(each.kind, repair.mended(each)) for each in found_in(vault)]


def content(vault: Vault, message: MessageId) -> bytes:
    return vault.retrieval().content(message)


def queued(vault: Vault, message: MessageId) -> set[tuple[Work, MessageId, int | None]]:
    with vault.database.read() as connection:
        return outbox.work_on(connection, [message], tuple(Work))


def test_altered_object_is_made_anew_from_the_spool(vault: Vault) -> None:
    message = three(vault)[0]
    name = str(vault.stored(message).object_name)
    spoil(vault.directory / "objects" / name, 40)
    assert repair_all(vault) == [(Kind.COPY_ALTERED, True)]
    assert not vault.objects.exists(name)
    vault.promotion().promote(message)
    assert vault.stored(message).object_name not in {None, name}
    assert content(vault, message) == b"one"
    assert found_in(vault) == []


def test_lost_object_is_made_anew_from_the_spool(vault: Vault) -> None:
    message = three(vault)[0]
    vault.objects.delete(str(vault.stored(message).object_name))
    assert repair_all(vault) == [(Kind.COPY_MISSING, True)]
    assert (Work.PROMOTE, message, None) in queued(vault, message)
    assert found_in(vault) == []


def test_lost_shared_part_is_made_anew_while_the_spool_has_a_message_that_needs_it(vault: Vault) -> None:
    part = two_with_one_file(vault)
    vault.objects.delete(part.object.name)
    assert repair_all(vault) == [(Kind.PART_BYTES_BAD, True)]
    with vault.database.read() as connection:
        users = PartLinks(vault.ring.archive_key, os.urandom).users(connection, part.id)
        waiting = outbox.work_on(connection, users, [Work.PROMOTE])
    vault.promotion().promote_all([message for _, message, _ in waiting])
    assert repair_all(vault) == [(Kind.OBJECT_WITHOUT_MESSAGE, True)]
    assert found_in(vault) == []


def test_lost_shared_part_that_nothing_in_the_spool_needs_is_left_to_a_person(vault: Vault) -> None:
    part = two_with_one_file(vault)
    assert vault.release().segments == 1
    vault.objects.delete(part.object.name)
    assert repair_all(vault) == [(Kind.PART_BYTES_BAD, False)]


def test_altered_spool_copy_is_erased_and_given_up_for_the_object(vault: Vault) -> None:
    message = three(vault)[0]
    stored = vault.stored(message)
    spoil_copy(vault, stored)
    assert repair_all(vault) == [(Kind.COPY_ALTERED, True)]
    assert vault.stored(message).segment is None
    erased = (vault.spool / str(stored.segment)).read_bytes()[stored.offset : stored.offset + stored.sealed_length]
    assert not any(erased)
    assert content(vault, message) == b"one"
    assert found_in(vault) == []


def test_message_without_a_whole_copy_is_left_as_it_is(vault: Vault) -> None:
    message = three(vault)[0]
    stored = vault.stored(message)
    spoil(vault.directory / "objects" / str(stored.object_name), 40)
    spoil_copy(vault, stored)
    assert repair_all(vault) == [(Kind.BYTES_ALTERED, False)]
    assert vault.stored(message) == stored


def test_forgotten_work_is_put_down_again_once(vault: Vault) -> None:
    messages = three(vault)
    with vault.database.write() as connection:
        outbox.drop(connection, messages[1], kind=Work.PROMOTE)
        rows = rows_of(connection)
        for number, route in ((1, Route.TLS), (2, Route.PORTAL)):
            changes = {"route": route.value, "state": RecipientState.QUEUED.value}
            rows.update(connection, recipients, recipients.c.message == messages[number], changes)
    repair, found = Repair(stores_of(vault), SetClock(LATER), is_alone=False), found_in(vault)
    assert [repair.mended(each) for each in found + found] == [True] * 6
    assert found_in(vault) == []
    assert {kind for kind, _, _ in queued(vault, messages[1])} == {Work.PROMOTE, Work.DELIVER, Work.CAPTURE}
    assert {kind for kind, _, _ in queued(vault, messages[2])} == {Work.PROMOTE, Work.NOTIFY, Work.CAPTURE}


def test_left_overs_of_a_crash_are_swept_when_nobody_else_works_here(vault: Vault) -> None:
    messages = three(vault)
    vault.objects.put("ab/cdefghijklmnopqrstuvwxyz", b"sealed")
    assert repair_all(vault, is_alone=False) == [(Kind.OBJECT_WITHOUT_MESSAGE, False)]
    assert repair_all(vault) == [(Kind.OBJECT_WITHOUT_MESSAGE, True)]
    vault.promotion().promote_all(messages[1:])
    with vault.database.write() as connection:
        message_records.set_released(connection, messages)
    settle(vault)
    assert repair_all(vault) == [(Kind.SEGMENT_WITHOUT_MESSAGE, True)]
    assert list(vault.spool.glob("*.segment")) == []
    assert [content(vault, message) for message in messages] == [b"one", b"two", b"three"]


def test_key_without_a_message_dies_and_the_lost_message_is_left_to_a_person(vault: Vault) -> None:
    messages = three(vault)
    with vault.database.write() as connection:
        message_records.remove(connection, messages[2:])
    assert repair_all(vault) == [(Kind.MESSAGE_GONE, False), (Kind.KEY_WITHOUT_MESSAGE, True)]
    assert not vault.keystore.has_key(messages[2])
    assert problems(vault) == [(Kind.MESSAGE_GONE, messages[2])]


def test_young_key_without_a_message_is_left_alone(vault: Vault) -> None:
    messages = three(vault)
    with vault.database.write() as connection:
        message_records.remove(connection, messages[2:])
    repair = Repair(stores_of(vault), SetClock(NOW), is_alone=True)
    assert [repair.mended(each) for each in found_in(vault)] == [False, False]
    assert vault.keystore.has_key(messages[2])


@pytest.mark.sqlite_files(reason="a row is put back into the key file; PostgreSQL keeps wrapped keys on shelves")
def test_key_of_a_disposed_message_dies_again_with_its_mark(vault: Vault) -> None:
    messages = three(vault)
    path = vault.directory / KEYSTORE
    [row] = attack(path, "SELECT message, batch, wrapped FROM message_keys WHERE message = ?", messages[0])
    vault.destroy(messages[:1])
    attack(path, "INSERT INTO message_keys (message, batch, wrapped) VALUES (?, ?, ?)", *row)
    attack(path, "DELETE FROM destroyed WHERE message = ?", messages[0])
    assert sorted(repair_all(vault)) == [(Kind.DESTRUCTION_MARK_MISSING, True), (Kind.DISPOSED_KEY_BACK, True)]
    assert not vault.keystore.has_key(messages[0])
    assert found_in(vault) == []


def test_what_would_hide_tampering_is_never_repaired(vault: Vault) -> None:
    messages = three(vault)
    attack(vault.directory / ROWS, "UPDATE recipients SET state = 'failed' WHERE message = ?", messages[1])
    attack(vault.directory / ROWS, "DELETE FROM audit_entries WHERE sequence = 1")
    attack(vault.directory / KEYSTORE, "DELETE FROM message_keys WHERE message = ?", messages[2])
    before = problems(vault)
    assert {mended for _, mended in repair_all(vault)} == {False}
    assert problems(vault) == before


def test_every_repair_is_in_the_audit_log(vault: Vault) -> None:
    message = three(vault)[0]
    name = str(vault.stored(message).object_name)
    vault.objects.delete(name)
    repair_all(vault)
    with vault.database.read() as connection:
        [entry] = audit_trail.of_events(connection, (REPAIRED,))
    assert (entry.object, entry.detail) == (name, {"kind": "copy_missing"})


def test_object_is_not_taken_away_when_the_spool_let_go_of_its_copy_meanwhile(vault: Vault) -> None:
    """A store that gave other bytes once is found whole by the release of the spool; then nothing else is left."""
    message = three(vault)[0]
    as_read = vault.stored(message)
    with vault.database.write() as connection:
        message_records.set_released(connection, [message])
    Repair(stores_of(vault), SetClock(LATER), is_alone=False)._object_withdrawn(as_read)
    assert content(vault, message) == b"one"
