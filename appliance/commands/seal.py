"""``strongroom seal``: close the appliance at once. It goes on taking mail in; nobody reads until somebody unseals.

Whoever may end the process may seal it: no sign-in is asked for, because closing must work when nobody can sign in
any more, and takes nothing away that cannot be given back. It is noted, and told at the next unsealing.
"""

from __future__ import annotations

import time
from contextlib import closing
from typing import Final

from appliance import key_agent_socket, process_file
from appliance.command_call import Call, Outcome
from appliance.data_directory import DataDirectory
from appliance.key_agent_client import KeyAgentClient
from mailstore.errors import RefusedError, SealedError

PATIENCE_SECONDS: Final = 20.0
LOOK_SECONDS: Final = 0.1


def run(call: Call) -> Outcome:
    """Close it. ``RefusedError`` while no ``serve`` runs: then it is as good as sealed, and takes no mail."""
    data = call.data
    if process_file.holder(data) is None:
        raise RefusedError(
            "nothing is running that could be sealed", fix="it is closed as it is: strongroom serve starts it"
        )
    with closing(KeyAgentClient.connected(key_agent_socket.of_commands(data))) as agent:
        was_open = not agent.status()["sealed"]
        if was_open:
            agent.seal()
    _until_the_keys_are_gone(data)
    return Outcome({"sealed": True, "was_open": was_open}, "Sealed." if was_open else "It was sealed already.")


def _until_the_keys_are_gone(data: DataDirectory) -> None:
    """The process that had them has ended when its successor answers. It may take a connection along when it ends."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        try:
            with closing(KeyAgentClient.connected(key_agent_socket.of_commands(data))) as successor:
                successor.status()
        except SealedError:
            time.sleep(LOOK_SECONDS)
        else:
            return
