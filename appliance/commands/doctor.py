"""``strongroom doctor``: what is well, what is not, and what to do about it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Final

from appliance import command_access, front_door_wiring, health
from appliance.command_call import Call, Outcome, shown
from appliance.health_finding import Finding, State
from mailstore.errors import StrongroomError

COLOURS: Final = {State.OK: "32", State.WARN: "33", State.FAIL: "31", State.OFF: "2"}
"""Green, yellow, red and faint (ECMA-48 section 8.3.117), on a terminal whose reader did not say NO_COLOR."""


def run(call: Call) -> Outcome:
    """Look at everything. Exit 1 when something has failed; warnings leave it at 0."""
    findings = _findings(call)
    items = [_item(each) for each in findings]
    has_failed = any(each.state is State.FAIL for each in findings)
    told = in_lines(findings, is_coloured=sys.stdout.isatty() and "NO_COLOR" not in os.environ)
    return Outcome({"items": items, "total": len(items)}, told, exit_code=1 if has_failed else 0)


def in_lines(findings: Sequence[Finding], *, is_coloured: bool = False) -> str:
    """A line for each, whole, and below it what to do where all is not well."""
    width = max(len(each.check) for each in findings)
    lines: list[str] = []
    for each in findings:
        state = f"{each.state.value:<4}"
        state = f"\x1b[{COLOURS[each.state]}m{state}\x1b[0m" if is_coloured else state
        lines.append(f"{state}  {each.check:<{width}}  {shown(each.message)}")
        lines += [f"      {'':<{width}}  -> {shown(each.fix)}"] if each.fix else []
    return "\n".join(lines)


def _item(finding: Finding) -> dict[str, object]:
    """For a program what does not apply is well, and told apart by a field of its own."""
    applies = finding.state is not State.OFF
    state = finding.state if applies else State.OK
    fields = {"check": finding.check, "state": state.value, "message": finding.message, "fix": finding.fix}
    return {**fields, "applies": applies}


def _findings(call: Call) -> list[Finding]:
    data = call.data
    try:
        settings = front_door_wiring.settings_of(data)
    except StrongroomError as error:
        told = Finding("settings", State.FAIL, error.message, error.fix)
        return [told, *health.without_settings(data, now=call.clock.now())]
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
