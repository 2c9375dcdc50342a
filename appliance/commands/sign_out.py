"""``strongroom sign-out``: end a sign-in on this machine."""

from __future__ import annotations

from appliance import command_access, command_session
from appliance.command_call import Call, Outcome


def run(call: Call) -> Outcome:
    """End the session and remove its file."""
    email = call.arguments.email
    with command_access.opened(call) as appliance:
        command_session.sign_out(appliance, email)
    return Outcome({"email": email, "signed_out": True}, f"{email} is signed out here.")
