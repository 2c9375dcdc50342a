from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Boolean, Column, Float, Integer, LargeBinary, MetaData, String, Table, create_engine

from mailstore.database import Database
from mailstore.errors import TamperedError
from mailstore.mailboxes import Folder
from mailstore.row_form import RowForm, encoded
from mailstore.sealed_rows import DamagedRow, SealedRows, rows_of
from mailstore.tables import Instant, number_column, seal_column
from tests import database_room
from tests.ledger_room import FILE_NAME, NOW, created, opened

METADATA = MetaData()
things = Table(
    "things",
    METADATA,
    Column("name", String(40), primary_key=True),
    Column("count", Integer, nullable=False, default=7),
    Column("data", LargeBinary, nullable=True),
    Column("at", Instant, nullable=True),
    Column("is_good", Boolean, nullable=True),
    seal_column(),
)
twins = things.to_metadata(METADATA, name="twins")
numbered = Table("numbered", METADATA, number_column("id"), Column("word", String(40), nullable=False), seal_column())

FULL = {"name": "a", "count": -3, "data": b"\x00\xff", "at": NOW, "is_good": True}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = created(tmp_path)
    made.create_all(METADATA)
    yield made
    made.dispose()


def put(database: Database, *rows: dict[str, Any], table: Table = things) -> None:
    with database.write() as connection:
        database.rows.insert_many(connection, table, rows)


def everything(database: Database, table: Table = things) -> list[Any]:
    with database.read() as connection:
        return list(database.rows.select(connection, table, order_by=table.primary_key.columns[0]))


def edit(tmp_path: Path, statement: str) -> None:
    database_room.attack(tmp_path / FILE_NAME, statement)


def test_row_comes_back_as_it_went_in(database: Database) -> None:
    empty = {"name": "b", "count": 7, "data": None, "at": None, "is_good": None}
    put(database, FULL, {"name": "b"})
    assert everything(database) == [FULL, empty]
    assert everything(database)[0]["is_good"] is True


def test_words_of_an_enumeration_and_buffers_are_kept_as_plain_values(database: Database) -> None:
    put(database, {"name": Folder.INBOX, "data": bytearray(b"x")})
    found = everything(database)[0]
    assert type(found["name"]) is str
    assert (found["name"], found["data"]) == ("inbox", b"x")


@pytest.mark.parametrize(
    "wrong",
    [{"count": "7"}, {"count": True}, {"count": 7.0}, {"data": "x"}, {"name": 5}, {"is_good": 1}, {"data": 1.5}],
)
def test_value_that_the_database_would_change_is_refused_before_it_is_written(
    database: Database, wrong: dict[str, Any]
) -> None:
    with pytest.raises(TypeError):
        put(database, {**FULL, **wrong})
    assert everything(database) == []


def test_unknown_and_missing_columns_are_refused(database: Database) -> None:
    for row in ({"name": "a", "colour": "red"}, {"count": 1}, {"name": "a", "seal": b"0" * 16}):
        with pytest.raises(ValueError, match="unknown or missing"):
            put(database, row)


def test_time_without_a_zone_is_refused(database: Database) -> None:
    with pytest.raises(ValueError, match="zone"):
        put(database, {"name": "a", "at": datetime(2026, 1, 1)})  # noqa: DTZ001 -- the very thing that is refused


def test_column_without_a_canonical_form_is_refused() -> None:
    table = Table("t", MetaData(), Column("id", Integer, primary_key=True), Column("x", Float), seal_column())
    with pytest.raises(TypeError):
        RowForm(table)


def test_row_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SealedRows(b"short")


def test_update_seals_again_and_answers_how_many(database: Database) -> None:
    put(database, FULL, {"name": "b"})
    later = NOW + timedelta(days=1)
    with database.write() as connection:
        number = database.rows.update(connection, things, things.c.count > -9, {"at": later, "is_good": False})
    assert number == 2
    assert [(row["at"], row["is_good"], row["data"]) for row in everything(database)] == [
        (later, False, FULL["data"]),
        (later, False, None),
    ]


def test_update_of_an_edited_row_is_refused_and_changes_nothing(database: Database, tmp_path: Path) -> None:
    put(database, FULL, {"name": "b"})
    edit(tmp_path, "UPDATE things SET count = 99 WHERE name = 'b'")
    with pytest.raises(TamperedError, match=r"things\(name=b\)"), database.write() as connection:
        database.rows.update(connection, things, things.c.count < 100, {"is_good": False})
    with database.read() as connection:
        assert database.rows.select(connection, things, things.c.name == "a") == [FULL]


def test_primary_key_never_changes(database: Database) -> None:
    put(database, FULL)
    with pytest.raises(ValueError, match="primary key"), database.write() as connection:
        database.rows.update(connection, things, things.c.name == "a", {"name": "b"})


def test_row_of_one_table_is_not_one_of_another(database: Database, tmp_path: Path) -> None:
    put(database, FULL)
    edit(tmp_path, "INSERT INTO twins SELECT * FROM things")
    assert len(everything(database)) == 1
    with pytest.raises(TamperedError, match=r"twins\(name=a\)"):
        everything(database, twins)


def test_row_under_another_key_is_refused(database: Database, tmp_path: Path) -> None:
    put(database, FULL)
    other = opened(tmp_path, row_key=b"o" * 32)
    with pytest.raises(TamperedError):
        everything(other)
    other.dispose()


def test_one_answers_none_or_the_row_and_refuses_several(database: Database) -> None:
    put(database, FULL, {"name": "b", "count": -3})
    with database.read() as connection:
        assert database.rows.one(connection, things, things.c.name == "c") is None
        assert database.rows.one(connection, things, things.c.name == "a") == FULL
        with pytest.raises(ValueError, match="more than one"):
            database.rows.one(connection, things, things.c.count == -3)


def test_edited_row_is_reported_in_its_place_when_examined(database: Database, tmp_path: Path) -> None:
    put(database, *({"name": name} for name in "abc"))
    edit(tmp_path, "UPDATE things SET data = x'00' WHERE name = 'b'")
    with database.read() as connection:
        found = list(database.rows.examine(connection, things, order_by=things.c.name))
    assert found[1] == DamagedRow("things(name=b)")
    assert [row["name"] for row in found if not isinstance(row, DamagedRow)] == ["a", "c"]


def test_numbers_count_up_from_one_and_are_never_given_twice(database: Database) -> None:
    with database.write() as connection:
        assert database.rows.insert_many(connection, numbered, [{"word": "a"}, {"word": "b"}]) == range(1, 3)
        assert database.rows.delete(connection, numbered, numbered.c.id == 2) == 1
        assert database.rows.insert(connection, numbered, {"word": "c"}) == 3
    with pytest.raises(ValueError, match="missing"), database.write() as connection:
        database.rows.insert_many(connection, numbered, [{"word": "undone"}, {}])
    with database.write() as connection:
        assert database.rows.insert(connection, numbered, {"word": "d"}) == 4
    assert [row["id"] for row in everything(database, numbered)] == [1, 3, 4]


def test_wound_back_counter_is_noticed(database: Database, tmp_path: Path) -> None:
    put(database, {"word": "a"}, table=numbered)
    edit(tmp_path, "UPDATE row_numbers SET next = 1")
    with pytest.raises(TamperedError, match="row_numbers"):
        put(database, {"word": "b"}, table=numbered)


def test_change_begins_where_nothing_is_and_goes_on_from_there(database: Database) -> None:
    first = {"name": "total", "count": 0}
    for expected in (1, 2, 3):
        with database.write() as connection:
            row = database.rows.change(connection, things, first, lambda row: {"count": row["count"] + 1})
        assert row["count"] == expected
    assert everything(database)[0]["count"] == 3


def test_change_of_an_edited_row_is_refused(database: Database, tmp_path: Path) -> None:
    put(database, {"name": "total", "count": 5})
    edit(tmp_path, "UPDATE things SET count = 4")
    with pytest.raises(TamperedError), database.write() as connection:
        database.rows.change(connection, things, {"name": "total"}, lambda row: {"count": row["count"] + 1})


def test_nothing_to_insert_is_no_statement(database: Database) -> None:
    with database.write() as connection:
        assert database.rows.insert_many(connection, numbered, []) == range(0)
    assert everything(database, numbered) == []


def test_rows_travel_with_their_connection(database: Database) -> None:
    with database.read() as connection:
        assert rows_of(connection) is database.rows
    with create_engine("sqlite://").connect() as foreign, pytest.raises(TypeError):
        rows_of(foreign)


values = st.none() | st.integers() | st.binary(max_size=20) | st.text(max_size=20)


@given(st.lists(values, max_size=4), st.lists(values, max_size=4))
def test_no_two_rows_share_an_encoding(first: list[Any], second: list[Any]) -> None:
    same = [(type(value), value) for value in first] == [(type(value), value) for value in second]
    assert (encoded(first) == encoded(second)) == same


def test_encoding_tells_kinds_and_borders_apart() -> None:
    rows: list[list[Any]] = [["ab", "c"], ["a", "bc"], [b"ab", "c"], ["1", None], [1, None], [None, 1], ["", ""], [""]]
    assert len({encoded(row) for row in rows}) == len(rows)
