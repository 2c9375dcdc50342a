"""``strongroom doctor``: what is well, what is not, and what to do about it."""

from __future__ import annotations

from appliance import command_access, front_door_wiring, health
from appliance.command_call import Call, Outcome, table
from appliance.health_finding import Finding, State
from mailstore.errors import StrongroomError


def run(call: Call) -> Outcome:
    """Look at everything. Exit 1 when something has failed; warnings leave it at 0."""
    findings = _findings(call)
    items = [_item(each) for each in findings]
    has_failed = any(each.state is State.FAIL for each in findings)
    shown = [{"check": f"{each.state.value:<5} {each.check}", "message": each.message} for each in findings]
    text = table(shown, ("check", "message"))
    fixes = [f"  {each.check}: {each.fix}" for each in findings if each.fix]
    told = "\n".join([text, *(["", "To mend:", *fixes] if fixes else [])])
    return Outcome({"items": items, "total": len(items)}, told, exit_code=1 if has_failed else 0)


def _item(finding: Finding) -> dict[str, object]:
    """For a program what does not apply is well, and told apart by a field of its own."""
    applies = finding.state is not State.OFF
    state = finding.state if applies else State.OK
    fields = {"check": finding.check, "state": state.value, "message": finding.message, "fix": finding.fix}
    return {**fields, "applies": applies}


def _findings(call: Call) -> list[Finding]:
    data = call.data
    settings = front_door_wiring.settings_of(data)
    found = [
        Finding("settings", State.OK, "strongroom.toml is understood"),
        *health.of_directory(data, settings, now=call.clock.now()),
    ]
    try:
        with command_access.opened(call) as appliance:
            found += health.of_appliance(appliance, reads_objects=not call.arguments.quick)
    except StrongroomError as error:
        found.append(Finding("open", State.FAIL, error.message, error.fix))
    return found
