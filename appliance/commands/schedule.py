"""``strongroom schedule``: how long each kind of record is kept, changed only by two people."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from appliance import archive_wiring, command_access, given_file
from appliance.command_call import Call, Outcome, facts, table
from archive import retention_schedule
from archive.retention_schedule import Schedule, period_text
from archive.schedule_change import ScheduleChange
from mailstore.errors import NotFoundError

SUGGESTED = "suggested"
"""The state of the schedule that comes with the house while none was approved. Nothing is due by it."""

CHANGES = ("added", "removed", "shorter", "longer", "rules_added", "rules_removed")


def show(call: Call) -> Outcome:
    """The schedule in force. While there is none, the one that comes with the house, as a suggestion."""
    with command_access.opened(call) as appliance:
        try:
            view = archive_wiring.desk(appliance).schedules.active()
        except NotFoundError:
            return _shown(call, retention_schedule.default_schedule_text(), {"id": None, "state": SUGGESTED})
    head = {"id": view.id, "state": view.state.value, "approved_at": view.approved_at}
    return _shown(call, view.text, head)


def _shown(call: Call, text: str, head: Mapping[str, Any]) -> Outcome:
    schedule = retention_schedule.parse(text)
    categories, rules = _categories(schedule), _rules(schedule)
    fields = {**head, "categories": categories, "rules": rules, "toml": text}
    if head["state"] == SUGGESTED:
        sys.stderr.write("No schedule is in force, so everything is kept. This is the one that comes with the house.\n")
    if call.arguments.toml:
        return Outcome(fields, raw=text.encode())
    told = [table(categories, ("name", "retain", "clock", "citation")), "", table(rules, ("category", "match"))]
    return Outcome(fields, "\n".join(told))


def simulate(call: Call) -> Outcome:
    """What a schedule would do to the archive as it is now. Nothing changes."""
    text = given_file.document_in(call.arguments.file)
    with command_access.opened(call) as appliance:
        actor = command_access.person(call, appliance)
        found = archive_wiring.desk(appliance).schedules.simulate(actor, text)
    categories = [asdict(each) for each in found.categories]
    fields = {
        "messages": found.messages,
        "categories": categories,
        "sooner": found.sooner,
        "later": found.later,
        "newly_due": found.newly_due,
        "newly_due_samples": list(found.newly_due_samples),
    }
    totals = {name: fields[name] for name in ("messages", "sooner", "later", "newly_due")}
    columns = ("name", "messages", "due_now", "due_within_year")
    return Outcome(fields, f"{facts(totals)}\n\n{table(categories, columns)}")


def propose(call: Call) -> Outcome:
    """Put a schedule forward; another person approves it."""
    text = given_file.document_in(call.arguments.file)
    with command_access.opened(call) as appliance:
        actor = command_access.person(call, appliance)
        schedules = archive_wiring.desk(appliance).schedules
        id_ = schedules.propose(actor, text)
        change = schedules.change(actor, id_)
    fields = {"id": id_, "state": "proposed", "change": _change(change)}
    return Outcome(fields, f"Proposed as {id_}.\n{_change_text(change)}\nAnother person approves it.")


def approve(call: Call) -> Outcome:
    """Put a proposed schedule in force."""
    with command_access.opened(call) as appliance:
        actor = command_access.person(call, appliance)
        change = archive_wiring.desk(appliance).schedules.approve(actor, call.arguments.id)
    fields = {"id": call.arguments.id, "state": "active", "change": _change(change)}
    return Outcome(fields, f"In force now.\n{_change_text(change)}")


def withdraw(call: Call) -> Outcome:
    """Take back one's own proposal before it was approved."""
    with command_access.opened(call) as appliance:
        actor = command_access.person(call, appliance)
        archive_wiring.desk(appliance).schedules.withdraw(actor, call.arguments.id)
    return Outcome({"id": call.arguments.id, "state": "withdrawn"}, "Withdrawn. Nothing has changed.")


def _categories(schedule: Schedule) -> list[dict[str, Any]]:
    return [
        {
            "name": each.name,
            "retain": period_text(each.retain),
            "clock": each.clock,
            "citation": each.citation,
        }
        for each in schedule.categories.values()
    ]


def _rules(schedule: Schedule) -> list[dict[str, Any]]:
    return [{"category": rule.category, "match": rule.match} for rule in schedule.rules]


def _change(change: ScheduleChange) -> dict[str, list[str]]:
    return {name: list(getattr(change, name)) for name in CHANGES}


def _change_text(change: ScheduleChange) -> str:
    told = {name: texts for name, texts in _change(change).items() if texts}
    return facts(told) if told else "Nothing changes."
