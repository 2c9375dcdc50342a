from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from archive import archive_records, tables
from archive.archive_records import ArchiveCounts, ArchiveEntry
from mailstore.database import Database
from mailstore.errors import TamperedError
from mailstore.message import MessageId, identifier_from
from tests import database_room

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    database = Database(database_room.rows_url(tmp_path), b"r" * 32)
    database.create_all(tables.METADATA)
    return database


def entry(minutes: int = 0) -> ArchiveEntry:
    received = NOW + timedelta(minutes=minutes)
    return ArchiveEntry(MessageId(identifier_from(os.urandom(16))), received, received, "unclassified", None)


def test_message_is_captured_once(database: Database) -> None:
    one = entry()
    with database.write() as connection:
        assert archive_records.insert_entries(connection, [one])
        assert not archive_records.insert_entries(connection, [one])
        assert archive_records.find(connection, one.message) == one
        assert archive_records.counts(connection) == ArchiveCounts(archived=1, indexed=0, not_indexed=0)


def test_every_captured_message_is_indexed_waiting_or_named(database: Database) -> None:
    indexed, failed, waiting = entry(1), entry(2), entry(3)
    with database.write() as connection:
        for each in (waiting, failed, indexed):
            archive_records.insert_entries(connection, [each])
        archive_records.mark_indexed(connection, [indexed.message], now=NOW)
        archive_records.mark_problem(connection, failed.message, problem="damaged")
        assert archive_records.counts(connection) == ArchiveCounts(archived=3, indexed=1, not_indexed=1)
        assert archive_records.unindexed(connection, 10) == [waiting.message]
        assert [each.message for each in archive_records.not_indexed(connection, 10)] == [failed.message]
        assert archive_records.oldest_unindexed_at(connection) == waiting.captured_at


def test_index_that_was_lost_leaves_everything_waiting(database: Database) -> None:
    several = [entry(minutes) for minutes in range(3)]
    with database.write() as connection:
        for each in several:
            archive_records.insert_entries(connection, [each])
        archive_records.mark_indexed(connection, [several[0].message], now=NOW)
        archive_records.mark_problem(connection, several[1].message, problem="damaged")
        assert archive_records.forget_index(connection) == 2
        assert archive_records.unindexed(connection, 10) == [each.message for each in several]


def test_entries_come_oldest_first_and_missing_ones_are_left_out(database: Database) -> None:
    later, sooner = entry(2), entry(1)
    with database.write() as connection:
        for each in (later, sooner):
            archive_records.insert_entries(connection, [each])
        asked = [later.message, entry().message, sooner.message]
        assert archive_records.entries(connection, asked) == [sooner, later]
        assert archive_records.remove_entry(connection, later.message) == 1
        assert archive_records.find(connection, later.message) is None


def test_classified_by_another_version_is_found(database: Database) -> None:
    one, two = entry(1), entry(2)
    with database.write() as connection:
        for each in (one, two):
            archive_records.insert_entries(connection, [each])
        archive_records.set_category(connection, one.message, category="billing", schedule="s" * 26)
        found = archive_records.classified_otherwise(connection, "s" * 26, 10)
        assert [each.message for each in found] == [two.message]


def test_edited_entry_is_refused(database: Database) -> None:
    one = entry()
    with database.write() as connection:
        archive_records.insert_entries(connection, [one])
        connection.execute(text("UPDATE archive_entries SET category = 'passing'"))
        with pytest.raises(TamperedError, match="archive_entries"):
            archive_records.find(connection, one.message)
