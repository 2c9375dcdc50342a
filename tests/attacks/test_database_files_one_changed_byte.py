"""One byte of a database's file is changed: what is read is as it was, or is refused; never another text (I7)."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from mailstore import message_records
from mailstore.database import Database
from mailstore.errors import DestroyedError, StrongroomError, TamperedError
from mailstore.keystore_sqlite import SqliteKeystore
from mailstore.message import MessageId
from tests import database_room
from tests.vault_room import Vault, a_deposit

pytestmark = pytest.mark.sqlite_files(reason="PostgreSQL keeps keys on shelves of its own; their suite changes them")

CONTENT = b"Subject: hello\r\n\r\nworld\r\n"
STRIDE = 5
"""Places of every kind are met: pages' heads, the text of tables, wrapped keys, names. With 1 every byte is changed."""


def changed_in_turn(path: Path, vault: Vault, living: MessageId, dead: MessageId, *, stride: int) -> Counter[str]:
    """Change every ``stride``-th byte that is not zero, and read; answers how often it came to what."""
    whole, found = path.read_bytes(), Counter[str]()
    for place in [place for place, byte in enumerate(whole) if byte][::stride]:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        found[outcome(path, vault, living)] += 1
        assert outcome(path, vault, dead) != "opened", place
    path.write_bytes(whole)
    return found


def outcome(path: Path, vault: Vault, message: MessageId) -> str:
    try:
        with closing(SqliteKeystore(path)) as keystore:
            vault.keystore = keystore
            content = vault.retrieval().content(message)
    except StrongroomError as error:
        return error.code if error.message else "nameless"
    assert content == CONTENT
    return "opened"


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "data")


def test_no_byte_of_the_keystore_makes_another_text_or_brings_back_the_dead(vault: Vault, tmp_path: Path) -> None:
    living, dead = (vault.deposit(a_deposit(CONTENT))[0] for _ in range(2))
    vault.destroy([dead])
    vault.keystore.close()
    path = tmp_path / "data" / "keystore.sqlite3"
    assert not path.with_name(f"{path.name}-wal").exists()
    assert [outcome(path, vault, each) for each in (living, dead)] == ["opened", DestroyedError.code]
    found = changed_in_turn(path, vault, living, dead, stride=STRIDE)
    assert found["tampered"] > 10, found
    assert not found["nameless"]


def test_damaged_text_of_a_table_is_damage_of_the_row_database(vault: Vault, tmp_path: Path) -> None:
    """SQLite quotes it in what it says, and its driver stumbles over that."""
    vault.close()
    path = tmp_path / "data" / "rows.sqlite3"
    whole = path.read_bytes()
    start, damaged = whole.index(b"CREATE TABLE messages"), 0
    for place in range(start, start + 200, 9):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x80]) + whole[place + 1 :])
        try:
            assert count_of(tmp_path / "data", vault.ring.row_key) == 0, "a letter of a name that was not asked for"
        except TamperedError:
            damaged += 1
    path.write_bytes(whole)
    assert damaged > 10


def count_of(folder: Path, row_key: bytes) -> int:
    database = Database(database_room.rows_url(folder), row_key)
    try:
        with database.read() as connection:
            return message_records.count(connection)
    finally:
        database.dispose()
