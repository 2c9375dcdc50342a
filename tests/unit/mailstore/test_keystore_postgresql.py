from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from mailstore import failpoint, keystore_postgresql
from mailstore.errors import DestroyedError, RefusedError, StorageUnavailableError
from mailstore.keystore import BatchOfKeys
from mailstore.keystore_postgresql import PostgresqlKeystore
from mailstore.message import MessageId, identifier_from
from tests import database_room, postgresql_room

NOW = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


def batch(count: int = 1) -> BatchOfKeys:
    keys = tuple((MessageId(identifier_from(os.urandom(16))), os.urandom(60)) for _ in range(count))
    return BatchOfKeys(os.urandom(16), NOW, os.urandom(16), os.urandom(80), keys)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return database_room.keystore_url(tmp_path)


@pytest.fixture
def keystore(url: str) -> Iterator[PostgresqlKeystore]:
    made = PostgresqlKeystore.create(url)
    yield made
    made.close()


def files_that_hold(wanted: list[bytes]) -> list[Path]:
    """Every file of the whole cluster in which one of these can be found."""
    contents = postgresql_room.shared().contents()
    return [path for path, content in contents if any(each in content for each in wanted)]


def test_destroyed_keys_are_in_no_file_of_the_server(keystore: PostgresqlKeystore) -> None:
    batches = [batch(8) for _ in range(10)]
    for kept in batches:
        keystore.add_batch(kept)
    doomed = [kept.message_keys[3] for kept in batches]
    assert files_that_hold([key for _, key in doomed])
    keystore.destroy([message for message, _ in doomed], at=NOW)
    assert files_that_hold([key for _, key in doomed]) == []
    survivor, key = batches[0].message_keys[0]
    assert keystore.wrapped_key(survivor).wrapped_message_key == key
    assert files_that_hold([key])


def test_old_snapshot_of_somebody_else_keeps_no_dead_key_alive(keystore: PostgresqlKeystore, url: str) -> None:
    """``VACUUM FULL`` would copy the dead row, because this reader could still see it."""
    kept = batch(2)
    keystore.add_batch(kept)
    with psycopg.connect(url.replace("+psycopg", "")) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        reader.execute("SELECT count(*) FROM batches")
        keystore.destroy([kept.message_keys[0][0]], at=NOW)
        assert files_that_hold([kept.message_keys[0][1]]) == []


def test_destruction_cut_short_is_proved_by_the_next_run(keystore: PostgresqlKeystore) -> None:
    kept = batch(3)
    keystore.add_batch(kept)
    message, key = kept.message_keys[0]
    failpoint.rehearse("keystore.after_rows:error")
    try:
        with pytest.raises(OSError, match=r"keystore\.after_rows"):
            keystore.destroy([message], at=NOW)
    finally:
        failpoint.rehearse("")
    with pytest.raises(DestroyedError):
        keystore.wrapped_key(message)
    assert files_that_hold([key]), "the log keeps it until the server is told"
    keystore.destroy([message], at=NOW)
    assert files_that_hold([key]) == []


def test_server_that_keeps_its_log_makes_the_destruction_unproved(keystore: PostgresqlKeystore) -> None:
    kept = batch(2)
    keystore.add_batch(kept)
    message, key = kept.message_keys[0]
    server = postgresql_room.shared()
    with server.administering() as administrator:
        administrator.execute("ALTER SYSTEM SET wal_keep_size = '64MB'")
        administrator.execute("SELECT pg_reload_conf()")
        try:
            with pytest.raises(StorageUnavailableError, match="write-ahead log"):
                keystore.destroy([message], at=NOW)
        finally:
            administrator.execute("ALTER SYSTEM RESET wal_keep_size")
            administrator.execute("SELECT pg_reload_conf()")
    assert not keystore.has_key(message)
    keystore.destroy([message], at=NOW)
    assert files_that_hold([key]) == []


def test_keystore_is_not_made_where_no_key_could_be_destroyed(url: str) -> None:
    server = postgresql_room.shared()
    server.command("REVOKE pg_checkpoint FROM {}", postgresql_room.OWNER)
    try:
        with pytest.raises(RefusedError, match="pg_checkpoint"):
            PostgresqlKeystore.create(url)
    finally:
        server.command("GRANT pg_checkpoint TO {}", postgresql_room.OWNER)
    PostgresqlKeystore.create(url).close()


def test_full_shelf_is_followed_by_another(keystore: PostgresqlKeystore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keystore_postgresql, "SHELF_KEYS", 10)
    batches = [batch(6) for _ in range(7)]
    for kept in batches:
        keystore.add_batch(kept)
    with postgresql_room.shared().administering(keystore._pool.url.database or "") as administrator:
        row = administrator.execute("SELECT count(*) FROM shelves").fetchone()
    assert row == (4,)
    pairs = [pair for kept in batches for pair in kept.message_keys]
    keystore.destroy([message for message, _ in pairs[::5]], at=NOW)
    assert files_that_hold([key for _, key in pairs[::5]]) == []
    assert all(keystore.wrapped_key(message).wrapped_message_key == key for message, key in pairs[1::5])


def test_ended_connections_are_replaced_unseen(keystore: PostgresqlKeystore) -> None:
    kept = batch()
    keystore.add_batch(kept)
    assert postgresql_room.shared().end_idle_connections(keystore._pool.url.database or "")
    assert keystore.has_key(kept.message_keys[0][0])
    keystore.add_batch(batch())


def test_connection_lost_in_mid_transaction_keeps_nothing(keystore: PostgresqlKeystore) -> None:
    kept = batch()
    database = keystore._pool.url.database or ""

    def lose_connection() -> None:
        with keystore._writing() as transaction:
            transaction.ask("INSERT INTO batches VALUES (?, ?, ?, ?)", (kept.batch, 0, b"", b""))
            postgresql_room.shared().end_connections(database)
            transaction.ask("SELECT 1")

    with pytest.raises(StorageUnavailableError):
        lose_connection()
    assert list(keystore.batches()) == []
    keystore.add_batch(kept)


@pytest.mark.parametrize("asks", [True, False])
def test_connection_lost_while_a_batch_goes_out_keeps_nothing(keystore: PostgresqlKeystore, *, asks: bool) -> None:
    """``asks``: it is noticed by a question; else by the end of the transaction."""
    kept = batch()
    database = keystore._pool.url.database or ""

    def lose_connection() -> None:
        with keystore._adding() as transaction:
            transaction.tell("INSERT INTO batches VALUES (?, ?, ?, ?)", (kept.batch, 0, b"", b""))
            transaction.ask("SELECT 1")
            postgresql_room.shared().end_connections(database)
            if asks:
                transaction.ask("SELECT 1")

    with pytest.raises(StorageUnavailableError):
        lose_connection()
    assert list(keystore.batches()) == []
    keystore.add_batch(kept)


def test_batch_that_waits_too_long_for_the_other_writer_is_told_to_come_back(url: str) -> None:
    first, second = PostgresqlKeystore.create(url), PostgresqlKeystore(url, patience_seconds=0.2)
    with first._writing(), pytest.raises(StorageUnavailableError):
        second.add_batch(batch())
    second.add_batch(batch())
    assert len(list(first.batches())) == 1
    first.close()
    second.close()


def test_server_that_takes_no_connection_is_told_in_our_own_words(keystore: PostgresqlKeystore) -> None:
    server, name = postgresql_room.shared(), keystore._pool.url.database or ""
    server.command("ALTER DATABASE {} ALLOW_CONNECTIONS false", name)
    try:
        server.end_idle_connections(name)
        with pytest.raises(StorageUnavailableError, match="no connection"):
            keystore.has_key(MessageId(identifier_from(os.urandom(16))))
    finally:
        server.command("ALTER DATABASE {} ALLOW_CONNECTIONS true", name)
