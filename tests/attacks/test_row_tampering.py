"""Someone who can write the database file, but has no row key, edits rows behind our back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table

from mailstore import audit_trail, mailboxes, message_records, outbox
from mailstore.audit_entry import AuditFact
from mailstore.database import Database
from mailstore.errors import TamperedError
from mailstore.mailboxes import Folder, MailboxEntry
from mailstore.message import AccountId
from mailstore.outbox import Kind
from mailstore.sealed_rows import DamagedRow
from mailstore.tables import METADATA
from tests import database_room, made_up_rows
from tests.ledger_room import FILE_NAME, NOW, created, message, new_id, opened, recipient

TABLES = list(METADATA.sorted_tables)
COLUMNS = [(table, column.name) for table in TABLES for column in table.columns]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A row database with two rows or more in every table where there can be."""
    directory = tmp_path_factory.mktemp("template")
    database = created(directory)
    rows = [message(author=new_id(), header_id_index=os.urandom(16), recipients=[recipient()]) for _ in range(2)]
    with database.write() as connection:
        message_records.insert_many(connection, rows)
        for row in rows:
            box = mailboxes.create(connection, AccountId(new_id()), os.urandom(16))
            mailboxes.file(connection, box.id, row.message.id, Folder.INBOX, now=NOW)
            outbox.add(connection, Kind.DELIVER, row.message.id, 0, NOW)
        audit_trail.append(connection, [AuditFact("message.accepted", "system", "x") for _ in rows], now=NOW)
        message_records.tombstone(connection, [row.message.id for row in rows], certificate=new_id(), now=NOW)
    for table in TABLES:
        made_up_rows.fill(database, table, now=NOW)
    database.truncate_journal()
    database.dispose()
    return directory


@pytest.fixture
def database(template: Path, tmp_path: Path) -> Iterator[Database]:
    database_room.copied(template / FILE_NAME, tmp_path / FILE_NAME)
    made = opened(tmp_path)
    yield made
    made.dispose()


def edit(tmp_path: Path, statement: str, *values: object) -> list[tuple[Any, ...]]:
    return database_room.attack(tmp_path / FILE_NAME, statement, *values)


def other_value(value: Any) -> Any:
    """The same kind of value, changed as little as can be."""
    match value:
        case None:
            return "0"
        case bool():
            return not value
        case int():
            return value + 7
        case str():
            return value[:-1] + ("a" if value[-1:] != "a" else "b")
        case _:
            return bytes([value[0] ^ 1]) + value[1:] if value else b"\x00"


def read_all(database: Database, table: Table) -> None:
    with database.read() as connection:
        database.rows.select(connection, table)


@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=lambda each: getattr(each, "name", each))
def test_one_changed_value_in_any_column_of_any_table_is_refused(
    database: Database, tmp_path: Path, table: Table, column: str
) -> None:
    read_all(database, table)

    keys = [key.name for key in table.primary_key.columns]
    names = ", ".join(f'"{name}"' for name in (column, *keys))
    value, *found = edit(tmp_path, f'SELECT {names} FROM "{table.name}"')[0]  # noqa: S608 -- our own names
    where = " AND ".join(f'"{name}" = ?' for name in keys)
    statement = f'UPDATE "{table.name}" SET "{column}" = ? WHERE {where} RETURNING 1'  # noqa: S608 -- as above
    assert edit(tmp_path, statement, other_value(value), *found) == [(1,)]
    with pytest.raises(TamperedError, match=rf"{table.name}\("):
        read_all(database, table)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE recipients SET route = 'tls'",
        (
            "UPDATE recipients SET (sealed_detail, address_index) = "
            "(SELECT sealed_detail, address_index FROM recipients ORDER BY message DESC LIMIT 1)"
        ),
        "UPDATE recipients SET seal = (SELECT seal FROM messages LIMIT 1)",
        "UPDATE recipients SET seal = x''",
        "UPDATE recipients SET seal = substr(seal, 1, 15)",
        "UPDATE recipients SET changed_at = 9223372036854775807",
        *(
            pytest.param(each, marks=pytest.mark.sqlite_files(reason="columns of PostgreSQL hold their own kind only"))
            for each in (
                "UPDATE recipients SET seal = CAST(seal AS TEXT)",
                "UPDATE recipients SET attempts = 'many'",
                "UPDATE recipients SET changed_at = 'yesterday'",
                "UPDATE recipients SET changed_at = 1e300",
                "UPDATE recipients SET state = CAST(x'ff' AS TEXT)",
                "UPDATE recipients SET state = x'ff'",
            )
        ),
    ],
)
def test_row_made_of_other_rows_or_of_other_kinds_is_refused(
    database: Database, tmp_path: Path, statement: str
) -> None:
    edit(tmp_path, statement)
    with pytest.raises(TamperedError):
        read_all(database, METADATA.tables["recipients"])


def inboxes(database: Database) -> list[MailboxEntry]:
    with database.read() as connection:
        boxes = database.rows.select(connection, METADATA.tables["mailboxes"])
        return [each for box in boxes for each in mailboxes.entries(connection, box["id"], Folder.INBOX, 10)]


def test_entry_put_into_another_mailbox_is_refused(database: Database, tmp_path: Path) -> None:
    assert len(inboxes(database)) == 2

    (one, other) = edit(tmp_path, "SELECT id FROM mailboxes")
    edit(tmp_path, "UPDATE mailbox_entries SET mailbox = ? WHERE mailbox = ?", one[0], other[0])
    with pytest.raises(TamperedError, match="mailbox_entries"):
        inboxes(database)


def test_made_up_row_is_refused(database: Database, tmp_path: Path) -> None:
    edit(
        tmp_path,
        "INSERT INTO outbox (id, kind, not_before, attempts, claimable_at, seal) VALUES (99, 'deliver', 0, 0, 0, ?)",
        os.urandom(16),
    )
    with pytest.raises(TamperedError, match=r"outbox\(id=99\)"):
        read_all(database, METADATA.tables["outbox"])


def test_every_edited_row_is_named_by_the_check(database: Database, tmp_path: Path) -> None:
    edit(tmp_path, "UPDATE outbox SET attempts = 9")
    with database.read() as connection:
        found = list(database.rows.examine(connection, METADATA.tables["outbox"]))
    assert found == [DamagedRow("outbox(id=1)"), DamagedRow("outbox(id=2)")]
