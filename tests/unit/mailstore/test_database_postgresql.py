from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import psycopg
import pytest

from mailstore import audit_trail, message_records, outbox
from mailstore.audit_entry import AuditFact
from mailstore.database import Database
from mailstore.document_signing import signing_public
from mailstore.errors import DuplicateRowError, RefusedError, StorageUnavailableError, TamperedError
from mailstore.outbox import Kind
from mailstore.tables import outbox as outbox_rows
from tests import database_room, postgresql_room
from tests.database_room import Engine
from tests.ledger_room import NOW, ROW_KEY, message, recipient
from tests.postgresql_room import PostgresqlServer

SEED = bytes(32)


@pytest.fixture
def server() -> PostgresqlServer:
    return postgresql_room.shared()


@pytest.fixture
def name(tmp_path: Path) -> str:
    return database_room.database_name(tmp_path / database_room.ROWS)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return database_room.rows_url(tmp_path, engine=Engine.POSTGRESQL)


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    made = Database(url, ROW_KEY, patience_seconds=0.5)
    yield made
    made.dispose()


def put(database: Database) -> None:
    with database.write() as connection:
        message_records.insert_many(connection, [message(recipients=[recipient()])])
        audit_trail.append(connection, [AuditFact("message.accepted", "system")], now=NOW)


def count(database: Database) -> int:
    with database.read() as connection:
        return len(message_records.all_ids(connection))


def test_every_connection_is_durable_and_bounded(database: Database) -> None:
    wanted = {
        "synchronous_commit": "on",
        "lock_timeout": "500ms",
        "statement_timeout": "5min",
        "idle_in_transaction_session_timeout": "5min",
        "search_path": "public",
        "client_encoding": "UTF8",
    }
    with database.write() as writing, database.read() as reading:
        for connection in (writing, reading):
            found = {each: connection.exec_driver_sql(f"SHOW {each}").scalar_one() for each in wanted}
            assert found == wanted
        assert reading.exec_driver_sql("SHOW transaction_read_only").scalar_one() == "on"
        assert reading.exec_driver_sql("SHOW transaction_isolation").scalar_one() == "repeatable read"


def test_over_tcp_it_is_the_same(server: PostgresqlServer, name: str, url: str) -> None:
    del url  # it made the database
    database = Database(server.url(name, over_tcp=True), ROW_KEY)
    put(database)
    assert count(database) == 1
    database.dispose()


def test_connections_ended_while_idle_are_replaced_unseen(
    database: Database, server: PostgresqlServer, name: str
) -> None:
    put(database)
    assert server.end_idle_connections(name)
    put(database)
    assert server.end_idle_connections(name)
    assert count(database) == 2


@pytest.mark.parametrize("is_driven", [True, False])
@pytest.mark.parametrize("is_together", [False, True])
def test_connection_lost_in_mid_transaction_leaves_nothing_half_done(
    database: Database, server: PostgresqlServer, name: str, *, is_driven: bool, is_together: bool
) -> None:
    """``is_driven``: it is noticed by a statement; else by the commit, whose outcome nobody is promised.

    ``is_together``: the statements go out without waiting for each other, and it is noticed by their end at the latest.
    """

    def lose() -> None:
        with database.write() as connection, database.together(connection) if is_together else nullcontext():
            message_records.insert_many(connection, [message(recipients=[recipient()])])
            server.end_connections(name)
            if is_driven:
                audit_trail.append(connection, [AuditFact("message.accepted", "system")], now=NOW)

    with pytest.raises(StorageUnavailableError) as caught:
        lose()
    assert caught.value.retry_may_help
    assert count(database) == 0
    put(database)
    assert count(database) == 1
    report = audit_trail.verify(database, public_key=signing_public(SEED), checkpoints_path=Path("/nowhere"))
    assert (report.entries, report.first_bad) == (1, None)


@pytest.mark.parametrize("follows", [True, False])
def test_row_that_is_there_already_undoes_all_that_went_out_together(database: Database, *, follows: bool) -> None:
    there = message(recipients=[recipient()])
    with database.write() as connection:
        message_records.insert_many(connection, [there])

    def add_again() -> None:
        with database.write() as connection, database.together(connection):
            message_records.insert_many(connection, [message(recipients=[recipient()])])
            message_records.insert_many(connection, [there])
            if follows:
                audit_trail.append(connection, [AuditFact("message.accepted", "system")], now=NOW)

    with pytest.raises(DuplicateRowError):
        add_again()
    assert count(database) == 1
    put(database)
    report = audit_trail.verify(database, public_key=signing_public(SEED), checkpoints_path=Path("/nowhere"))
    assert (count(database), report.entries, report.first_bad) == (2, 1, None)


def test_server_that_is_gone_is_our_own_fault_and_says_no_password() -> None:
    with pytest.raises(StorageUnavailableError) as caught:
        Database("postgresql+psycopg://u:hunter2@127.0.0.1:1/rows", ROW_KEY)
    error: BaseException | None = caught.value
    while error is not None:
        assert "hunter2" not in repr(error) + str(error)
        error = error.__cause__


def test_writer_that_waits_too_long_is_told_to_come_back(database: Database, url: str) -> None:
    other = Database(url, ROW_KEY, patience_seconds=0.2)
    with database.write(), pytest.raises(StorageUnavailableError), other.write():
        pass
    put(other)
    other.dispose()


def test_writer_sees_what_the_one_before_it_committed_while_it_waited(url: str) -> None:
    """With one snapshot for the whole transaction the second writer would give the same numbers again."""
    databases = [Database(url, ROW_KEY) for _ in range(3)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda number: put(databases[number % 3]), range(45)))
    report = audit_trail.verify(databases[0], public_key=signing_public(SEED), checkpoints_path=Path("/nowhere"))
    assert (report.entries, report.first_bad, count(databases[0])) == (45, None, 45)
    for database in databases:
        database.dispose()


def test_statement_that_never_ends_is_ended(database: Database) -> None:
    with pytest.raises(StorageUnavailableError), database.read() as connection:
        connection.exec_driver_sql("SET LOCAL statement_timeout = '50ms'; SELECT pg_sleep(60)")
    put(database)


@pytest.mark.parametrize(
    "planted",
    [
        "CREATE VIEW planted AS SELECT 1",
        "CREATE RULE planted AS ON INSERT TO outbox DO INSTEAD NOTHING",
        "CREATE FUNCTION planted() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE POLICY planted ON outbox USING (false)",
        """CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
           CREATE TRIGGER planted BEFORE INSERT ON audit_entries FOR EACH ROW EXECUTE FUNCTION f()""",
    ],
)
def test_planted_program_is_refused(url: str, tmp_path: Path, planted: str) -> None:
    database_room.attack(tmp_path / database_room.ROWS, planted, engine=Engine.POSTGRESQL)
    with pytest.raises(TamperedError, match="not ours"):
        Database(url, ROW_KEY)


def test_row_that_names_a_lost_row_is_a_problem(database: Database, tmp_path: Path) -> None:
    assert database.problems() == []
    statement = "INSERT INTO mailbox_addresses VALUES (x'00', 'nobody', x'00')"
    database_room.attack(tmp_path / database_room.ROWS, statement, engine=Engine.POSTGRESQL)
    assert database.problems() == ["a row of mailbox_addresses names a row of mailboxes that is not there"]


def test_index_that_lost_an_entry_is_a_problem_where_amcheck_is_installed(database: Database, tmp_path: Path) -> None:
    rows = tmp_path / database_room.ROWS
    for number in range(3):
        with database.write() as connection:
            outbox.add(connection, Kind.REPORT, None, number, NOW)
    for statement in (
        "CREATE EXTENSION amcheck",
        "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO appliance",
        "UPDATE pg_index SET indisready = false WHERE indexrelid = 'ix_outbox_claimable'::regclass",
        "INSERT INTO outbox VALUES (99, 'report', NULL, NULL, 0, 0, NULL, NULL, NULL, 0, x'00')",
        "UPDATE pg_index SET indisready = true WHERE indexrelid = 'ix_outbox_claimable'::regclass",
    ):
        database_room.attack(rows, statement, engine=Engine.POSTGRESQL)
    assert database.problems() == ["the index ix_outbox_claimable does not agree with its table"]


def test_settings_that_lose_commits_are_named(database: Database, server: PostgresqlServer) -> None:
    with server.administering() as administrator:
        row = administrator.execute("SHOW fsync").fetchone()
    assert database.shortcomings() == (["its server has fsync = off"] if row == ("off",) else [])


def test_database_with_other_orders_is_refused(server: PostgresqlServer, name: str) -> None:
    server.command(
        "CREATE DATABASE {} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en' OWNER {}", name, "appliance"
    )
    with pytest.raises(RefusedError, match="sorts text by a language"):
        Database(server.url(name), ROW_KEY)
    server.drop(name)


def test_rows_of_disposed_messages_are_vacuumed(database: Database, server: PostgresqlServer, name: str) -> None:
    put(database)
    with database.write() as connection:
        database.rows.delete(connection, outbox_rows, outbox_rows.c.id > 0)
        message_records.remove(connection, message_records.all_ids(connection))
    database.truncate_journal()
    with server.administering(name) as administrator:
        row = administrator.execute("SELECT relpages FROM pg_class WHERE relname = 'messages'").fetchone()
    assert row == (0,)


WRITER = """
import os, signal, sys
from mailstore.database import Database
from tests.unit.mailstore.test_database_postgresql import ROW_KEY, put
database = Database(sys.argv[1], ROW_KEY)
for number in range(20):
    put(database)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_what_was_committed_survives_the_kill_of_writer_and_server(tmp_path: Path) -> None:
    """A server of its own that syncs; it is killed in mid-burst and started again."""
    server = postgresql_room.start(fsync="on", synchronous_commit="off")
    server.create("rows")
    database = Database(server.url("rows"), ROW_KEY)
    database.create_all()
    writer = subprocess.run([sys.executable, "-c", WRITER, server.url("rows")], check=False)
    assert writer.returncode == -signal.SIGKILL
    promised = [0]

    def promise() -> None:
        try:
            while True:
                put(database)
                promised[0] += 1
        except StorageUnavailableError:
            return

    burst = threading.Thread(target=promise)
    burst.start()
    time.sleep(0.5)
    server.kill()
    burst.join()
    server.start_again()
    found = count(database)
    assert 20 + promised[0] <= found <= 21 + promised[0]
    report = audit_trail.verify(database, public_key=signing_public(SEED), checkpoints_path=tmp_path / "none")
    assert (report.entries, report.first_bad) == (found, None)
    database.dispose()


def test_password_is_in_no_message_of_the_driver(url: str, server: PostgresqlServer) -> None:
    wrong = url.replace(server.password, "hunter2hunter2")
    with pytest.raises(StorageUnavailableError) as caught:
        Database(wrong, ROW_KEY)
    assert "hunter2hunter2" not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert isinstance(caught.value.__cause__, psycopg.Error)
    assert os.environ.get("PGPASSWORD") is None
