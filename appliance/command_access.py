"""How a command gets at the appliance and at the person in whose name it acts."""

from __future__ import annotations

from contextlib import AbstractContextManager

from appliance import command_session
from appliance.command_call import Call
from appliance.wiring import Appliance
from mailstore.actor import Actor


def opened(call: Call) -> AbstractContextManager[Appliance]:
    """The appliance in the call's data directory, unlocked, to be closed by ``with``."""
    return Appliance.opened(
        call.data, passphrase_file=call.passphrase_file, key_file=call.key_file, other=call.other_secret
    )


def person(call: Call, appliance: Appliance) -> Actor:
    """The person named by ``--as``. Raises ``NotSignedInError`` unless they signed in on this machine."""
    return command_session.signed_in(appliance, call.as_email or "")
