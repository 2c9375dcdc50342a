"""What the doctor says about where mail lies: whether the store answers, what it enforces, how long the disk lasts."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Final

from appliance import archive_wiring, object_store_wiring, store_wiring
from appliance.health_finding import Seen, State
from appliance.machine_health import MEBIBYTE
from appliance.wiring import Appliance
from mailstore import message_records
from mailstore.store_state import StoreState

A_LONG_TIME: Final = 3650
"""Days beyond which nobody plans."""

PACE: Final = timedelta(days=30)
LEAST_DAYS_LEFT: Final = 45
"""Time to order a disk and find an evening to put it in."""

OVERHEAD: Final = 1.5
"""What a sealed byte takes up in all: the object, its rows, and its words in the index."""


def growth(appliance: Appliance) -> Seen:
    """For how long the disk lasts at the pace of the last month."""
    if appliance.settings.object_store.url:
        return State.OFF, "mail lies in an object store elsewhere: what it has room for is not seen from here", ""
    now = appliance.clock.now()
    with appliance.database.read() as connection:
        came = message_records.sealed_bytes_since(connection, now - PACE)
    if not came:
        return State.OK, "no mail came in the last month", ""
    found = os.statvfs(appliance.data.path)
    days = int(found.f_bavail * found.f_frsize / (came * OVERHEAD / PACE.days))
    told = f"{came // MEBIBYTE} MiB of mail came in the last month: room for {min(days, A_LONG_TIME)} days"
    told += " or more" if days >= A_LONG_TIME else ""
    if days < LEAST_DAYS_LEFT:
        return State.WARN, told, "add a disk, or move the mail into an object store: docs/operations/object-store.md"
    return State.OK, told, ""


def answers(appliance: Appliance) -> Seen:
    """A store that is down harms nobody for as long as the spool has room: a warning, and what to do."""
    found = store_wiring.report(appliance)
    waits = f"{found.spooled} messages wait for it" if found.spooled else "no message waits for it"
    if found.oldest is not None:
        waits += f", the oldest since {found.oldest:%Y-%m-%d %H:%MZ}"
    if found.state is StoreState.OK:
        return State.OK, f"it answers, and {waits}", ""
    told = "it is down; mail is taken in all the same" if found.state is StoreState.DOWN else "it works, but"
    return State.WARN, f"{told}: {found.problem}; {waits}", found.fix


def object_lock(appliance: Appliance) -> Seen:
    """The second guard of what must be kept: what the store was really seen to enforce, held against the schedule."""
    if not appliance.settings.object_store.url:
        return State.OFF, "mail lies on this disk, where nothing locks it", ""
    words = object_store_wiring.enforced(appliance.data, appliance.settings, now=appliance.clock.now())
    if not appliance.guard.is_enforced:
        told = (
            f"the object store was seen to enforce {', '.join(words) or 'nothing'}: the rows alone keep what must stay"
        )
        return (
            State.WARN,
            told,
            "use a store with versions, retention and legal hold, in a bucket made with object lock",
        )
    long = archive_wiring.desk(appliance).guarding.longer_than_scheduled()
    if not long:
        return State.OK, f"the object store enforces {', '.join(words)}", ""
    first = long[0]
    told = f"{len(long)} locks outlast the schedule, of {first.object_name} until {first.locked_until:%Y-%m-%d}"
    return (
        State.WARN,
        told,
        f"its record is due on {first.due_at:%Y-%m-%d}: let whoever runs the object store end the lock",
    )
