"""``strongroom user``: people who work at the practice."""

from __future__ import annotations

from appliance import command_access, command_session, given_file, portal_wiring
from appliance.command_call import Call, Outcome, facts, listed
from mailstore.actor import SYSTEM, Role
from mailstore.errors import NotFoundError
from portal.account_records import Account
from portal.people import NewStaff, People


def add(call: Call) -> Outcome:
    """Add somebody with a mailbox. The two secrets are shown once and kept nowhere in this form."""
    arguments = call.arguments
    password = given_file.password_in(arguments.password_file)
    with command_access.opened(call) as appliance:
        people = portal_wiring.people(appliance)
        return _shown(people.add_staff(SYSTEM, arguments.email, arguments.name, Role(arguments.role), password))


def listing(call: Call) -> Outcome:
    """Everybody who works here, by name, and those whose accounts were closed."""
    with command_access.opened(call) as appliance:
        staff = portal_wiring.people(appliance).staff(SYSTEM)
    items = [
        {
            "email": each.person.email,
            "name": each.person.name,
            "role": each.role.value,
            "state": each.state.value,
            "id": each.id,
        }
        for each in staff
    ]
    return listed(items, ("email", "name", "role", "state"))


def close(call: Call) -> Outcome:
    """End an account at once. Its mail stays, under holds and schedule as before."""
    with command_access.opened(call) as appliance:
        people = portal_wiring.people(appliance)
        found = _staff_member(people, call.arguments.email)
        people.close(SYSTEM, found.id)
        command_session.end_all(appliance, found.id)
    fields = {"email": found.person.email, "state": "closed", "id": found.id}
    return Outcome(fields, facts(fields))


def role(call: Call) -> Outcome:
    """Give somebody another role. They are signed in nowhere any more: what they opened, they opened in the old one."""
    with command_access.opened(call) as appliance:
        people = portal_wiring.people(appliance)
        found = _staff_member(people, call.arguments.email)
        changed = people.change_role(SYSTEM, found.id, Role(call.arguments.role))
        command_session.end_all(appliance, found.id)
    fields = {"email": changed.person.email, "former": found.role.value, "role": changed.role.value, "id": changed.id}
    return Outcome(fields, facts(fields))


def reset(call: Call) -> Outcome:
    """New secrets for somebody, who is signed in nowhere any more. A closed account opens again."""
    password = given_file.password_in(call.arguments.password_file)
    with command_access.opened(call) as appliance:
        people = portal_wiring.people(appliance)
        found = _staff_member(people, call.arguments.email)
        command_session.end_all(appliance, found.id)
        return _shown(people.reset_staff(SYSTEM, found.id, password))


def _staff_member(people: People, email: str) -> Account:
    found = people.by_email(email)
    if not found.role.is_staff:
        raise NotFoundError("nobody who works here has this address", fix="look under: strongroom user list")
    return found


def _shown(staff: NewStaff) -> Outcome:
    fields = {
        "email": staff.account.person.email,
        "role": staff.account.role.value,
        "app_password": staff.app_password,
        "totp_secret": staff.totp_secret,
        "id": staff.account.id,
    }
    return Outcome(fields, facts(fields) + "\n\nThe app password is for the mail program; both secrets are shown once.")
