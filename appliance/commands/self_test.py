"""``strongroom self-test``: one message through the whole path of the running appliance."""

from __future__ import annotations

from appliance import command_access, self_test
from appliance.command_call import Call, Outcome, table


def run(call: Call) -> Outcome:
    """Send a message to the postmaster and follow it. Exit 1 when a step is not reached."""
    with command_access.opened(call) as appliance:
        steps = list(self_test.run(appliance, wait_seconds=call.arguments.wait))
    items = [{"step": each.step, "passed": each.is_passed, "message": each.message} for each in steps]
    has_passed = all(each.is_passed for each in steps)
    shown = [{"step": f"{'ok  ' if each.is_passed else 'FAIL'} {each.step}", "message": each.message} for each in steps]
    told = table(shown, ("step", "message"))
    fields = {"passed": has_passed, "items": items, "total": len(items)}
    return Outcome(fields, told, exit_code=0 if has_passed else 1)
