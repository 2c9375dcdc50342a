"""The practice that is measured: made once on a machine, with its mailboxes, and copied for every run."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import make_url

from appliance import database_wiring, front_door_wiring, schema
from appliance.data_directory import DataDirectory
from tests.free_ports import free_base
from tests.running_practice import RunningPractice

DOMAIN = "practice.test"
MAILBOXES = 20
READER = f"user0@{DOMAIN}"
"""May search; all the others are clinicians."""

MODEL = Path(tempfile.gettempdir()) / "strongroom-measured-practice"
STEPS = Path(schema.__file__).parent / "migrations" / "versions"
PORTS = (25, 443, 465, 587)

WAITING = "select kind, count(*) from outbox group by kind"


def fresh(work: Path, *init_options: str) -> RunningPractice:
    """A practice without mail, with the settings it was born with. What was in its directory before is gone.

    With options for ``init`` (where its databases and objects lie) it is made anew instead of copied.
    """
    if init_options:
        shutil.rmtree(work / "practice", ignore_errors=True)
        return _make(work / "practice", *init_options)
    if not _is_made():
        shutil.rmtree(MODEL, ignore_errors=True)
        _make(MODEL)
    known = json.loads((MODEL / "practice.json").read_text())
    data = work / "practice" / "data"
    shutil.rmtree(data.parent, ignore_errors=True)
    shutil.copytree(MODEL / "data", data)
    base = free_base()
    settings = (data / "strongroom.toml").read_text()
    for offset in PORTS:
        settings = settings.replace(str(known["base"] + offset), str(base + offset))
    (data / "strongroom.toml").write_text(settings)
    return RunningPractice(data, base, known["people"])


def _is_made() -> bool:
    """False when the tables have changed since."""
    made = MODEL / "practice.json"
    return made.exists() and made.stat().st_mtime > max(step.stat().st_mtime for step in STEPS.glob("*.py"))


def _make(directory: Path, *init_options: str) -> RunningPractice:
    directory.mkdir(parents=True)
    practice = RunningPractice(directory / "data", free_base())
    practice.told("init", "--practice", "Measured", "--domain", DOMAIN, "--loopback", str(practice.base), *init_options)
    for number in range(MAILBOXES):
        email = f"user{number}@{DOMAIN}"
        practice.add_user(email, "records" if email == READER else "clinician")
    known = {"base": practice.base, "people": practice.people}
    (directory / "practice.json").write_text(json.dumps(known))
    return practice


def count(practice: RunningPractice, statement: str) -> int:
    """The one number that the row database answers, read beside the running processes."""
    return int(answered(practice, statement)[0][0])


def delivered(practice: RunningPractice) -> int:
    """Messages that lie in a mailbox."""
    return count(practice, "select count(*) from mailbox_entries")


def waiting(practice: RunningPractice) -> Counter[str]:
    """Follow-up work that is not done yet, by its kind."""
    return Counter({kind: int(number) for kind, number in answered(practice, WAITING)})


def answered(practice: RunningPractice, statement: str) -> list[Any]:
    """The rows that the database answers."""
    data = DataDirectory(practice.data)
    place = front_door_wiring.settings_of(data).database
    if place.url:
        url = make_url(database_wiring.rows_url(data, place)).set(drivername="postgresql")
        with closing(psycopg.connect(url.render_as_string(hide_password=False))) as server:
            return server.execute(statement.encode()).fetchall()
    address = f"file:{practice.data}/rows.sqlite3?mode=ro"
    with closing(sqlite3.connect(address, uri=True, timeout=60)) as connection:
        return connection.execute(statement).fetchall()
