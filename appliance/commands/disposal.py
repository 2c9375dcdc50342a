"""``strongroom disposal``: what is due is proposed, approved by another person, and destroyed with a certificate."""

from __future__ import annotations

from typing import Any

from appliance import archive_wiring, command_access, store_wiring
from appliance.command_call import Call, Outcome, facts, table
from archive.disposal_records import DisposalItem, DisposalRecord
from mailstore.actor import SYSTEM
from mailstore.errors import RefusedError


def propose(call: Call) -> Outcome:
    """Collect exactly what is due now. Nothing dies of it."""
    with command_access.opened(call) as appliance:
        actor = command_access.person(call, appliance)
        made = archive_wiring.desk(appliance).disposals.propose(actor)
    fields = {"id": made.id, "messages": made.messages, "set_hash": made.set_hash.hex(), "held": made.held}
    return Outcome(fields, facts(fields))


def show(call: Call) -> Outcome:
    """A disposal and every message in its set."""
    with command_access.opened(call) as appliance:
        actor = command_access.person(call, appliance) if call.as_email else SYSTEM
        view = archive_wiring.desk(appliance).disposals.show(actor, call.arguments.id)
    fields = _record(view.record)
    items = [_item(item) for item in view.items]
    columns = ("id", "state", "received_at", "category", "due_at", "why")
    text = facts(fields) + "\n\n" + table(items, columns, empty="An empty set.")
    return Outcome({**fields, "items": items, "total": len(items)}, text)


def approve(call: Call) -> Outcome:
    """Approve exactly the set of that hash. The cooling-off begins."""
    try:
        set_hash = bytes.fromhex(call.arguments.set_hash)
    except ValueError as error:
        raise RefusedError("the set hash is not hexadecimal", fix="copy it as disposal show gives it") from error
    with command_access.opened(call) as appliance:
        actor = command_access.person(call, appliance)
        record = archive_wiring.desk(appliance).disposals.approve(actor, call.arguments.id, set_hash=set_hash)
    fields = _record(record)
    return Outcome(fields, facts(fields))


def execute(call: Call) -> Outcome:
    """Destroy what was approved and may still go, and certify it. Safe to call again after a crash."""
    with command_access.opened(call) as appliance:
        actor = command_access.person(call, appliance)
        store_wiring.require_living(appliance)
        done = archive_wiring.desk(appliance).disposal_run.run(actor, call.arguments.id)
    kept = [{"id": each.message, "why": each.why.words} for each in done.kept]
    fields = {
        "id": done.disposal,
        "destroyed": done.destroyed,
        "kept": kept,
        "certificate": done.certificate,
    }
    told = {"destroyed": done.destroyed, "kept": len(kept), "certificate": done.certificate or "none"}
    text = facts(told) + ("\n\n" + table(kept, ("id", "why")) if kept else "")
    return Outcome(fields, text)


def withdraw(call: Call) -> Outcome:
    """Take back one's own proposal or approval, while nothing was destroyed."""
    with command_access.opened(call) as appliance:
        actor = command_access.person(call, appliance)
        fields = _record(archive_wiring.desk(appliance).disposals.withdraw(actor, call.arguments.id))
    return Outcome(fields, facts(fields))


def _record(record: DisposalRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "state": record.state.value,
        "messages": record.messages,
        "set_hash": record.set_hash.hex(),
        "held": record.held,
        "schedule": record.schedule,
        "proposed_at": record.proposed_at,
        "approved_at": record.approved_at,
        "may_run_at": record.cooled_off_at,
        "completed_at": record.completed_at,
    }


def _item(item: DisposalItem) -> dict[str, Any]:
    return {
        "id": item.message,
        "state": item.state.value,
        "received_at": item.received_at,
        "category": item.category,
        "due_at": item.due_at,
        "why": item.why,
    }
