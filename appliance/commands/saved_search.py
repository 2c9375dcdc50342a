"""``strongroom archive saved``: one's own saved searches, and what is new in them."""

from __future__ import annotations

from appliance import archive_wiring, command_access
from appliance.command_call import Call, Outcome, facts, listed
from appliance.commands import archive
from archive.archive_search import Shown
from archive.saved_searches import SavedSearch


def show(call: Call) -> Outcome:
    """One's own saved searches."""
    with command_access.opened(call) as appliance:
        actor = command_access.person(call, appliance)
        found = archive_wiring.saved_searches(appliance).all(actor)
    return listed(
        [_told(each) for each in found],
        ("id", "name", "query", "is_daily", "new_messages"),
        empty="Nothing is saved.",
    )


def add(call: Call) -> Outcome:
    """Save a search."""
    with command_access.opened(call) as appliance:
        actor = command_access.person(call, appliance)
        saved = archive_wiring.saved_searches(appliance)
        fields = _told(saved.add(actor, call.arguments.name, archive.asked(call), is_daily=call.arguments.daily))
    return Outcome(fields, facts(fields))


def change(call: Call) -> Outcome:
    """Give a saved search another name, or run it daily or not any more."""
    arguments = call.arguments
    with command_access.opened(call) as appliance:
        actor = command_access.person(call, appliance)
        saved = archive_wiring.saved_searches(appliance)
        if arguments.name is not None:
            saved.rename(actor, arguments.id, arguments.name)
        if arguments.daily is not None:
            saved.run_daily(actor, arguments.id, is_daily=arguments.daily == "yes")
        fields = _told(saved.show(actor, arguments.id))
    return Outcome(fields, facts(fields))


def remove(call: Call) -> Outcome:
    """Forget a saved search."""
    with command_access.opened(call) as appliance:
        archive_wiring.saved_searches(appliance).remove(command_access.person(call, appliance), call.arguments.id)
    return Outcome({"id": call.arguments.id}, "It is removed.")


def run(call: Call) -> Outcome:
    """The results of a saved search; what came since its owner looked last is marked as new."""
    with command_access.opened(call) as appliance:
        actor = command_access.person(call, appliance)
        found = archive_wiring.saved_searches(appliance).look(actor, call.arguments.id)
        shown = Shown(new_since=found.looked_until)
        answer = archive_wiring.search(appliance).search(actor, found.asked, limit=call.arguments.limit, shown=shown)
    return archive.outcome_of(answer)


def _told(saved: SavedSearch) -> dict[str, object]:
    return {
        "id": saved.id,
        "name": saved.name,
        "query": saved.asked.text,
        "narrow": [f"{facet.value}={value}" for facet, value in sorted(saved.asked.chosen.items())],
        "order": saved.asked.order.value,
        "is_daily": saved.is_daily,
        "created_at": saved.created_at,
        "looked_until": saved.looked_until,
        "ran_at": saved.ran_at,
        "new_messages": saved.new_messages,
    }
