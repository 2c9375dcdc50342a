"""A dictionary from its making to its end, over real stores."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from mailstore import dictionary_records, dictionary_training
from mailstore.deposit import Deposit
from mailstore.dictionary_training import DictionaryTraining, Trained
from mailstore.errors import StorageUnavailableError, TamperedError
from mailstore.message import MessageId
from mailstore.sealed_rows import rows_of
from mailstore.tables import mail_dictionaries
from tests.unit.mailstore.test_mail_dictionary import samples
from tests.vault_room import Vault, a_deposit, sent_by

CANARY = b"Zygomaticus maior"


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    monkeypatch.setattr(dictionary_training, "FIRST_AT_MESSAGES", 50)
    opened = Vault(tmp_path / "data")
    yield opened
    opened.close()


def training(vault: Vault) -> DictionaryTraining:
    keys = vault.message_keys()
    return DictionaryTraining(
        vault.database, vault.keystore, vault.retrieval(), keys, clock=vault.clock, randomness=os.urandom
    )


def mail(count: int, canaries: range = range(0)) -> list[Deposit]:
    made = samples(count, canary=CANARY, canaries=canaries)
    return [
        sent_by(a_deposit(each.text), f"{each.sender.decode().replace(' ', '')}@elsewhere.example") for each in made
    ]


def numbers(vault: Vault) -> list[int]:
    with vault.database.read() as connection:
        return [row["number"] for row in rows_of(connection).select(connection, mail_dictionaries)]


def test_dictionary_is_made_in_time_and_mail_is_packed_with_it(vault: Vault) -> None:
    early = vault.deposit(*mail(49))
    assert training(vault).run() == Trained(is_new=False, destroyed=0)
    vault.deposit(*mail(11))
    assert training(vault).run() == Trained(is_new=True, destroyed=0)
    assert training(vault).run() == Trained(is_new=False, destroyed=0)
    (late,) = vault.deposit(*mail(1))
    content = vault.retrieval().content(late)
    vault.promotion().promote_all([late, *early])
    stored = vault.stored(late)
    assert stored.object is not None
    assert stored.object.dictionary == numbers(vault)[0]
    assert stored.object.length < stored.sealed_length
    vault.release(timedelta(0))
    assert vault.retrieval().content(late) == content


def test_words_of_one_message_are_in_no_dictionary(vault: Vault) -> None:
    vault.deposit(*mail(60, canaries=range(1)))
    assert training(vault).run().is_new
    keys = vault.message_keys()
    dictionary = dictionary_records.MailDictionaries(vault.database, keys).newest()
    assert dictionary is not None
    assert b"may contain protected " in dictionary.content
    assert CANARY not in dictionary.content
    assert not vault.files_hold(b"protected health information")


def made(vault: Vault) -> int:
    keys = vault.message_keys()
    dictionary_records.add(
        vault.database, keys, os.urandom(500), messages_now=60, clock=vault.clock, randomness=os.urandom
    )
    return numbers(vault)[-1]


def packed_with_newest(vault: Vault) -> MessageId:
    content = b"".join(b"line %d of a message that is packed\r\n" % number for number in range(50))
    (message,) = vault.deposit(a_deposit(content))
    vault.promotion().promote(message)
    vault.release(timedelta(0))
    return message


def test_old_dictionary_lives_as_long_as_a_message_needs_it_and_its_key_dies_with_it(vault: Vault) -> None:
    first = made(vault)
    with vault.database.read() as connection:
        name = rows_of(connection).select(connection, mail_dictionaries)[0]["id"]
    message = packed_with_newest(vault)
    assert vault.stored(message).object_dictionary == first
    second = made(vault)
    assert training(vault).run().destroyed == 0
    vault.retrieval().content(message)
    vault.destroy([message])
    assert training(vault).run().destroyed == 1
    assert numbers(vault) == [second]
    assert vault.keystore.is_destroyed(MessageId(name))
    assert not vault.keystore.has_key(MessageId(name))


def test_message_packed_with_a_dictionary_that_died_meanwhile_is_not_placed(vault: Vault) -> None:
    made(vault)
    content = b"".join(b"line %d of a message that is packed\r\n" % number for number in range(50))
    (message,) = vault.deposit(a_deposit(content))
    repacking, stored = vault.repacking(), vault.stored(message)
    sealed = (vault.spool / str(stored.segment)).read_bytes()[stored.offset :][: stored.sealed_length]
    repacked = repacking.repacked(stored, sealed)
    assert repacked.dictionary is not None
    made(vault)
    assert training(vault).run().destroyed == 1
    with pytest.raises(StorageUnavailableError), vault.database.write() as connection:
        repacking.record(connection, {message: repacked})
    vault.promotion().promote(message)
    assert vault.retrieval().content(message) == content


def test_missing_or_changed_dictionary_is_refused_and_named(vault: Vault) -> None:
    number = made(vault)
    message = packed_with_newest(vault)
    with vault.database.write() as connection:
        flipped = rows_of(connection).select(connection, mail_dictionaries)[0]["sealed_dictionary"][:-1] + b"\0"
        connection.execute(update(mail_dictionaries).values(sealed_dictionary=flipped))
    with pytest.raises(TamperedError, match="mail_dictionaries"):
        vault.retrieval().content(message)
    with vault.database.write() as connection:
        rows_of(connection).delete(connection, mail_dictionaries, mail_dictionaries.c.number == number)
    with pytest.raises(TamperedError, match=f"dictionary {number}"):
        vault.retrieval().content(message)


def test_new_dictionary_is_taken_only_when_it_is_better(vault: Vault) -> None:
    vault.deposit(*mail(60))
    work = training(vault)
    assert work.run().is_new
    vault.deposit(*mail(60))
    assert not work.run().is_new
    assert not training(vault).run().is_new
    with vault.database.read() as connection:
        assert dictionary_records.messages_then(connection) == 120
    chance = random.Random(9)  # noqa: S311 -- the same words at every run
    words = [b"%x" % chance.getrandbits(60) for _ in range(60)]
    other = [
        sent_by(a_deposit(b" ".join(words) + b" %d" % number), f"s{number % 9}@elsewhere.example")
        for number in range(400)
    ]
    vault.deposit(*other)
    assert work.run() == Trained(is_new=True, destroyed=1)


def test_dictionary_without_a_row_after_a_crash_leaves_a_key_that_is_swept(vault: Vault) -> None:
    keys = vault.message_keys()
    keys.made(MessageId("a" * 26), clock=vault.clock, randomness=os.urandom)
    made(vault)
    assert vault.tidy().keys == 1
    assert vault.keystore.is_destroyed(MessageId("a" * 26))
