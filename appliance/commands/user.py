"""``strongroom user``: people who work at the practice."""

from __future__ import annotations

from appliance import command_access, given_file, portal_wiring
from appliance.command_call import Call, Outcome, facts
from mailstore.actor import SYSTEM, Role


def add(call: Call) -> Outcome:
    """Add somebody with a mailbox. The two secrets are shown once and kept nowhere in this form."""
    arguments = call.arguments
    password = given_file.password_in(arguments.password_file)
    with command_access.opened(call) as appliance:
        people = portal_wiring.people(appliance)
        made = people.add_staff(SYSTEM, arguments.email, arguments.name, Role(arguments.role), password)
    fields = {
        "email": made.account.person.email,
        "role": made.account.role.value,
        "app_password": made.app_password,
        "totp_secret": made.totp_secret,
        "id": made.account.id,
    }
    return Outcome(fields, facts(fields) + "\n\nThe app password is for the mail program; both secrets are shown once.")
