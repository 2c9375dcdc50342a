"""What the doctor says about the object store: whether it answers, what waits for it, and what it really enforces."""

from __future__ import annotations

from appliance import archive_wiring, object_store_wiring, store_wiring
from appliance.health_finding import Seen, State
from appliance.wiring import Appliance
from mailstore.store_state import StoreState


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
