"""Signing in on the command line: both factors at once, then a session that later commands act by.

Apart from ``command_session``, which every command in a person's name loads and which needs none of the portal.
"""

from __future__ import annotations

from appliance import command_session, portal_wiring
from appliance.command_session import SignedIn
from appliance.wiring import Appliance
from mailstore.errors import RefusedError
from portal.sign_in import Wrong

CONSOLE = "console"
"""What throttles and the audit trail call the place of these sign-ins."""


def sign_in(appliance: Appliance, *, email: str, password: str, code: str) -> SignedIn:
    """Check both factors and leave a session file. ``RefusedError`` says no more than that they are wrong."""
    answer = portal_wiring.sign_in(appliance).both_at_once(email, password, code, CONSOLE)
    if isinstance(answer, Wrong):
        raise RefusedError("the password or the code is wrong", fix="check both; a code is good once, for 30 seconds")
    return command_session.begin(appliance, answer, email)
