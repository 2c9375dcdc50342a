"""Writes the next step from what the tables say: ``python -m appliance.migrations "why"``. For developers."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from alembic import command

from appliance import migration
from mailstore.database import Database, sqlite_url
from mailstore.wall_clock import SystemClock


def main() -> int:
    """Bring an empty database up to date, compare it with the tables, and write the difference as a new file."""
    why = sys.argv[1]
    today = SystemClock().now().strftime("%Y%m%d")
    words = re.sub(r"[^a-z0-9]+", "_", why.lower()).strip("_")
    with TemporaryDirectory() as folder:
        database = Database(sqlite_url(Path(folder) / "rows.sqlite3"), bytes(32))
        migration.upgrade(database)
        with database.write() as connection:
            command.revision(
                migration.configuration(connection), why, autogenerate=True, rev_id=f"{today}_{words}"[:32].rstrip("_")
            )
        database.dispose()
    return 0


if __name__ == "__main__":
    sys.exit(main())
