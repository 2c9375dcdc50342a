from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from mailstore.errors import DestroyedError, NotFoundError, TamperedError, WrongKeyError
from mailstore.message import MessageId, MessageSummary
from mailstore.sealed_columns import RecipientDetail, open_detail
from mailstore.sealed_format import seal
from tests import database_room
from tests.vault_room import RING, Vault, a_deposit

SUMMARY = MessageSummary(
    subject="Gr\u00fc\u00dfe",
    from_="Dr. A",
    to="b@x",
    cc="c@x",
    date="today",
    header_message_id="<1@x>",
    references=("<0@x>",),
    sender="a@x",
    recipients=("b@x", "c@x"),
    trace_fields="Received: from x\r\n",
)


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "data")


@pytest.fixture
def message(vault: Vault) -> MessageId:
    return vault.deposit(a_deposit(b"body" * 100, summary=SUMMARY, recipients=2))[0]


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def flip_keys(vault: Vault, table: str) -> None:
    path = vault.directory / database_room.KEYSTORE
    for (wrapped,) in database_room.attack(path, f"SELECT wrapped FROM {table}"):  # noqa: S608 -- our own name
        changed = bytes([wrapped[0] ^ 1]) + wrapped[1:]
        statement = f"UPDATE {table} SET wrapped = ? WHERE wrapped = ?"  # noqa: S608 -- as above
        database_room.attack(path, statement, changed, wrapped)


def test_summary_comes_back_whole(vault: Vault, message: MessageId) -> None:
    stored = vault.stored(message)
    assert vault.retrieval().summary(stored) == SUMMARY
    assert vault.retrieval().summaries([stored]) == {message: SUMMARY}


def test_lone_surrogates_of_hostile_headers_survive(vault: Vault) -> None:
    odd = MessageSummary(subject="\udce9t\u00e9", header_message_id="<\udcff@x>")
    (message,) = vault.deposit(a_deposit(summary=odd))
    assert vault.retrieval().summary(vault.stored(message)) == odd


def test_recipients_come_back_with_their_reasons(vault: Vault, message: MessageId) -> None:
    first, second = vault.retrieval().recipients(message)
    assert first.address == "alice+0@clinic.example"
    assert second.address == "alice+1@clinic.example"
    assert first.reasons == ("the address is ours",)
    assert vault.retrieval().recipient(message, 1) == second


def test_new_detail_is_sealed_for_its_recipient_only(vault: Vault, message: MessageId) -> None:
    retrieval = vault.retrieval()
    sealed = retrieval.seal_detail(message, 0, RecipientDetail("alice@clinic.example", (), "250 ok"))
    key = retrieval._key(message)
    assert open_detail(sealed, key=key, message=message, position=0).last_reply == "250 ok"
    with pytest.raises(TamperedError):
        open_detail(sealed, key=key, message=message, position=1)


def test_unknown_message_is_not_found(vault: Vault) -> None:
    with pytest.raises(NotFoundError):
        vault.retrieval().content(MessageId("z" * 26))


def test_another_ring_is_refused(vault: Vault, message: MessageId) -> None:
    other = replace(RING, capture_private=os.urandom(32))
    with pytest.raises(WrongKeyError):
        vault.retrieval(other).content(message)
    with pytest.raises(WrongKeyError):
        vault.retrieval(other).summary(vault.stored(message))


def test_every_changed_byte_of_the_spool_is_refused_and_named(vault: Vault, message: MessageId) -> None:
    stored = vault.stored(message)
    assert stored.segment is not None
    path = vault.spool / stored.segment
    for offset in range(stored.offset, stored.offset + stored.sealed_length):
        flip(path, offset)
        with pytest.raises(TamperedError, match=stored.segment):
            vault.retrieval().content(message)
        flip(path, offset)
    assert vault.retrieval().content(message) == b"body" * 100


def test_changed_or_missing_object_is_refused_and_named(vault: Vault, message: MessageId) -> None:
    vault.promotion().promote(message)
    vault.release()
    name = vault.stored(message).object_name
    assert name is not None
    flip(vault.directory / "objects" / name, 90)
    with pytest.raises(TamperedError, match=name):
        vault.retrieval().content(message)
    (vault.directory / "objects" / name).unlink()
    with pytest.raises(TamperedError, match=f"{name} .*missing"):
        vault.retrieval().content(message)


def test_object_sealed_anew_under_the_same_key_is_not_the_one_that_was_stored(vault: Vault, message: MessageId) -> None:
    vault.promotion().promote(message)
    vault.release()
    retrieval, name = vault.retrieval(), str(vault.stored(message).object_name)
    other = seal(b"evil" * 100, key=retrieval._key(message), context=("message", message, 1), randomness=os.urandom)
    (vault.directory / "objects" / name).write_bytes(other)
    with pytest.raises(TamperedError, match=name):
        retrieval.content(message)


def test_changed_keystore_rows_are_refused_and_named(vault: Vault, message: MessageId) -> None:
    retrieval = vault.retrieval()
    retrieval.content(message)
    flip_keys(vault, database_room.TABLE_OF_KEYS)
    with pytest.raises(TamperedError, match=f"message_keys/{message}"):
        retrieval.content(message)
    flip_keys(vault, database_room.TABLE_OF_KEYS)
    flip_keys(vault, "batches")
    with pytest.raises(TamperedError, match="batches/"):
        retrieval.content(message)


def test_keys_swapped_between_messages_open_nothing(vault: Vault) -> None:
    first, second = vault.deposit(a_deposit(b"1"), a_deposit(b"2"))
    keys = {message: vault.keystore.wrapped_key(message).wrapped_message_key for message in (first, second)}
    swap = f"UPDATE {database_room.TABLE_OF_KEYS} SET wrapped = ? WHERE message = ?"  # noqa: S608 -- our own name
    for key, message in ((keys[first], second), (keys[second], first)):
        database_room.attack(vault.directory / database_room.KEYSTORE, swap, key, message)
    for message in (first, second):
        with pytest.raises(TamperedError, match=f"message_keys/{message}"):
            vault.retrieval().content(message)


def test_destroyed_message_does_not_open_from_a_remembered_key(vault: Vault, message: MessageId) -> None:
    retrieval = vault.retrieval()
    stored = vault.stored(message)
    assert retrieval.summary(stored) == SUMMARY
    vault.keystore.destroy([message], at=vault.clock.now())
    for opening in (lambda: retrieval.content(message), lambda: retrieval.recipients(message)):
        with pytest.raises(DestroyedError):
            opening()
    assert retrieval.summaries([stored]) == {}


def test_message_promoted_while_it_is_opened_is_found_again(vault: Vault, message: MessageId) -> None:
    before = vault.stored(message)
    vault.promotion().promote(message)
    vault.release()
    retrieval = vault.retrieval()
    with pytest.raises(TamperedError):
        retrieval._sealed_bytes(before)
    assert retrieval._moved_meanwhile(before) == retrieval._sealed_bytes(vault.stored(message))
