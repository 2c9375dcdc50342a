"""What the doctor says about sealed starts: mail that still waits, damage, wrong tries, and the list for the door."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from appliance import account_wiring, drain_progress, mending_words, unseal_report
from appliance.health_finding import Finding, State
from appliance.wiring import Appliance
from mailstore import audit_trail, mailboxes, sealed_spool
from mailstore.audit_trail import Wanted

TRIES_MATTER_FOR: Final = timedelta(days=7)
_RECENT: Final = 20


def reports(appliance: Appliance) -> Iterator[Finding]:
    """Every finding, in the order in which it is shown."""
    yield _waiting(appliance)
    yield _tries(appliance)
    yield _door(appliance)


def _waiting(appliance: Appliance) -> Finding:
    name = "sealed spool"
    if aside := sealed_spool.set_aside_count(appliance.data.sealed_spool):
        told = f"{aside} segments hold mail that does not open"
        return Finding(name, State.WARN, told, "see docs/operations/sealed-start.md", is_alarm=True)
    if not list(sealed_spool.waiting_since(appliance.data.sealed_spool)):
        return Finding(name, State.OK, "nothing waits that came while sealed")
    drained = drain_progress.read(appliance.data.drain_progress)
    far = f"{drained.done:,} of {drained.of:,} messages are taken in" if drained else "it has not begun"
    return Finding(
        name,
        State.WARN,
        f"mail that came while sealed still waits: {far}",
        f"wait; if the number stays: {mending_words.worker_log(appliance.data)}",
    )


def _tries(appliance: Appliance) -> Finding:
    since = appliance.clock.now() - TRIES_MATTER_FOR
    with appliance.database.read() as connection:
        found = audit_trail.newest(connection, Wanted(event=unseal_report.REFUSED), limit=_RECENT)
    wrong = sum(int(each.detail.get("tries", 0)) for each in found if each.at >= since)
    if not wrong:
        return Finding("unsealing", State.OK, "no wrong secret was tried in the last week")
    return Finding(
        "unsealing",
        State.WARN,
        f"{wrong} wrong secrets were tried in the last week",
        "ask who was near the machine then",
    )


def _door(appliance: Appliance) -> Finding:
    with appliance.database.read() as connection:
        is_current = account_wiring.door_list_file(appliance).is_current(connection)
        is_nobody_here = not mailboxes.address_indexes(connection)
    if is_current or is_nobody_here:
        return Finding("door list", State.OK, "a sealed machine would know for whom to take mail")
    return Finding(
        "door list",
        State.WARN,
        "a sealed machine would not know everybody here",
        f"wait a minute; if it stays: {mending_words.worker_log(appliance.data)}",
    )
