"""The steps lead to exactly the tables that the code works with, over data, and never back."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import inspect, text

from appliance import migration, schema
from mailstore import audit_trail
from mailstore.audit_entry import AuditFact
from mailstore.database import Database
from mailstore.document_signing import signing_public
from mailstore.errors import RefusedError, TamperedError
from mailstore.wall_clock import SystemClock
from tests import database_room, made_up_rows
from tests.database_room import ENGINES, Engine

ROW_KEY = bytes(range(32))
STEPS = sorted((migration.STEPS / "versions").glob("2*.py"))


FORM_IN_SQLITE = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name != 'alembic_version'"
FORM_IN_POSTGRESQL = """
SELECT attrelid::regclass::text || '.' || attname, format_type(atttypid, atttypmod) || attnotnull::text
  FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
  WHERE attnum > 0 AND relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname != 'alembic_version'
UNION ALL SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid)
  FROM pg_index JOIN pg_class c ON c.oid = indrelid
  WHERE relnamespace = 'public'::regnamespace AND relname != 'alembic_version'
UNION ALL SELECT conrelid::regclass::text || '.' || conname, pg_get_constraintdef(oid) FROM pg_constraint
  WHERE connamespace = 'public'::regnamespace AND conrelid IS DISTINCT FROM to_regclass('alembic_version')
"""


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    found: Engine = request.param
    return found


@pytest.fixture
def database(tmp_path: Path, engine: Engine) -> Iterator[Database]:
    opened = Database(database_room.rows_url(tmp_path, is_empty=True, engine=engine), ROW_KEY)
    yield opened
    opened.dispose()


def form_of(database: Database) -> dict[str, list[str]]:
    """Every table, index and constraint as the engine keeps it, its parts in one order and spelling."""
    with database.read() as connection:
        asked = FORM_IN_SQLITE if connection.dialect.name == "sqlite" else FORM_IN_POSTGRESQL
        found = connection.exec_driver_sql(asked).all()
    return {name: sorted(re.sub(r"[\s\"]+", " ", part).strip(" ,") for part in sql.split("\n")) for name, sql in found}


def test_steps_lead_to_the_tables_of_the_code(database: Database, tmp_path: Path, engine: Engine) -> None:
    migration.upgrade(database)
    (tmp_path / "other").mkdir()
    made_at_once = Database(database_room.rows_url(tmp_path / "other", is_empty=True, engine=engine), ROW_KEY)
    made_at_once.create_all(*schema.METADATAS)
    wanted = form_of(made_at_once)
    made_at_once.dispose()
    assert form_of(database) == wanted, 'write the next step with: python -m appliance.migrations "why"'


def test_newest_step_is_the_one_this_release_works_with() -> None:
    assert migration.known_steps()[0] == schema.HEAD


def test_upgrade_of_an_up_to_date_database_keeps_its_rows(database: Database) -> None:
    migration.upgrade(database)
    with database.write() as connection:
        audit_trail.append(connection, [AuditFact("test.event", "system")], now=SystemClock().now())
    migration.upgrade(database)
    report = audit_trail.verify(database, public_key=signing_public(bytes(32)), checkpoints_path=Path("/nowhere"))
    assert (report.entries, report.first_bad) == (1, None)


def test_rows_of_the_first_release_are_the_same_and_sealed_after_all_steps(database: Database) -> None:
    with database.write() as connection:
        command.upgrade(migration.configuration(connection), migration.known_steps()[-1])
        there = set(inspect(connection).get_table_names())
    tables = [table for metadata in schema.METADATAS for table in metadata.sorted_tables]
    for table in (each for each in tables if each.name in there):
        made_up_rows.fill(database, table, now=SystemClock().now())
    before = every_row(database, there)
    assert all(before.values())
    migration.upgrade(database)
    with database.read() as connection:
        for table in tables:
            database.rows.select(connection, table)  # raises for a seal that does not hold
        new = {name for name in inspect(connection).get_table_names() if name not in there}
    assert every_row(database, there) == before
    assert {table.name for table in tables} == there - {"alembic_version"} | new
    assert not any(every_row(database, new).values())


def every_row(database: Database, names: Iterable[str]) -> dict[str, list[tuple[object, ...]]]:
    """As the engine keeps them, seals and all, in an order of their own."""
    with database.read() as connection:
        found = {
            name: connection.exec_driver_sql(f'SELECT * FROM "{name}"').all()  # noqa: S608 -- the engine's own names
            for name in names
            if name != "alembic_version"
        }
    return {name: sorted(map(tuple, rows), key=repr) for name, rows in found.items()}


def test_database_of_a_later_release_is_refused_and_left_alone(database: Database) -> None:
    migration.upgrade(database)
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '29990101_later'"))
    with pytest.raises(RefusedError, match="later release"):
        migration.upgrade(database)
    with database.read() as connection, pytest.raises(RefusedError, match="29990101_later"):
        schema.require(connection)


def test_step_that_fails_leaves_nothing_of_itself(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("CREATE TABLE tombstones (in_the_way INTEGER)"))
    before = form_of(database)
    with pytest.raises(TamperedError):
        migration.upgrade(database)
    assert form_of(database) == before


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.stem)
def test_step_is_dated_and_goes_forward_only(step: Path) -> None:
    tree = ast.parse(step.read_text("utf-8"))
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert functions == ["upgrade"]
    assert re.fullmatch(r"\d{8}_[a-z0-9_]+", step.stem)
    assert "mailstore" not in step.read_text("utf-8"), "a step is frozen and names no type of ours"
