from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailstore import failpoint
from mailstore.errors import DestroyedError, NotFoundError, RefusedError, StorageUnavailableError, TamperedError
from mailstore.keystore import BatchOfKeys
from mailstore.keystore_sqlite import SqliteKeystore
from mailstore.message import MessageId, identifier_from

NOW = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


def batch(count: int = 1, *, made_at: datetime = NOW) -> BatchOfKeys:
    keys = tuple((MessageId(identifier_from(os.urandom(16))), os.urandom(60)) for _ in range(count))
    return BatchOfKeys(os.urandom(16), made_at, os.urandom(16), os.urandom(80), keys)


@pytest.fixture
def keystore(tmp_path: Path) -> Iterator[SqliteKeystore]:
    made = SqliteKeystore.create(tmp_path / "keystore.sqlite3")
    yield made
    made.close()


def test_missing_keystore_is_never_replaced_by_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        SqliteKeystore(tmp_path / "keystore.sqlite3")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("keystore")
def test_existing_keystore_is_not_made_again(tmp_path: Path) -> None:
    with pytest.raises(RefusedError):
        SqliteKeystore.create(tmp_path / "keystore.sqlite3")


def test_something_else_is_not_taken_for_a_keystore(tmp_path: Path) -> None:
    path = tmp_path / "keystore.sqlite3"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE x (y)")
    other.close()
    with pytest.raises(TamperedError):
        SqliteKeystore(path)
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(TamperedError):
        SqliteKeystore(path)


def test_only_we_can_read_the_files(keystore: SqliteKeystore, tmp_path: Path) -> None:
    keystore.add_batch(batch())
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_destroyed_key_is_nowhere_in_the_files(keystore: SqliteKeystore, tmp_path: Path) -> None:
    batches = [batch(64) for _ in range(10)]
    for kept in batches:
        keystore.add_batch(kept)
    doomed = [pair for kept in batches for pair in kept.message_keys[::3]]
    keystore.destroy([message for message, _ in doomed], at=NOW)
    everything = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert not any(key in everything for _, key in doomed)
    assert not keystore.remnants([key for _, key in doomed])
    for message, _ in doomed:
        with pytest.raises(DestroyedError):
            keystore.wrapped_key(message)
        assert keystore.destroyed_at(message) == NOW
    survivor, key = batches[0].message_keys[1]
    assert keystore.wrapped_key(survivor).wrapped_message_key == key
    assert keystore.remnants([key])


def test_destroyed_rows_are_overwritten_and_commits_are_synced(keystore: SqliteKeystore) -> None:
    for pragma, expected in (("secure_delete", 1), ("synchronous", 2), ("journal_mode", "wal"), ("temp_store", 2)):
        assert keystore._connection.execute(f"PRAGMA {pragma}").fetchone() == (expected,)


def test_destruction_cut_short_is_proved_by_the_next_run(keystore: SqliteKeystore, tmp_path: Path) -> None:
    kept = batch(3)
    keystore.add_batch(kept)
    message, key = kept.message_keys[0]
    failpoint.rehearse("keystore.after_rows:error")
    try:
        with pytest.raises(OSError, match=r"keystore\.after_rows"):
            keystore.destroy([message], at=NOW)
    finally:
        failpoint.rehearse("")
    assert key in (tmp_path / "keystore.sqlite3-wal").read_bytes()
    keystore.destroy([message], at=NOW)
    assert not keystore.remnants([key])


def test_destruction_that_cannot_cut_the_journal_says_so(keystore: SqliteKeystore, tmp_path: Path) -> None:
    kept = batch()
    keystore.add_batch(kept)
    keystore._connection.execute("PRAGMA busy_timeout=50")
    reader = sqlite3.connect(tmp_path / "keystore.sqlite3", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM message_keys").fetchone()
    with pytest.raises(StorageUnavailableError):
        keystore.destroy([kept.message_keys[0][0]], at=NOW)
    reader.execute("COMMIT")
    reader.close()
    keystore.destroy([kept.message_keys[0][0]], at=NOW)
    assert not keystore.remnants([kept.message_keys[0][1]])
