"""``strongroom patient``: people who are treated at the practice."""

from __future__ import annotations

from appliance import account_wiring, command_access, portal_wiring
from appliance.command_call import Call, Outcome, facts
from mailstore.actor import SYSTEM, Role
from mailstore.errors import NotFoundError


def add(call: Call) -> Outcome:
    """Add a patient. The code is handed over outside e-mail, to the person, after checking who they are."""
    arguments = call.arguments
    with command_access.opened(call) as appliance:
        made = portal_wiring.people(appliance).add_patient(SYSTEM, arguments.email, arguments.name)
        fields = {
            "email": made.account.person.email,
            "enrolment_code": made.enrolment_code,
            "portal_url": account_wiring.portal_settings(appliance.settings).origin + "/",
            "id": made.account.id,
        }
    return Outcome(fields, facts(fields) + "\n\nHand the code over in person, by phone or by post, never by e-mail.")


def close(call: Call) -> Outcome:
    """End a patient's access at once. What was written to and by them stays."""
    with command_access.opened(call) as appliance:
        people = portal_wiring.people(appliance)
        found = people.by_email(call.arguments.email)
        if found.role is not Role.PATIENT:
            raise NotFoundError("no patient has this address")
        people.close(SYSTEM, found.id)
    fields = {"email": found.person.email, "state": "closed", "id": found.id}
    return Outcome(fields, facts(fields))
