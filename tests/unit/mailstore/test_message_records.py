from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mailstore import mailboxes, message_records, outbox
from mailstore.database import Database
from mailstore.errors import DestroyedError, DuplicateRowError, NotFoundError
from mailstore.mailboxes import Folder
from mailstore.message import AccountId, MessageId, RecipientState, Route, StoredObject
from mailstore.message_columns import MessageRow
from mailstore.message_state import IllegalTransitionError
from mailstore.outbox import Kind
from tests.ledger_room import NOW, created, message, new_id, recipient

LATER = NOW + timedelta(hours=1)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = created(tmp_path)
    yield made
    made.dispose()


def put(database: Database, *rows: MessageRow) -> None:
    with database.write() as connection:
        message_records.insert_many(connection, rows)


def test_message_and_recipients_come_back_as_recorded(database: Database) -> None:
    row = message(recipients=[recipient(0), recipient(1, route=Route.TLS, state=RecipientState.DEFERRED, attempts=2)])
    put(database, row, message())
    with database.read() as connection:
        assert message_records.stored(connection, row.message.id) == row.message
        assert message_records.recipient_rows(connection, row.message.id) == list(row.recipients)
        assert message_records.recipient_row(connection, row.message.id, 1) == row.recipients[1]


def test_message_that_was_never_ours_is_not_found(database: Database) -> None:
    with database.read() as connection:
        with pytest.raises(NotFoundError):
            message_records.stored(connection, MessageId(new_id()))
        with pytest.raises(NotFoundError):
            message_records.recipient_row(connection, MessageId(new_id()), 0)


def test_id_is_taken_once(database: Database) -> None:
    row = message()
    put(database, row)
    with pytest.raises(DuplicateRowError):
        put(database, message(), row)
    with database.read() as connection:
        assert message_records.count(connection) == 1


def test_several_come_in_the_order_asked_and_missing_ones_are_left_out(database: Database) -> None:
    rows = [message() for _ in range(1_100)]
    put(database, *rows)
    wanted = [row.message.id for row in reversed(rows)]
    with database.read() as connection:
        found = message_records.stored_many(connection, [MessageId(new_id()), *wanted])
        assert [each.id for each in found] == wanted
        assert [each.id for each in message_records.all_messages(connection)] == wanted[::-1]
        assert message_records.all_ids(connection) == wanted[::-1]


def test_recipient_changes_only_as_told(database: Database) -> None:
    row = message(recipients=[recipient(0), recipient(1)])
    put(database, row)
    with database.write() as connection:
        message_records.set_recipient(
            connection,
            row.message.id,
            1,
            route=Route.TLS,
            state=RecipientState.DEFERRED,
            attempts=3,
            sealed_detail=b"new",
            now=LATER,
        )
        message_records.set_recipient(connection, row.message.id, 0, attempts=1, now=LATER)
    with database.read() as connection:
        first, second = message_records.recipient_rows(connection, row.message.id)
    assert (second.route, second.state, second.attempts) == (Route.TLS, RecipientState.DEFERRED, 3)
    assert (second.sealed_detail, second.changed_at) == (b"new", LATER)
    assert (first.route, first.state, first.attempts) == (Route.PORTAL, RecipientState.QUEUED, 1)
    assert first.sealed_detail == row.recipients[0].sealed_detail


def test_state_that_cannot_follow_is_refused(database: Database) -> None:
    row = message(recipients=[recipient(0, state=RecipientState.DELIVERED)])
    put(database, row)
    with pytest.raises(IllegalTransitionError), database.write() as connection:
        message_records.set_recipient(connection, row.message.id, 0, state=RecipientState.QUEUED, now=LATER)


def test_a_message_has_one_copy_then_two_then_one(database: Database) -> None:
    one, other = message(segment="a.segment", offset=500), message(segment="a.segment", offset=16)
    put(database, one, other)
    kept = StoredObject("ab/cd", 77, b"d" * 32)
    with database.write() as connection:
        found = message_records.in_segment(connection, "a.segment")
        assert [each.id for each in found] == [other.message.id, one.message.id]
        assert [each.offset for each in message_records.in_segment(connection, "a.segment", after=16)] == [500]
        message_records.set_promoted(connection, {one.message.id: kept}, {one.message.id: b"anew"}, now=LATER)
        stored = message_records.stored(connection, one.message.id)
        assert (stored.object, stored.promoted_at, stored.segment) == (kept, LATER, "a.segment")
        assert stored.sealed_summary == b"anew"
        assert message_records.waits_in_segment(connection, "a.segment")
        message_records.set_released(connection, [one.message.id])
    with database.read() as connection:
        stored = message_records.stored(connection, one.message.id)
        assert (stored.object, stored.segment, stored.offset) == (kept, None, 0)
        assert len(message_records.in_segment(connection, "a.segment")) == 1
        assert message_records.known_objects(connection, {"ab/cd", "xy/z"}) == {"ab/cd"}
        assert message_records.known_ids(connection, [one.message.id, MessageId(new_id())]) == {one.message.id}
        assert list(message_records.segments_named(connection)) == ["a.segment"]
    with pytest.raises(NotFoundError), database.write() as connection:
        message_records.set_promoted(connection, {MessageId(new_id()): kept}, {}, now=LATER)


def test_an_object_that_was_lost_leaves_the_message_where_it_was(database: Database) -> None:
    one = message(segment="a.segment", offset=16)
    put(database, one)
    with database.write() as connection:
        message_records.set_promoted(connection, {one.message.id: StoredObject("ab/cd", 7, bytes(32))}, {}, now=LATER)
        message_records.set_withdrawn(connection, [one.message.id])
        assert message_records.stored(connection, one.message.id) == one.message


def test_conversations_are_those_of_the_messages_named(database: Database) -> None:
    first, second = message(header_id_index=b"1" * 16), message(header_id_index=b"2" * 16)
    put(database, first, second)
    with database.read() as connection:
        assert message_records.conversation_of(connection, b"9" * 16) is None
        assert message_records.conversation_of(connection, b"2" * 16) == second.message.conversation
        assert message_records.conversation_of(connection, b"1" * 16) == first.message.conversation


def test_forged_message_id_cannot_take_over_a_conversation(database: Database) -> None:
    first, forged = message(header_id_index=b"1" * 16), message(header_id_index=b"1" * 16)
    put(database, first, forged)
    with database.read() as connection:
        assert message_records.conversation_of(connection, b"1" * 16) == first.message.conversation


def test_lists_are_in_their_promised_order(database: Database) -> None:
    conversation, author = new_id(), new_id()
    rows = [
        message(conversation=conversation, author=author, received_at=NOW + timedelta(minutes=minute))
        for minute in range(3)
    ]
    put(database, *rows, message())
    ids = [row.message.id for row in rows]
    with database.read() as connection:
        talk = message_records.conversation_messages(connection, conversation)
        sent = message_records.authored_by(connection, AccountId(author), limit=2)
    assert [each.id for each in talk] == ids
    assert [each.id for each in sent] == ids[:0:-1]


def test_messages_of_a_recipient_are_found_by_route_newest_first(database: Database) -> None:
    someone = os.urandom(16)
    old = message(recipients=[recipient(0, address_index=someone), recipient(1, address_index=someone)])
    new = message(received_at=LATER, recipients=[recipient(0, address_index=someone)])
    relayed = message(recipients=[recipient(0, address_index=someone, route=Route.TLS)])
    put(database, new, old, relayed, message(recipients=[recipient(0)]))
    with database.read() as connection:
        portal = message_records.messages_with_recipient(connection, someone, Route.PORTAL)
        anyhow = message_records.messages_with_recipient(connection, someone)
    assert [each.id for each in portal] == [new.message.id, old.message.id]
    assert {each.id for each in anyhow} == {new.message.id, old.message.id, relayed.message.id}


def test_removed_message_leaves_only_its_tombstone(database: Database) -> None:
    doomed, kept = message(recipients=[recipient()]), message(recipients=[recipient()])
    put(database, doomed, kept)
    with database.write() as connection:
        box = mailboxes.create(connection, AccountId(new_id()), os.urandom(16))
        for row in (doomed, kept):
            mailboxes.file(connection, box.id, row.message.id, Folder.INBOX, now=NOW)
            outbox.add(connection, Kind.INDEX, row.message.id, None, NOW)
        message_records.remove(connection, [doomed.message.id])
        message_records.tombstone(connection, [doomed.message.id], certificate=new_id(), now=LATER)
    with database.read() as connection:
        with pytest.raises(DestroyedError):
            message_records.stored(connection, doomed.message.id)
        assert message_records.is_disposed(connection, doomed.message.id)
        assert not message_records.is_disposed(connection, kept.message.id)
        assert message_records.recipient_rows(connection, doomed.message.id) == []
        assert mailboxes.count(connection, box.id, Folder.INBOX) == 1
        assert outbox.waiting(connection) == {Kind.INDEX: 1}
        assert message_records.all_ids(connection) == [kept.message.id]
    assert database.problems() == []
