"""One contract for every keystore: what depositing, opening and destroying rely on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailstore.errors import DestroyedError, NotFoundError, RefusedError, StorageUnavailableError, TamperedError
from mailstore.keystore import BatchOfKeys, Destroyed, HighWater, Keystore, RewrappedBatch
from mailstore.message import MessageId, identifier_from
from tests import database_room
from tests.database_room import ENGINES, Engine

NOW = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


def batch(count: int = 1, *, made_at: datetime = NOW) -> BatchOfKeys:
    keys = tuple((MessageId(identifier_from(os.urandom(16))), os.urandom(60)) for _ in range(count))
    return BatchOfKeys(os.urandom(16), made_at, os.urandom(16), os.urandom(80), keys)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    found: Engine = request.param
    return found


@pytest.fixture
def keystore(tmp_path: Path, engine: Engine) -> Iterator[Keystore]:
    made = database_room.made_keystore(tmp_path, engine=engine)
    yield made
    made.close()


def test_keys_are_found_again_after_a_restart(keystore: Keystore, tmp_path: Path, engine: Engine) -> None:
    kept = batch(3)
    keystore.add_batch(kept)
    keystore.close()
    again = database_room.opened_keystore(tmp_path, engine=engine)
    for message, key in kept.message_keys:
        found = again.wrapped_key(message)
        assert (found.batch, found.sealed_for, found.wrapped_batch_key) == (kept.batch, kept.sealed_for, kept.wrapped)
        assert found.wrapped_message_key == key
        assert again.has_key(message)
        assert not again.is_destroyed(message)
    again.close()


def test_missing_keystore_is_never_replaced_by_an_empty_one(tmp_path: Path, engine: Engine) -> None:
    for _ in range(2):
        with pytest.raises(NotFoundError):
            database_room.opened_keystore(tmp_path, engine=engine)


@pytest.mark.usefixtures("keystore")
def test_existing_keystore_is_not_made_again(tmp_path: Path, engine: Engine) -> None:
    with pytest.raises(RefusedError):
        database_room.made_keystore(tmp_path, engine=engine)


def test_unknown_message_has_no_key(keystore: Keystore) -> None:
    with pytest.raises(NotFoundError):
        keystore.wrapped_key(MessageId("x" * 26))
    assert not keystore.has_key(MessageId("x" * 26))
    assert not keystore.has_keys([MessageId("x" * 26)])


def test_destroyed_key_is_gone_and_the_others_stay(keystore: Keystore) -> None:
    batches = [batch(64) for _ in range(5)]
    for kept in batches:
        keystore.add_batch(kept)
    doomed = [pair for kept in batches for pair in kept.message_keys[::3]]
    assert keystore.remnants([doomed[0][1]])
    keystore.destroy([message for message, _ in doomed], at=NOW)
    assert not keystore.remnants([key for _, key in doomed])
    for message, _ in doomed:
        with pytest.raises(DestroyedError):
            keystore.wrapped_key(message)
        assert keystore.destroyed_at(message) == NOW
    assert list(keystore.destroyed()) == sorted(message for message, _ in doomed)
    survivors = [pair for kept in batches for at, pair in enumerate(kept.message_keys) if at % 3]
    for message, key in survivors:
        assert keystore.wrapped_key(message).wrapped_message_key == key


def test_destruction_run_again_converges(keystore: Keystore) -> None:
    kept = batch(2)
    keystore.add_batch(kept)
    message = kept.message_keys[0][0]
    keystore.destroy([message], at=NOW)
    keystore.destroy([message], at=NOW + timedelta(days=1))
    assert keystore.destroyed_at(message) == NOW
    assert keystore.wrapped_key(kept.message_keys[1][0]).wrapped_message_key == kept.message_keys[1][1]


def test_destroyed_message_takes_no_new_key(keystore: Keystore) -> None:
    kept = batch(2)
    keystore.add_batch(kept)
    message = kept.message_keys[0][0]
    keystore.destroy([message], at=NOW)
    again = BatchOfKeys(os.urandom(16), NOW, os.urandom(16), os.urandom(80), kept.message_keys[:1])
    with pytest.raises(RefusedError):
        keystore.add_batch(again)
    assert not keystore.has_key(message)


def test_batch_is_kept_whole_or_not_at_all(keystore: Keystore) -> None:
    kept = batch(2)
    keystore.add_batch(kept)
    fresh = batch(1)
    clash = BatchOfKeys(fresh.batch, NOW, b"", b"", (*fresh.message_keys, kept.message_keys[0]))
    with pytest.raises(StorageUnavailableError):
        keystore.add_batch(clash)
    assert not keystore.has_key(fresh.message_keys[0][0])
    keystore.add_batch(fresh)


def test_key_whose_batch_is_gone_is_named(keystore: Keystore, tmp_path: Path, engine: Engine) -> None:
    kept = batch()
    keystore.add_batch(kept)
    database_room.attack(tmp_path / database_room.KEYSTORE, "DELETE FROM batches", engine=engine)
    with pytest.raises(TamperedError, match=f"message_keys/{kept.message_keys[0][0]}"):
        keystore.wrapped_key(kept.message_keys[0][0])


def test_keys_are_listed_by_age(keystore: Keystore) -> None:
    old, young = batch(700, made_at=NOW - timedelta(hours=2)), batch(3)
    keystore.add_batch(old)
    keystore.add_batch(young)
    listed = list(keystore.messages_keyed_before(NOW - timedelta(hours=1)))
    assert listed == sorted(message for message, _ in old.message_keys)
    middle = listed[350]
    assert list(keystore.messages_keyed_before(NOW - timedelta(hours=1), until=middle)) == listed[:350]
    assert list(keystore.messages_keyed_before(NOW - timedelta(hours=1), since=middle)) == listed[351:]


def test_many_threads_keep_and_find_keys_together(keystore: Keystore) -> None:
    batches = [batch(5) for _ in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(keystore.add_batch, batches))
        messages = [message for kept in batches for message, _ in kept.message_keys]
        assert all(pool.map(keystore.has_key, messages))
    assert keystore.has_keys(messages)


def test_keystore_that_was_copied_piece_by_piece_says_the_same(
    keystore: Keystore, tmp_path: Path, engine: Engine
) -> None:
    for _ in range(3):
        keystore.add_batch(batch(4))
    messages = [key.message for key in keystore.kept_keys()]
    keystore.destroy(messages[:2], at=NOW)
    (tmp_path / "copy").mkdir()
    copy = database_room.made_keystore(tmp_path / "copy", engine=engine)
    for _ in range(2):  # what is there already stays as it is
        copy.adopt(batches=list(keystore.batches()))
        copy.adopt(kept_keys=list(keystore.kept_keys()), marks=list(keystore.marks()))
    assert [copy.wrapped_key(message) for message in messages[2:]] == [
        keystore.wrapped_key(message) for message in messages[2:]
    ]
    assert list(copy.marks()) == [Destroyed(message, NOW, is_proved=True) for message in sorted(messages[:2])]
    copy.close()


def test_nothing_stands_in_the_way_of_destruction(keystore: Keystore) -> None:
    assert keystore.shortcomings() == []


def test_the_high_water_mark_only_rises(keystore: Keystore) -> None:
    assert keystore.high_water() is None
    for seen in (HighWater(7, b"seven" * 5), HighWater(9, b"nine" * 8), HighWater(8, b"eight")):
        keystore.set_high_water(seen)
    assert keystore.high_water() == HighWater(9, b"nine" * 8)


def swap_of(kept: BatchOfKeys, pair: bytes, wrapped: bytes) -> RewrappedBatch:
    return RewrappedBatch(kept.batch, was=kept.wrapped, sealed_for=pair, wrapped=wrapped)


def test_a_batch_is_wrapped_anew_only_while_it_is_what_it_was(keystore: Keystore) -> None:
    kept, other = batch(2), batch()
    for each in (kept, other):
        keystore.add_batch(each)
    pair, wrapped = os.urandom(16), os.urandom(80)
    gone = swap_of(batch(), pair, wrapped)
    assert keystore.rewrap([swap_of(kept, pair, wrapped), gone]) == 1
    assert keystore.rewrap([swap_of(kept, os.urandom(16), os.urandom(80))]) == 0
    message, key = kept.message_keys[0]
    found = keystore.wrapped_key(message)
    assert (found.sealed_for, found.wrapped_batch_key, found.wrapped_message_key) == (pair, wrapped, key)
    assert keystore.pairs_named() == {pair: 1, other.sealed_for: 1}
    assert [each.batch for each in keystore.batches_not_for(pair, after=b"", at_most=9)] == [other.batch]
    assert keystore.batches_not_for(pair, after=other.batch, at_most=9) == []


def test_a_destroyed_key_is_not_brought_back_by_a_batch_that_is_wrapped_anew(keystore: Keystore) -> None:
    kept = batch(2)
    keystore.add_batch(kept)
    (dead, _), (living, _) = kept.message_keys
    keystore.destroy([dead], at=NOW)
    assert keystore.rewrap([swap_of(kept, os.urandom(16), os.urandom(80))]) == 1
    with pytest.raises(DestroyedError):
        keystore.wrapped_key(dead)
    assert keystore.has_key(living)


def test_nothing_is_left_of_how_batches_were_wrapped(keystore: Keystore) -> None:
    kept = [batch(1) for _ in range(50)]
    for each in kept:
        keystore.add_batch(each)
    assert keystore.rewrap([swap_of(each, os.urandom(16), os.urandom(80)) for each in kept]) == 50
    keystore.forget_old_wraps()
    assert not keystore.remnants([each.wrapped for each in kept])
    assert all(keystore.has_key(message) for each in kept for message, _ in each.message_keys)


def test_a_copy_is_of_one_moment_and_counts_what_there_is(keystore: Keystore) -> None:
    old, new = batch(3), batch(2, made_at=NOW + timedelta(hours=2))
    for kept in (old, new):
        keystore.add_batch(kept)
    dead = old.message_keys[0][0]
    keystore.destroy([dead], at=NOW + timedelta(hours=3))
    whole = keystore.copied()
    assert (whole.batch_count, whole.key_count, whole.mark_count) == (2, 4, 1)
    assert {each.batch for each in whole.batches} == {old.batch, new.batch}
    assert whole.sealed_for == {old.sealed_for, new.sealed_for}
    assert {key.message for key in whole.keys} == {name for name, _ in (*old.message_keys[1:], *new.message_keys)}
    assert [mark.message for mark in whole.marks] == [dead]
    lately = keystore.copied(NOW + timedelta(hours=1))
    assert (lately.batch_count, lately.key_count, lately.mark_count) == (2, 4, 1)
    assert {key.message: key.wrapped for key in lately.keys} == dict(new.message_keys)
    assert [each.batch for each in lately.batches] == [new.batch]
    assert [mark.message for mark in lately.marks] == [dead]
