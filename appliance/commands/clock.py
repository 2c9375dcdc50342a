"""``strongroom clock``: the time by which records are decided about, and what to do while it is in doubt."""

from __future__ import annotations

from appliance import account_wiring, command_access
from appliance.command_call import Call, Outcome, facts
from appliance.wiring import Appliance
from archive import decision_time
from mailstore.message import AccountId
from mailstore.trusted_time import Frozen

TRUSTED = "trusted"
FROZEN = "frozen"
WAITING = "waiting for an approver"


def show(call: Call) -> Outcome:
    """Whether the time is trusted, what it is, and who vouches for it. Exit 1 while it is frozen."""
    with command_access.opened(call) as appliance:
        with appliance.database.read() as connection:
            found = appliance.trusted_clock.view(connection)
        claimed_by = _address(appliance, found.claimed_by)
    judgement = found.judgement
    is_frozen = isinstance(judgement, Frozen)
    fields = {
        "state": FROZEN if is_frozen else TRUSTED,
        "trusted_now": judgement.now,
        "clock_now": found.reading.wall,
        "doubt": judgement.doubt.value if isinstance(judgement, Frozen) else None,
        "since": judgement.since if isinstance(judgement, Frozen) else None,
        "claimed_by": claimed_by,
        "witnesses": [{"name": each.name, "at": each.at} for each in found.reading.witnesses],
    }
    told = {**fields, "witnesses": [each.name for each in found.reading.witnesses] or "none"}
    return Outcome(fields, facts(told), exit_code=1 if is_frozen else 0)


def confirm(call: Call) -> Outcome:
    """Say that the clock is right. It is believed when an approver says so after somebody else did."""
    with command_access.opened(call) as appliance:
        actor = command_access.person(call, appliance)
        is_trusted = decision_time.confirm(actor, appliance.trusted_clock)
        fields = {"state": TRUSTED if is_trusted else WAITING, "clock_now": appliance.clock.now()}
    return Outcome(fields, facts(fields))


def _address(appliance: Appliance, account: AccountId | None) -> str | None:
    if account is None:
        return None
    with appliance.database.read() as connection:
        return account_wiring.records(appliance).by_id(connection, account).person.email
