"""What the doctor says about work that follows mail: what waits, since when, and what is put off by a fault."""

from __future__ import annotations

from datetime import timedelta

from appliance import mending_words
from appliance.health_finding import Seen, State
from appliance.outbox_worker import FAULT
from appliance.wiring import Appliance
from mailstore import outbox
from mailstore.outbox import Kind

LATE_WORK = timedelta(minutes=15)
NOT_TAKEN = "not_taken_yet"
"""Why ``delivery_progress`` puts a copy off whose server does not answer, or not as it must."""


def queue(appliance: Appliance) -> Seen:
    """Whether what follows mail is done in time."""
    now, data = appliance.clock.now(), appliance.data
    with appliance.database.read() as connection:
        waiting = outbox.waiting(connection)
        due = outbox.next_due(connection, tuple(Kind))
        postponed = outbox.postponed(connection)
    again = sum(count for (_, why), count in postponed.items() if why == NOT_TAKEN)
    told = f"{waiting.total()} items wait" + (f", {again} of them for a server that takes no mail now" if again else "")
    faults = sorted({f"{kind} ({why})" for kind, why in postponed if why.startswith(FAULT)})
    if faults:
        told_faults = f"{told}, put off by a fault of ours: {', '.join(faults)}"
        return State.WARN, told_faults, f"see {data.log / 'worker.log'}; the work is tried again by itself"
    if due is not None and now - due > LATE_WORK:
        return (
            State.WARN,
            f"{told}, the oldest since {due:%Y-%m-%d %H:%MZ}",
            mending_words.worker_log(data),
        )
    return State.OK, told, ""
