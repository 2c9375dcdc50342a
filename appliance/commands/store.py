"""``strongroom store``: how the object store does, and how much mail waits for it."""

from __future__ import annotations

from appliance import command_access, store_wiring
from appliance.command_call import Call, Outcome, facts


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
