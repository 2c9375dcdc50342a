"""``strongroom decommission``: the end of a practice's keys, by two persons and a secret, with a certificate."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from appliance import (
    archive_wiring,
    command_access,
    command_session,
    decommission_order,
    decommission_run,
    front_door_wiring,
    process_file,
    wiring,
)
from appliance.command_call import Call, Outcome, facts
from appliance.decommission_order import StandingOrder
from appliance.decommission_run import DecommissionRun
from appliance.decommission_targets import EndOfTargets
from appliance.wiring import Appliance
from archive.decommission import UNDER_WAY, Plan
from mailstore import backup_claim, key_copies, key_custody, message_records, outbox, slot_kinds, ways_in
from mailstore.actor import SYSTEM
from mailstore.errors import RefusedError


def show(call: Call) -> Outcome:
    """What would die, what would stay, and how far an end is. Nothing changes."""
    if decommission_order.exists(call.data):
        fields = _ordered(call, decommission_order.read(call.data))
        return Outcome(fields, facts(fields))
    with command_access.opened(call) as appliance:
        ending = archive_wiring.decommission(appliance)
        fields = {**_told(ending.plan()), **_preview(appliance, ending.holds_in_force())}
    advice = "\n\nHeld records would die: release the holds, or let both persons name each." if fields["holds"] else ""
    return Outcome(fields, facts(fields) + advice)


def propose(call: Call) -> Outcome:
    """Put an end forward."""
    with command_access.opened(call) as appliance:
        actor = command_access.person(call, appliance)
        plan = archive_wiring.decommission(appliance).propose(actor, holds=call.arguments.hold)
    fields = _told(plan)
    return Outcome(
        fields, f"{facts(fields)}\n\nAnother person has to approve it: strongroom decommission approve {plan.id}"
    )


def approve(call: Call) -> Outcome:
    """Agree to it, as another person."""
    with command_access.opened(call) as appliance:
        actor = command_access.person(call, appliance)
        ending = archive_wiring.decommission(appliance)
        plan = ending.approve(actor, call.arguments.id, holds=call.arguments.hold)
    fields = _told(plan)
    return Outcome(fields, facts(fields))


def withdraw(call: Call) -> Outcome:
    """Take it back, while nothing has begun."""
    with command_access.opened(call) as appliance:
        actor = command_access.person(call, appliance)
        archive_wiring.decommission(appliance).withdraw(actor, call.arguments.id)
    fields = {"id": call.arguments.id, "state": "withdrawn"}
    return Outcome(fields, "Nothing ends.")


def execute(call: Call) -> Outcome:
    """Destroy every key within reach, or go on with what was cut off.

    The first call takes a person who is signed in, the practice's name typed out, and a secret that opens the keys.
    """
    data = call.data
    with process_file.held(data):
        has_begun = decommission_order.exists(data)
        standing = decommission_order.read(data) if has_begun else _begun(call)
        settings = front_door_wiring.settings_of(data)
        left = frozenset(call.arguments.leave_unreached)
        path = DecommissionRun(data, settings, standing, call.clock, _tell, left).finish()
    fields = {**_ordered(call, decommission_order.read(data)), "certificate": str(path), "resumed": has_begun}
    advice = "Copy the certificate and the key beside it (disposal.pem) to where they outlive this machine."
    return Outcome(fields, f"{facts(fields)}\n\n{advice}")


def _begun(call: Call) -> StandingOrder:
    """Everything that can say no, says it here; then the order counts."""
    arguments, data = call.arguments, call.data
    settings = front_door_wiring.settings_of(data)
    if arguments.practice != settings.practice.name:
        raise RefusedError("this is not the name of the practice", fix="type it with --practice as its settings say it")
    place = wiring.named_place(passphrase_file=call.passphrase_file, key_file=call.key_file, other=call.other_secret)
    if place is None:
        raise RefusedError(
            "no secret was named", fix="show that you have one: --passphrase-file, --key-file or --shares"
        )
    ring = key_custody.unlock(data.keys, slot_kinds.secret_in(place.kind, Path(place.path)))
    with Appliance.with_ring(data, settings, ring) as appliance:
        actor = command_session.signed_in(appliance, call.as_email or "")
        archive_wiring.desk(appliance).certification.refuse_damaged_log()
        _targets(appliance, left=arguments.leave_unreached).require_reached(backup_claim.practice_of(ring.row_key))
        plan = archive_wiring.decommission(appliance).begin(actor, arguments.id, holds=arguments.hold)
        return decommission_run.order(appliance, plan, holds=tuple(sorted(set(arguments.hold))))


def _targets(appliance: Appliance, *, left: Sequence[str] = ()) -> EndOfTargets:
    with appliance.database.read() as connection:
        shipped = dict.fromkeys((copy.name for copy in key_copies.known(connection)), "")
    return EndOfTargets(appliance.data, appliance.settings, shipped, frozenset(left), _tell)


def _told(plan: Plan | None) -> dict[str, Any]:
    return {
        "id": plan.id if plan else None,
        "state": plan.state if plan else "none",
        "proposed_at": plan.proposed_at if plan else None,
        "approved_at": plan.approved_at if plan else None,
        "may_begin_at": plan.cooled_off_at if plan else None,
    }


def _preview(appliance: Appliance, holds: list[str]) -> dict[str, Any]:
    with appliance.database.read() as connection:
        copies = key_copies.known(connection)
        waiting = outbox.waiting(connection)
        messages = message_records.count(connection)
    not_due = messages - archive_wiring.desk(appliance).disposals.past_period(SYSTEM)
    return {
        "messages": messages,
        "within_period": not_due,
        "under_way": sum(waiting[kind] for kind in UNDER_WAY),
        "holds": holds,
        "ways_in": [f"{slot.id} {slot.kind}" for slot in ways_in.listed(appliance.data.keys)],
        "targets": [told.name for told in appliance.settings.backup.target],
        "unreached": sorted(_targets(appliance).away(backup_claim.practice_of(appliance.ring.row_key))),
        "key_copies": [copy.name for copy in copies],
    }


def _ordered(call: Call, standing: StandingOrder) -> dict[str, Any]:
    is_done = standing.seed is None
    certificate = call.data.certificates / standing.certificate
    return {
        "id": standing.id,
        "state": "done" if is_done else "under way",
        "certificate": str(certificate) if is_done else None,
    }


def _tell(step: str) -> None:
    sys.stderr.write(f"{step}\n")
