"""``strongroom sign-in``: from now on commands may act in this person's name, on this machine, for a while."""

from __future__ import annotations

from appliance import command_access, command_sign_in, given_file
from appliance.command_call import Call, Outcome, facts


def run(call: Call) -> Outcome:
    """Check the password and the one-time code, and leave the session file."""
    arguments = call.arguments
    password = given_file.password_in(arguments.password_file)
    with command_access.opened(call) as appliance:
        done = command_sign_in.sign_in(appliance, email=arguments.email, password=password, code=arguments.totp)
    fields = {"email": arguments.email, "expires_at": done.expires_at}
    return Outcome(fields, facts(fields))
