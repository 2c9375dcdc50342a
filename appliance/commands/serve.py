"""``strongroom serve``: the whole appliance in one process tree, until SIGTERM."""

from __future__ import annotations

import json
import sys
from datetime import datetime

from appliance import (
    database_wiring,
    front_door_wiring,
    log_setup,
    process_file,
    process_hardening,
    schema,
    supervisor,
    wiring,
    workplace_wiring,
)
from appliance.command_call import Call, Outcome
from appliance.data_directory import DataDirectory
from appliance.settings import Settings
from mailstore import key_custody
from mailstore.errors import TamperedError
from mailstore.key_hierarchy import KeyRing


def run(call: Call) -> Outcome:
    """Serve until told to end. The first line on stdout says that everything works and on which ports."""
    process_hardening.harden()
    data = call.data
    settings = front_door_wiring.settings_of(data)
    secret = wiring.secret_of(data, passphrase_file=call.passphrase_file, key_file=call.key_file)
    with process_file.held(data), supervisor.listening(settings) as sockets:
        log_setup.to_directory(data.log, "supervisor")
        tree = supervisor.Supervisor(data, sockets, settings.smtp.processes)
        try:
            tree.start()
            ring = key_custody.unlock(data.keys, secret)
            wiring.prove(data, ring)
            _bring_up_to_date(data, settings, ring, now=call.clock.now())
            tree.run(ring, when_ready=lambda: _say_ready(settings.ports))
        finally:
            tree.end()
    return Outcome({}, is_silent=True)


def _say_ready(ports: dict[str, int]) -> None:
    sys.stdout.write(json.dumps({"ready": True, "ports": ports}) + "\n")
    sys.stdout.flush()


def _bring_up_to_date(data: DataDirectory, settings: Settings, ring: KeyRing, *, now: datetime) -> None:
    """Take the steps of the row database that a new release brought, and claim our place, before any role opens it."""
    with database_wiring.rows(data, settings, ring.row_key) as database:
        with database.read() as connection:
            found = schema.revision(connection)
        if found is None:
            place = database_wiring.shown(settings.database) if settings.database.url else data.rows.name
            raise TamperedError(f"{place} holds no tables", fix="restore it from a backup")
        if found != schema.HEAD:
            from appliance import migration  # noqa: PLC0415 - alembic is loaded only when there is a step to take

            migration.upgrade(database)
        if claim := workplace_wiring.claim(data, settings, database, ring.row_key):
            claim.begin(now=now)
