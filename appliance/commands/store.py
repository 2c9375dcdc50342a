"""``strongroom store``: how the object store does, and how much mail waits for it."""

from __future__ import annotations

from appliance import (
    command_access,
    database_wiring,
    front_door_wiring,
    process_file,
    store_wiring,
    wiring,
    workplace_wiring,
)
from appliance.command_call import Call, Outcome, facts
from mailstore import key_custody
from mailstore.errors import RefusedError


def status(call: Call) -> Outcome:
    """Ask the object store and the rows. A store that is down is an answer, not a failure: mail is taken as ever."""
    with command_access.opened(call) as appliance:
        found = store_wiring.report(appliance)
        enforces = store_wiring.enforces(appliance)
        now = appliance.clock.now()
    fields = {
        "spooled": found.spooled,
        "promoted": found.promoted,
        "oldest_spooled_seconds": 0 if found.oldest is None else max(0, int((now - found.oldest).total_seconds())),
        "store": found.state.value,
        "enforces": enforces,
        "spool_bytes": found.spool_bytes,
        "cap_bytes": found.cap_bytes,
        "problem": found.problem,
        "fix": found.fix,
    }
    return Outcome(fields, facts({name: value for name, value in fields.items() if value != ""}))


def take_over(call: Call) -> Outcome:
    """Let the appliance work from here. ``RefusedError`` while it does, or where nothing is shared."""
    data = call.data
    settings = front_door_wiring.settings_of(data)
    secret = wiring.secret_of(
        data, passphrase_file=call.passphrase_file, key_file=call.key_file, other=call.other_secret
    )
    with process_file.held(data):
        ring = key_custody.unlock(data.keys, secret)
        wiring.prove(data, ring)
        with database_wiring.rows(data, settings, ring.row_key) as database:
            claim = workplace_wiring.claim(data, settings, database, ring.row_key)
            if claim is None:
                raise RefusedError(
                    "nothing outside this data directory needs to be taken over", fix="just run: strongroom serve"
                )
            claim.take_over(now=call.clock.now())
    fields = {"data": str(data.path)}
    return Outcome(fields, facts(fields))
