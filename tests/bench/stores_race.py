"""``mail_race`` with rows and keys in PostgreSQL and objects in MinIO: ``python -m tests.bench.stores_race [...]``.

Starts both servers on loopback, on the disk of the temporary folder and with everything synced, as a practice has
them; they run on the same processors as everything else, and their processor time is not counted. Takes the options of
``mail_race``. Needs Debian's postgresql and ``make minio`` besides.
"""

from __future__ import annotations

import sys

from sqlalchemy import make_url

from tests import postgresql_room, s3_servers
from tests.bench import mail_race
from tests.postgresql_room import PostgresqlServer

SETTINGS = {"shared_buffers": "256MB", "max_wal_size": "1GB", "autovacuum": "on"}
BUCKET = "practice"


def main() -> None:
    """Race."""
    rows = postgresql_room.start(on_disk=True, **SETTINGS)
    objects = s3_servers.minio()
    places = {
        "--database": _made(rows, "rows"),
        "--keystore": _made(rows, "keys"),
        "--object-store": objects.url(BUCKET, prefix="{lap}"),
        "--object-store-credentials": str(objects.credentials_file),
    }
    mail_race.main([*sys.argv[1:], *(word for place in places.items() for word in place)])


def _made(server: PostgresqlServer, database: str) -> str:
    """The URL of an empty database, as ``init`` and any PostgreSQL client take it."""
    server.create(database)
    url = make_url(server.url(database, over_tcp=True))
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


if __name__ == "__main__":
    main()
