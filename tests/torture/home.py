"""Where a practice keeps its rows, its keys and its sealed objects: files of its own, PostgreSQL, or a server of S3."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Protocol

from tests import postgresql_room, s3_servers
from tests.chaos_proxy import ChaosProxy

SETTINGS = Path("data", "strongroom.toml")
ROWS, KEYS = "rows", "keys"


class Home(Protocol):
    """One way to keep everything. ``words`` are what ``init`` is told."""

    can_be_copied: bool

    def words(self, place: Path) -> Sequence[str]:
        """What ``init`` is told for a practice in this place."""
        ...

    def told(self, place: Path) -> Mapping[str, Any]:
        """What scenes are told besides."""
        ...

    def copy(self, past: Path, place: Path) -> None:
        """Make in ``place`` what lies in ``past``, both outside and inside of the data directory."""
        ...

    def elsewhere(self, place: Path) -> Iterator[tuple[Path, bool]]:
        """Directories outside of the data directory with bytes of this practice; True: look for keys alone."""
        ...

    def forget(self, place: Path) -> None:
        """Nobody needs it any more."""
        ...


class FilesHome:
    """Everything is in the data directory."""

    can_be_copied = True

    def words(self, place: Path) -> Sequence[str]:
        """Nothing: this is what ``init`` does."""
        del place
        return ()

    def told(self, place: Path) -> Mapping[str, Any]:
        """Nothing."""
        del place
        return {}

    def copy(self, past: Path, place: Path) -> None:
        """A copy of the directory."""
        shutil.copytree(past / "data", place / "data")
        if (past / "data-backups").exists():
            shutil.copytree(past / "data-backups", place / "data-backups")

    def elsewhere(self, place: Path) -> Iterator[tuple[Path, bool]]:
        """Nothing is."""
        del place
        return iter(())

    def forget(self, place: Path) -> None:
        """The directory is all there is."""


class PostgresqlHome(FilesHome):
    """Rows and keys are in two databases of a server."""

    @property
    def server(self) -> postgresql_room.PostgresqlServer:
        """The server of this process, set as a practice sets it."""
        return _durable_server()

    def words(self, place: Path) -> Sequence[str]:
        """Two databases, made for this place."""
        for what in (ROWS, KEYS):
            self.server.create(_named(what, place))
        rows, keys = (self.server.url(_named(what, place)) for what in (ROWS, KEYS))
        return ("--database", rows, "--keystore", keys)

    def copy(self, past: Path, place: Path) -> None:
        """Copies of both databases, and settings that name them."""
        super().copy(past, place)
        text = (place / SETTINGS).read_text("utf-8")
        for what in (ROWS, KEYS):
            self.server.end_connections(_named(what, past))
            self.server.create(_named(what, place), template=_named(what, past))
            assert _named(what, past) in text
            text = text.replace(_named(what, past), _named(what, place))
        (place / SETTINGS).write_text(text, "utf-8")

    def elsewhere(self, place: Path) -> Iterator[tuple[Path, bool]]:
        """The files of the keystore and the server's log, where no dead key may be.

        Dead rows stay in the server's files for a while: they are sealed under keys that are dead.
        """
        with self.server.administering(_named(KEYS, place)) as connection:
            found = connection.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone()
        assert found is not None
        yield self.server.data / "base" / str(found[0]), True
        yield self.server.data / "pg_wal", True

    def forget(self, place: Path) -> None:
        """Both databases are dropped."""
        for what in (ROWS, KEYS):
            self.server.drop(_named(what, place))

    def end_connections(self, place: Path) -> int:
        """End every connection of the appliance; answers how many there were."""
        return sum(self.server.end_connections(_named(what, place)) for what in (ROWS, KEYS))


class MovingHome(PostgresqlHome):
    """Everything is in files, from which rows and keys move to two databases."""

    can_be_copied = False

    def words(self, place: Path) -> Sequence[str]:
        """Nothing: it begins in files."""
        del place
        return ()

    def told(self, place: Path) -> Mapping[str, Any]:
        """Where to."""
        for what in (ROWS, KEYS):
            self.server.create(_named(what, place))
        rows, keys = (self.server.url(_named(what, place)) for what in (ROWS, KEYS))
        return {"words": ["--to", rows, "--keystore-to", keys, "--erase"]}


class S3Home(FilesHome):
    """Sealed objects are in a bucket of a real server, behind a proxy that can break the network."""

    can_be_copied = False

    @cached_property
    def server(self) -> s3_servers.S3Server:
        """The MinIO of this process."""
        return s3_servers.minio()

    @cached_property
    def proxy(self) -> ChaosProxy:
        """What stands before it."""
        return ChaosProxy(("127.0.0.1", self.server.port))

    def words(self, place: Path) -> Sequence[str]:
        """A bucket for this place."""
        self.server.bucket(_bucket(place))
        url = self.server.url(_bucket(place), port=self.proxy.port)
        return ("--object-store", url, "--object-store-credentials", str(self.server.credentials_file))

    def copy(self, past: Path, place: Path) -> None:
        """A bucket belongs to one appliance: every practice has to be lived anew."""
        raise NotImplementedError

    def elsewhere(self, place: Path) -> Iterator[tuple[Path, bool]]:
        """The files in which the server keeps the bucket."""
        yield self.server.directory / "data" / _bucket(place), False

    def forget(self, place: Path) -> None:
        """The bucket's files go."""
        shutil.rmtree(self.server.directory / "data" / _bucket(place), ignore_errors=True)


@cache
def _durable_server() -> postgresql_room.PostgresqlServer:
    return postgresql_room.start(fsync="on")


def _tag(place: Path) -> str:
    return hashlib.sha256(os.fsencode(place.absolute())).hexdigest()[:16]


def _named(what: str, place: Path) -> str:
    return f"torture_{what}_{_tag(place)}"


def _bucket(place: Path) -> str:
    return f"torture-{_tag(place)}"
