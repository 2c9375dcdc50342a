"""A backup of the data is of one moment, whole, sent once, and holds nothing plain and no key."""

from __future__ import annotations

import threading
from hashlib import sha256
from pathlib import Path

import pytest

from tests.backup_room import DATA, Backups
from tests.vault_room import Vault, a_deposit


@pytest.fixture
def backups(tmp_path: Path) -> Backups:
    return Backups(Vault(tmp_path / "vault"), tmp_path / "backup")


def test_every_message_of_the_rows_has_its_bytes_in_the_backup(backups: Backups, tmp_path: Path) -> None:
    vault = backups.vault
    promoted, *_ = vault.deposit(a_deposit(b"Subject: one\r\n\r\nfirst\r\n"))
    vault.promotion().promote_all([promoted])
    spooled, *_ = vault.deposit(a_deposit(b"Subject: two\r\n\r\nsecond\r\n"))
    made = backups.data()
    read = backups.newest_data()
    assert made.generation.listing.sequence == 1
    assert read.contents.absent == ()
    with read.rows(tmp_path) as rows:
        assert rows.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        found = dict(rows.execute("SELECT id, sequence FROM messages").fetchall())
    assert set(found) == {promoted, spooled}
    stored = vault.stored(promoted)
    assert stored.object_name is not None
    assert read.object(stored.object_digest or b"") == vault.objects.get(stored.object_name)
    place = vault.stored(spooled)
    segment = read.file(f"spool/{place.segment}")
    assert segment[place.offset : place.offset + place.sealed_length]


def test_a_second_backup_sends_only_what_changed(backups: Backups) -> None:
    messages = backups.vault.deposit(*(a_deposit(b"Subject: %d\r\n\r\n" % each + b"x" * 9000) for each in range(40)))
    backups.vault.promotion().promote_all(messages)
    first = backups.data()
    again = backups.data()
    assert again.generation.listing.sequence == 2
    assert again.generation.listing.previous == first.generation.digest
    assert again.sent_pieces == 1  # what says what is in it
    assert backups.newest_data().contents.objects == 40


def test_rows_are_of_one_moment_while_mail_flows(backups: Backups, tmp_path: Path) -> None:
    ended = threading.Event()

    def deposit_on() -> None:
        while not ended.is_set():
            messages = backups.vault.deposit(*(a_deposit(b"Subject: load\r\n\r\n" + b"y" * 500) for _ in range(5)))
            backups.vault.promotion().promote_all(messages)
            backups.vault.release()

    load = threading.Thread(target=deposit_on)
    load.start()
    try:
        for _ in range(4):
            backups.data()
            backups.keys()
            read, keys = backups.newest_data(), backups.newest_keys()
            with read.rows(tmp_path) as rows:
                found = rows.execute(
                    'SELECT id, segment, "offset", sealed_length, sealed_digest, object_digest FROM messages'
                ).fetchall()
            for message, segment, offset, length, digest, object_digest in found:
                assert message in keys.keys
                if object_digest is not None:
                    assert sha256(read.object(object_digest)).digest() == object_digest
                else:
                    spooled = read.file(f"spool/{segment}")[offset : offset + length]
                    assert sha256(spooled).digest() == digest
    finally:
        ended.set()
        load.join()


def test_nothing_is_left_of_the_copy_of_the_rows(backups: Backups) -> None:
    backups.vault.deposit(a_deposit())
    backups.data()
    assert list((backups.folder / "work").iterdir()) == []


def test_generations_are_numbered_and_the_newest_is_found(backups: Backups) -> None:
    for _ in range(3):
        backups.data()
    assert [each.listing.sequence for each in backups.catalogue().generations(DATA)] == [1, 2, 3]
