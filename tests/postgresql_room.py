"""A PostgreSQL server of one's own, on loopback and a socket in a temporary directory, with a random password.

One server a test process, started when the first test asks for it; children of the process find it by environment.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from sqlalchemy import URL

from tests.free_ports import free_port

ROOMY = Path("/dev/shm")  # noqa: S108 - memory, where syncing costs nothing; a directory with a random name is made in it
ROOMY_BYTES = 4 << 30
PREFIX = "strongroom-"
ADMINISTRATOR = "administrator"
OWNER = "appliance"
BARE = "bare"
START_SECONDS = 60
_PR_SET_PDEATHSIG = 1

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "min_wal_size": "32MB",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "wal_recycle": "off",
    "jit": "off",
    "autovacuum": "off",
    "log_min_messages": "fatal",
}
"""What a practice sets too, but for speed: its files lie in memory, and ``autovacuum`` is off."""


@dataclass(frozen=True)
class PostgresqlServer:
    """One running server. ``directory`` holds its socket and, in ``data``, all of its files."""

    directory: Path
    port: int
    password: str = field(repr=False)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list, repr=False, compare=False)

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def url(self, database: str, *, over_tcp: bool = False) -> str:
        """Where the appliance finds a database, as its owner."""
        return self._url(OWNER, database, over_tcp=over_tcp).render_as_string(hide_password=False)

    @contextmanager
    def administering(self, database: str = "postgres") -> Iterator[psycopg.Connection[Any]]:
        """A superuser's connection."""
        connection = psycopg.connect(
            host=str(self.directory), port=self.port, user=ADMINISTRATOR, password=self.password, dbname=database,
            autocommit=True,
        )  # fmt: skip
        with connection:
            yield connection

    def command(self, statement: LiteralString, *names: str) -> None:
        """Run a superuser's statement with names put in as identifiers."""
        with self.administering() as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def create(self, database: str, *, template: str = BARE) -> None:
        """Make a database. Does nothing when it is there."""
        try:
            self.command("CREATE DATABASE {} TEMPLATE {} OWNER {} STRATEGY file_copy", database, template, OWNER)
        except psycopg.errors.DuplicateDatabase:
            return

    def drop(self, database: str) -> None:
        """Remove a database, whoever is connected to it."""
        self.command("DROP DATABASE IF EXISTS {} WITH (FORCE)", database)

    def contents(self) -> Iterator[tuple[Path, bytes]]:
        """Every file of the whole cluster, of all its databases and its log; what it removes meanwhile has none."""
        for directory, _, names in os.walk(self.data):
            for path in (Path(directory, name) for name in names):
                with suppress(FileNotFoundError):
                    yield path, path.read_bytes()

    def end_connections(self, database: str) -> int:
        """What a restart of the server does to those who are connected; gone when this returns. Answers how many."""
        asked = "SELECT count(pg_terminate_backend(pid, 30000)) FROM pg_stat_activity WHERE datname = %s"
        with self.administering() as connection:
            row = connection.execute(asked, (database,)).fetchone()
        return 0 if row is None else int(row[0])

    def end_idle_connections(self, database: str) -> int:
        """As ``end_connections``, and wait until the other end, which does nothing meanwhile, can know of it."""
        ended = self.end_connections(database)
        with self.administering() as connection:
            while _is_connected(connection, database):
                time.sleep(0.01)
        time.sleep(0.1)  # the socket is closed a moment after the server's own list says so
        return ended

    def start_again(self) -> None:
        """Run the server on its files, and wait until it answers."""
        log = (self.directory / "log").open("ab")
        process = subprocess.Popen(
            [_programs() / "postgres", "-D", self.data],
            user=_unprivileged(self.directory),
            cwd=self.directory,
            stdout=log,
            stderr=log,
            preexec_fn=functools.partial(ctypes.CDLL(None).prctl, _PR_SET_PDEATHSIG, signal.SIGQUIT),  # noqa: PLW1509 -- so that a killed test run leaves no server; nothing here holds a lock
        )
        log.close()
        self.processes.append(process)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert process.poll() is None, (self.directory / "log").read_text("utf-8")
            assert time.monotonic() < deadline, "the PostgreSQL server did not start"
            time.sleep(0.05)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End the server at once, as a crash does."""
        process = self.processes.pop()
        process.send_signal(number)
        process.wait(30)

    def _answers(self) -> bool:
        try:
            with self.administering() as connection:
                found = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (OWNER,)).fetchone()
                if found is None:
                    _make_owner(connection, self.password)
        except psycopg.OperationalError:
            return False
        return True

    def _url(self, user: str, database: str, *, over_tcp: bool) -> URL:
        place: dict[str, Any] = {"host": "127.0.0.1"} if over_tcp else {"query": {"host": str(self.directory)}}
        return URL.create(
            "postgresql+psycopg", username=user, password=self.password, port=self.port, database=database, **place
        )


def shared() -> PostgresqlServer:
    """The server of this test process, or of the one that started this process."""
    told = os.environ.get("STRONGROOM_TEST_SERVER")
    if told:
        directory, port, password = told.split(" ")
        return PostgresqlServer(Path(directory), int(port), password)
    server = start()
    os.environ["STRONGROOM_TEST_SERVER"] = f"{server.directory} {server.port} {server.password}"
    return server


def start(*, on_disk: bool = False, **changes: str) -> PostgresqlServer:
    """Make a cluster and start its server; both are gone when this process ends.

    ``on_disk``: where syncing costs what it costs, for those who measure.
    """
    programs = _programs()
    place = None if on_disk else roomy_place()
    _sweep(place)
    directory = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=place))
    directory.chmod(0o711)
    user = _unprivileged(directory)
    password = secrets.token_urlsafe(18)
    secret = directory / "password"
    secret.write_text(password, "ascii")
    server = PostgresqlServer(directory, free_port(), password)
    if user is not None:
        shutil.chown(secret, user)
    words = [
        str(programs / "initdb"),
        "-D",
        str(server.data),
        "-U",
        ADMINISTRATOR,
        "--auth=scram-sha-256",
        f"--pwfile={secret}",
    ]
    words += ["--encoding=UTF8", "--locale=C", "--no-sync", "--data-checksums"]
    subprocess.run(words, check=True, user=user, capture_output=True, cwd=directory)
    settings = {**SETTINGS, **changes, "unix_socket_directories": str(directory), "port": str(server.port)}
    lines = "".join(f"{name} = '{value}'\n" for name, value in settings.items())
    with (server.data / "postgresql.conf").open("a", encoding="ascii") as configuration:
        configuration.write(lines)
    server.start_again()
    atexit.register(_end, server, os.getpid())
    server.command("CREATE DATABASE {} TEMPLATE template0", BARE)
    with server.administering(BARE) as connection:
        connection.execute(sql.SQL("GRANT EXECUTE ON FUNCTION pg_switch_wal() TO {}").format(sql.Identifier(OWNER)))
    return server


def _is_connected(connection: psycopg.Connection[Any], database: str) -> bool:
    asked = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
    return connection.execute(asked, (database,)).fetchone() is not None


def _make_owner(connection: psycopg.Connection[Any], password: str) -> None:
    """Somebody with the rights that the appliance asks for, and no others."""
    made = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(OWNER), password)
    connection.execute(made)
    connection.execute(sql.SQL("GRANT pg_checkpoint, pg_monitor TO {}").format(sql.Identifier(OWNER)))


def _programs() -> Path:
    """Where Debian keeps the newest server's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    assert found, "PostgreSQL is not installed: run make test-packages"
    return found[-1].parent


def roomy_place() -> str | None:
    """A directory in memory, when there is enough of it; None: the usual one for temporary files."""
    try:
        free = os.statvfs(ROOMY)
    except OSError:
        return None
    return str(ROOMY) if free.f_bavail * free.f_frsize >= ROOMY_BYTES and os.access(ROOMY, os.W_OK) else None


def _unprivileged(directory: Path) -> int | None:
    """Whose the server is: ours, unless we are root, whom it refuses."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    user = names.get("postgres", names["nobody"])
    shutil.chown(directory, user)
    return user


def _sweep(place: str | None) -> None:
    """Take away what test runs left behind that were killed."""
    for left in Path(place or tempfile.gettempdir()).glob(f"{PREFIX}*"):
        number = left.name.removeprefix(PREFIX).partition("-")[0]
        if number.isdigit() and not Path("/proc", number).exists():
            shutil.rmtree(left, ignore_errors=True)


def _end(server: PostgresqlServer, owner: int) -> None:
    """Only the process that started it ends it: a forked child leaves it alone."""
    if os.getpid() == owner:
        server.kill(signal.SIGQUIT)
        shutil.rmtree(server.directory, ignore_errors=True)
