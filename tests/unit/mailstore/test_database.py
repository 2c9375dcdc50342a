from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Column, LargeBinary, MetaData, String, Table

from mailstore.database import Database
from mailstore.errors import DuplicateRowError, StorageUnavailableError, TamperedError
from mailstore.tables import number_column, seal_column
from tests import database_room
from tests.ledger_room import FILE_NAME, created, opened

FILES = pytest.mark.sqlite_files(reason="about files and settings of SQLite; see test_database_postgresql")
METADATA = MetaData()
pieces = Table(
    "pieces",
    METADATA,
    number_column("id"),
    Column("word", String(40), nullable=False, unique=True),
    Column("data", LargeBinary, nullable=True),
    seal_column(),
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = created(tmp_path, patience_seconds=0.3)
    made.create_all(METADATA)
    yield made
    made.dispose()


def put(database: Database, word: str, data: bytes | None = None) -> None:
    with database.write() as connection:
        database.rows.insert(connection, pieces, {"word": word, "data": data})


def put_all(database: Database, several: list[str]) -> None:
    with database.write() as connection:
        for word in several:
            database.rows.insert(connection, pieces, {"word": word})


def words(database: Database) -> list[str]:
    with database.read() as connection:
        return [row["word"] for row in database.rows.select(connection, pieces, order_by=pieces.c.id)]


@FILES
def test_every_connection_is_durable_and_leaves_no_remnants(database: Database) -> None:
    wanted = {
        "journal_mode": "wal",
        "synchronous": 2,
        "secure_delete": 1,
        "foreign_keys": 1,
        "trusted_schema": 0,
        "temp_store": 2,
        "cell_size_check": 1,
        "busy_timeout": 300,
    }
    with database.read() as first, database.read() as second:
        for connection in (first, second):
            assert {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in wanted} == wanted


@FILES
def test_database_file_is_for_its_owner_only(database: Database, tmp_path: Path) -> None:
    put(database, "a")
    for path in tmp_path.glob(f"{FILE_NAME}*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_exception_undoes_the_whole_transaction(database: Database) -> None:
    with pytest.raises(DuplicateRowError):
        put_all(database, ["a", "b", "a"])
    assert words(database) == []


def test_reader_is_not_held_up_by_a_writer_and_sees_one_moment(database: Database) -> None:
    put(database, "a")
    with database.read() as reader:
        assert len(database.rows.select(reader, pieces)) == 1
        with database.write() as writer:
            database.rows.insert(writer, pieces, {"word": "b"})
            assert words(database) == ["a"]
        assert len(database.rows.select(reader, pieces)) == 1
    assert words(database) == ["a", "b"]


def test_writing_inside_writing_is_a_mistake_that_is_told(database: Database) -> None:
    with database.write(), pytest.raises(RuntimeError, match="already inside"), database.write():
        pass
    put(database, "a")


def test_nothing_is_changed_while_only_reading(database: Database) -> None:
    put(database, "a")
    rows = database.rows
    with database.read() as connection:
        for attempt in (
            lambda: rows.insert(connection, pieces, {"word": "b"}),
            lambda: rows.update(connection, pieces, pieces.c.id == 1, {"word": "b"}),
            lambda: rows.delete(connection, pieces, pieces.c.id == 1),
            lambda: rows.change(connection, pieces, {"id": 1, "word": "a"}, lambda _: {"word": "b"}),
        ):
            with pytest.raises(RuntimeError, match="only"):
                attempt()
    assert words(database) == ["a"]


def test_writer_that_waits_too_long_is_told_to_come_back(database: Database, tmp_path: Path) -> None:
    other = opened(tmp_path, patience_seconds=0.1)
    with database.write() as connection:
        database.rows.insert(connection, pieces, {"word": "a"})
        with pytest.raises(StorageUnavailableError) as caught, other.write():
            pass
    assert caught.value.retry_may_help
    put(other, "b")
    other.dispose()


def test_thread_that_waits_too_long_is_told_to_come_back(database: Database) -> None:
    def attempt() -> None:
        with database.write():
            pass

    with database.write(), ThreadPoolExecutor(1) as pool, pytest.raises(StorageUnavailableError):
        pool.submit(attempt).result()


def test_many_threads_write_and_read_together(tmp_path: Path) -> None:
    database = created(tmp_path)
    database.create_all(METADATA)
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda number: put(database, f"w{number}"), range(60)))
        assert {len(found) for found in pool.map(lambda _: words(database), range(24))} == {60}
    database.dispose()


WRITER = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import Column, LargeBinary, MetaData, String, Table
from tests.unit.mailstore.test_database import put
from tests import database_room
from tests.ledger_room import opened
database = opened(Path(sys.argv[1]))
for number in range(25):
    put(database, f"{sys.argv[2]}{number}")
if sys.argv[3] == "die":
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_two_processes_write_together_and_what_was_committed_survives_kill(tmp_path: Path) -> None:
    database = created(tmp_path)
    database.create_all(METADATA)
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name, end])
        for name, end in (("a", "die"), ("b", "live"))
    ]
    assert [writer.wait(60) for writer in writers] == [-signal.SIGKILL, 0]
    assert sorted(words(database)) == sorted(f"{name}{number}" for name in "ab" for number in range(25))
    database.dispose()


def test_key_that_is_taken_is_named_as_such(database: Database) -> None:
    put(database, "a")
    with pytest.raises(DuplicateRowError):
        put(database, "a")


def test_error_says_nothing_of_the_values(database: Database) -> None:
    put(database, "a")
    with pytest.raises(DuplicateRowError) as caught, database.write() as connection:
        database.rows.insert(connection, pieces, {"word": "a", "data": b"kanarienvogel"})
    chain: list[str] = []
    error: BaseException | None = caught.value
    while error is not None:
        chain.append(repr(error) + str(error))
        error = error.__cause__ or error.__context__
    assert "kanarienvogel" not in "".join(chain)


@FILES
def test_full_disk_is_our_own_fault_and_passes(tmp_path: Path) -> None:
    """A real limit on the file size (setrlimit(2)) in a child process: the commit fails, the next one succeeds."""
    database = created(tmp_path)
    database.create_all(METADATA)
    put(database, "before")
    database.dispose()
    child = os.fork()
    if child == 0:
        os._exit(_child_of_full_disk(tmp_path))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    again = opened(tmp_path)
    assert words(again) == ["before", "after"]
    again.dispose()


def _child_of_full_disk(directory: Path) -> int:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    database = opened(directory)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        put(database, "too large", os.urandom(3_000_000))
    except StorageUnavailableError:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        put(database, "after")
        return 0
    return 1


@FILES
def test_directory_that_is_gone_is_our_own_fault(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailableError):
        opened(tmp_path / "nowhere")


@FILES
def test_something_else_is_not_taken_for_a_database(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"From nobody\n" * 1_000)
    with pytest.raises(TamperedError):
        opened(tmp_path)


@FILES
def test_overwritten_page_is_noticed(database: Database, tmp_path: Path) -> None:
    for number in range(50):
        put(database, f"w{number}", os.urandom(500))
    database.truncate_journal()
    database.dispose()
    path = tmp_path / FILE_NAME
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))
    with pytest.raises(TamperedError):
        words(opened(tmp_path))


def test_table_that_was_dropped_is_noticed(database: Database, tmp_path: Path) -> None:
    database_room.attack(tmp_path / FILE_NAME, "DROP TABLE pieces")
    with pytest.raises(TamperedError):
        words(database)


@pytest.mark.parametrize(
    "planted",
    [
        pytest.param(
            "CREATE TRIGGER quiet AFTER INSERT ON audit_entries BEGIN DELETE FROM audit_entries; END", marks=FILES
        ),
        "CREATE VIEW planted AS SELECT 1",
    ],
)
def test_planted_trigger_or_view_is_refused(database: Database, tmp_path: Path, planted: str) -> None:
    database.dispose()
    database_room.attack(tmp_path / FILE_NAME, planted)
    with pytest.raises(TamperedError, match="not ours"):
        opened(tmp_path)


@FILES
def test_deleted_row_is_in_no_file_once_the_journal_is_truncated(database: Database, tmp_path: Path) -> None:
    canary = os.urandom(700)
    for number in range(40):
        put(database, f"w{number}", canary if number == 20 else os.urandom(700))
    with database.write() as connection:
        database.rows.delete(connection, pieces, pieces.c.word == "w20")
    database.truncate_journal()
    assert (tmp_path / f"{FILE_NAME}-wal").stat().st_size == 0
    assert all(canary[:40] not in path.read_bytes() for path in tmp_path.iterdir())


@FILES
def test_journal_held_by_a_reader_is_reported(database: Database) -> None:
    put(database, "a")
    with database.read() as reader:
        database.rows.select(reader, pieces)
        put(database, "b")
        with pytest.raises(StorageUnavailableError):
            database.truncate_journal()
    database.truncate_journal()


def test_sound_database_has_no_problems_and_a_lost_reference_is_one(database: Database, tmp_path: Path) -> None:
    assert database.problems() == []
    database_room.attack(tmp_path / FILE_NAME, "INSERT INTO mailbox_addresses VALUES (x'00', 'nobody', x'00')")
    assert database.problems() == ["a row of mailbox_addresses names a row of mailboxes that is not there"]


@FILES
def test_more_readers_than_connections_are_told_to_come_back(database: Database) -> None:
    held = []
    try:
        for _ in range(64):
            held.append(database.read())
            held[-1].__enter__()
        with pytest.raises(StorageUnavailableError), database.read():
            pass
    finally:
        for each in held:
            each.__exit__(None, None, None)
    assert words(database) == []
