"""``strongroom backup drill``: a restore, rehearsed and reported."""

from __future__ import annotations

from typing import Any

from appliance import command_access, drill_wiring, wiring
from appliance.command_call import Call, Outcome, facts
from appliance.commands.backup import told_target
from appliance.drill import Drilled
from appliance.long_work import LongWork
from mailstore.slot_secret import SlotSecret


def run(call: Call) -> Outcome:
    """Rehearse a restore from one target. Exit 1 when it did not pass; the report is written all the same.

    A secret that is named opens the backups by itself, as after a fire; without one the appliance's own ring does.
    """
    with command_access.opened(call) as appliance:
        told = told_target(call.arguments.source, call.arguments.credentials, appliance.settings)
        drill = drill_wiring.drill(appliance, told, _named_secret(call), LongWork())
        done = drill.run(call.arguments.sample)
    fields = _fields(done)
    told_facts = {name: value for name, value in fields.items() if name != "problems"}
    return Outcome(
        fields, "\n".join([facts(told_facts), *done.report.problems]), exit_code=0 if done.report.passed else 1
    )


def _named_secret(call: Call) -> SlotSecret | None:
    if call.passphrase_file is None and call.key_file is None and call.other_secret is None:
        return None
    return wiring.secret_of(
        call.data, passphrase_file=call.passphrase_file, key_file=call.key_file, other=call.other_secret
    )


def _fields(done: Drilled) -> dict[str, Any]:
    report = done.report
    return {
        "passed": report.passed,
        "report": str(done.path),
        "as_of": report.data.as_of,
        "messages": report.in_backup,
        "sampled": len(report.sample),
        "compared": sum(each.is_compared for each in report.sample),
        "opened": sum(each.is_opened for each in report.sample),
        "missing_pieces": report.missing_pieces,
        "without_key": report.without_key,
        "problems": list(report.problems),
    }
