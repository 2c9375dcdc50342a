"""``strongroom due``: what the clock asks for is done now, if it is due and nobody does it already. For timers.

The worker of a running appliance looks at the same. What was done last decides: neither does again what the other did.
When the appliance is sealed meanwhile, work of hours is given up, for this process has keys too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from appliance import archive_wiring, backup_wiring, check_wiring, command_access, restore_duty
from appliance.backup_schedule import BackupSchedule
from appliance.command_call import Call, Outcome, facts
from appliance.drill_schedule import DrillSchedule
from appliance.duty_turn import Duty, in_turn
from appliance.key_agent_client import AgentOpener
from appliance.wiring import Appliance
from archive.disposal_records import DisposalState
from mailstore.actor import SYSTEM
from mailstore.errors import SealedError
from mailstore.scrub import Scrub

OPEN: Final = frozenset({DisposalState.PROPOSED, DisposalState.APPROVED, DisposalState.RUNNING})
"""Disposals that wait for somebody."""

ASKED_AGAIN_SECONDS: Final = 1.0
"""How long work goes on at most before it looks whether the appliance was sealed."""


def backup(call: Call) -> Outcome:
    """Back up into every target for which that is due. Exit 1 when one is still due afterwards."""
    with command_access.opened(call) as appliance:
        schedule = BackupSchedule(appliance, should_stop=sealed_meanwhile(appliance))
        turns = [
            in_turn(appliance.data, Duty.BACKUP_KEYS, schedule.keys),
            in_turn(appliance.data, Duty.BACKUP_DATA, restore_duty.when_whole(appliance, schedule.data)),
        ]
        return _outcome(under_way=not all(turns), still_due=schedule.due())


def drill(call: Call) -> Outcome:
    """Rehearse a restore from every target for which that is due. Exit 1 when one is still due afterwards."""
    with command_access.opened(call) as appliance:
        schedule = DrillSchedule(appliance, should_stop=sealed_meanwhile(appliance))
        is_ours = in_turn(appliance.data, Duty.DRILL, schedule.run)
        return _outcome(under_way=not is_ours, still_due=schedule.due())


def scrub(call: Call) -> Outcome:
    """Read on in the sealed bytes as far as the time says. Exit 1 when something was found wrong."""
    with command_access.opened(call) as appliance:
        reading = check_wiring.scrub(appliance)
        should_stop = sealed_meanwhile(appliance)
        found: list[int] = []

        def read_on() -> None:
            found.append(_read_on(reading, should_stop))

        is_ours = in_turn(appliance.data, Duty.SCRUB, restore_duty.when_whole(appliance, read_on))
    bad = sum(found)
    fields = {"under_way": not is_ours, "bad": bad}
    return Outcome(fields, facts(fields), exit_code=1 if bad else 0)


def retention(call: Call) -> Outcome:
    """Take up what an interruption left of holds and the ledger, and say what waits for people. Nothing dies of it."""
    with command_access.opened(call) as appliance:
        desk = archive_wiring.desk(appliance)
        backup_wiring.keep_ledger(appliance)
        fields = {
            "holds": desk.holds.evaluate_unfinished(),
            "past_period": desk.disposals.past_period(SYSTEM),
            "open_disposals": sum(each.state in OPEN for each in desk.disposals.all(SYSTEM)),
        }
    return Outcome(fields, facts(fields))


def sealed_meanwhile(appliance: Appliance) -> Callable[[], bool]:
    """What says whether the key agent that this process asks was sealed or has gone. Asked often, it asks seldom.

    Always False where the process opened the practice by itself: then there is no appliance to seal.
    """
    opener = appliance.opener
    if not isinstance(opener, AgentOpener):
        return lambda: False
    is_sealed, looked_at = False, time.monotonic()

    def look() -> bool:
        nonlocal is_sealed, looked_at
        if not is_sealed and time.monotonic() >= looked_at + ASKED_AGAIN_SECONDS:
            is_sealed, looked_at = _is_sealed(opener), time.monotonic()
        return is_sealed

    return look


def _is_sealed(opener: AgentOpener) -> bool:
    """The agent that is sealed ends, and a connection to it with it."""
    try:
        return bool(opener.status()["sealed"])
    except SealedError:
        return True


def _read_on(reading: Scrub, should_stop: Callable[[], bool]) -> int:
    """What is bad after reading as far as the time says, or until it is to stop."""
    before, state = None, reading.step()
    while state != before and not should_stop():
        before, state = state, reading.step()
    return state.bad


def _outcome(*, under_way: bool, still_due: list[str]) -> Outcome:
    """While another process is at it, it is not late."""
    fields: dict[str, Any] = {"under_way": under_way, "still_due": still_due}
    return Outcome(fields, facts(fields), exit_code=1 if still_due and not under_way else 0)
