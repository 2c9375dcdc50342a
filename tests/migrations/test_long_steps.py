"""Steps that take longer than a start may: waited for as long as they get on, and gone on with when cut off."""

from __future__ import annotations

import json
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import text

from appliance import migration, schema
from appliance.data_directory import DataDirectory
from mailstore.database import Database
from mailstore.errors import StorageUnavailableError, StrongroomError
from tests import database_room, parts_room
from tests.database_room import ENGINES, Engine
from tests.parts_room import PartsRoom
from tests.running_practice import ROOT

ROW_KEY = bytes(range(32))
GOES_ON = "goes-on"
PACKAGES = ("mailstore", "archive", "portal", "appliance")

STEP = '''"""{why}"""

import time
from pathlib import Path

from alembic import op

revision = "{name}"
down_revision = "{before}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    {work}
'''
QUICK = 'op.execute("CREATE TABLE first_of_later (number INTEGER)")'
SLOW = """began = time.monotonic()
    while time.monotonic() < began + {seconds} or not Path("{goes_on}").exists():
        op.get_bind().exec_driver_sql("INSERT INTO first_of_later VALUES (1)")
        time.sleep(0.01)"""


def later_release(folder: Path, *, step_seconds: float) -> Path:
    """The program once more, of a release with two more steps, the second slow until a file is there."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("tests"))
    steps = folder / "appliance" / "migrations" / "versions"
    first = STEP.format(why="Quick.", name="29990101_quick", before=schema.HEAD, work=QUICK)
    second = STEP.format(
        why="Slow.",
        name="29990102_slow",
        before="29990101_quick",
        work=SLOW.format(seconds=step_seconds, goes_on=folder / GOES_ON),
    )
    (steps / "29990101_quick.py").write_text(first, "utf-8")
    (steps / "29990102_slow.py").write_text(second, "utf-8")
    change(folder / "appliance" / "schema.py", f'HEAD = "{schema.HEAD}"', 'HEAD = "29990102_slow"')
    return folder


def change(path: Path, before: str, after: str) -> None:
    held = path.read_text("utf-8")
    assert held.count(before) == 1
    path.write_text(held.replace(before, after), "utf-8")


@pytest.fixture
def room(tmp_path: Path) -> Iterator[PartsRoom]:
    with parts_room.made(tmp_path) as made:
        yield made


def logged(room: PartsRoom) -> list[tuple[str, str]]:
    """What the opening role said of steps: the event, and the step if it named one."""
    path = DataDirectory(room.practice.data).log / "opening.log"
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
    return [(line["event"], line.get("step", "")) for line in lines if "rows" in line["event"]]


@pytest.mark.parametrize(
    "step_seconds", [1.0, pytest.param(160.0, marks=[pytest.mark.rehearsal, pytest.mark.timeout(600)])]
)
def test_slow_step_is_waited_for_by_every_part_and_gone_on_with_when_cut_off(
    room: PartsRoom, tmp_path: Path, step_seconds: float
) -> None:
    """The longer one takes more than the service manager and ourselves would wait without a word."""
    room.program = later_release(tmp_path / "later", step_seconds=step_seconds)
    room.start("key-agent").until_it_says("READY=1")
    worker = room.start("worker")
    room.practice.until(lambda: ("a step of the rows", "29990102_slow") in logged(room))
    worker.process.send_signal(signal.SIGKILL)
    worker.end()
    before = len(logged(room))

    worker, smtp = room.start("worker"), room.start("smtp")
    for part in (worker, smtp):  # both ask their service manager to wait, and say why
        part.until_it_says("EXTEND_TIMEOUT_USEC=600000000")
    (room.program / GOES_ON).touch()
    for part in (worker, smtp):
        part.until_it_says("READY=1", seconds=step_seconds + 120)
    steps = {step for event, step in logged(room)[before:]}
    assert steps == {"29990102_slow", ""}, "the step that was taken is not taken again"
    assert logged(room)[-1][0] == "the rows are up to date"


@pytest.fixture(params=ENGINES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    engine: Engine = request.param
    opened = Database(database_room.rows_url(tmp_path, is_empty=True, engine=engine), ROW_KEY)
    yield opened
    opened.dispose()


def test_steps_that_were_taken_stay_taken_when_a_later_one_fails(database: Database) -> None:
    oldest, second, third, *_ = reversed(migration.known_steps())
    with database.write() as connection:
        command.upgrade(migration.configuration(connection), oldest)
        connection.execute(text("CREATE TABLE sealed_series (in_the_way INTEGER)"))
    news: list[migration.StepNews] = []
    with pytest.raises(StrongroomError):
        migration.upgrade(database, tell=news.append)
    with database.read() as connection:
        assert schema.revision(connection) == news[-2].step
    assert [each.step for each in news[:2]] == [second, third]
    with database.write() as connection:
        connection.execute(text("DROP TABLE sealed_series"))
    del news[:]
    migration.upgrade(database, tell=news.append)
    assert (news[-1].step, news[-1].left) == (schema.HEAD, 0)
    assert second not in {each.step for each in news}


LONG_STATEMENTS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000) SELECT max(i) FROM n",
    "postgresql": "SELECT pg_sleep(4.5)",
}


def test_statement_is_heard_of_while_it_runs(database: Database) -> None:
    heard: list[float] = []
    with database.write() as connection, database.watched(connection, lambda: heard.append(time.monotonic())):
        connection.exec_driver_sql(LONG_STATEMENTS[database.engine_name])
        ended = time.monotonic()
        while_it_ran = [at for at in heard if at < ended - 0.001]
    assert while_it_ran
    known = len(heard)
    with database.write() as connection:
        connection.exec_driver_sql(LONG_STATEMENTS[database.engine_name].replace("4.5", "0").replace("2000000", "9"))
    assert len(heard) == known


def test_statement_that_waits_for_a_lock_is_no_progress(tmp_path: Path) -> None:
    heard: list[float] = []
    url = database_room.rows_url(tmp_path, is_empty=True, engine=Engine.POSTGRESQL)
    database, impatient = Database(url, ROW_KEY), Database(url, ROW_KEY, patience_seconds=2)
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE wanted (number INTEGER)")
    with database.read() as holding:
        holding.exec_driver_sql("SELECT count(*) FROM wanted")
        waiting = threading.Thread(target=_alter, args=(impatient, heard))
        waiting.start()
        waiting.join(30)
    for each in (impatient, database):
        each.dispose()
    assert heard == []


def _alter(database: Database, heard: list[float]) -> None:
    with (
        pytest.raises(StorageUnavailableError),
        database.write() as connection,
        database.watched(connection, lambda: heard.append(time.monotonic())),
    ):
        connection.exec_driver_sql("ALTER TABLE wanted ADD COLUMN more INTEGER")
