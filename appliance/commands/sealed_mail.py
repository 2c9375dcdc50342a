"""``strongroom sealed-mail``: mail that came while sealed and was set aside because it does not open."""

from __future__ import annotations

from dataclasses import asdict

from appliance import command_access
from appliance.command_call import Call, Outcome, facts, listed
from appliance.damaged_mail import DamagedMail

_COLUMNS = ("name", "bytes", "written_at", "groups", "opens", "messages")


def listing(call: Call) -> Outcome:
    """Every segment that was set aside, and how much of it opens now."""
    with command_access.opened(call) as appliance:
        items = [asdict(each) for each in DamagedMail(appliance).all()]
    return listed(items, _COLUMNS, empty="Nothing that came while sealed was set aside.")


def again(call: Call) -> Outcome:
    """Have the next start, or unsealing, take in what opens then; the rest is set aside again."""
    with command_access.opened(call) as appliance:
        fields = {"put_back": DamagedMail(appliance).again()}
    return Outcome(fields, facts(fields) + "\n\nIt is tried when serve is started or unsealed next.")


def release(call: Call) -> Outcome:
    """Overwrite and remove one segment: what did not open is given up for good."""
    with command_access.opened(call) as appliance:
        DamagedMail(appliance).release(call.arguments.name)
    fields = {"released": call.arguments.name}
    return Outcome(fields, facts(fields))
