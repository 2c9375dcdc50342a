"""While the appliance is sealed every command says the same, but for the few that make, run, open or close one.

So nothing that a command looks at on its way to the keys (files, settings, arguments) tells anything either.
"""

from __future__ import annotations

from contextlib import closing
from typing import Final

from appliance import key_agent_socket, process_file
from appliance.command_call import Call
from appliance.command_table import Entry
from appliance.key_agent_client import KeyAgentClient
from mailstore.errors import SealedError

SPEAKS: Final = frozenset(
    {"init", "serve", "unseal", "seal", "restore", "demo", "certificate verify", "key agent status"}
)
"""What needs nobody to have unsealed. A certificate is given as a file; the key agent says that it is sealed."""


AFTERWARDS: Final = frozenset({"decommission show", "decommission run", "certificate verify"})
"""What is left to say once the keys of the practice are gone."""


def require_open(call: Call, entry: Entry) -> None:
    """``SealedError`` when this command may say nothing now, ``DecommissionedError`` when nothing ever will."""
    if call.data_path is not None and " ".join(entry.words) not in AFTERWARDS and call.data.decommission.exists():
        from archive.decommission import DecommissionedError  # noqa: PLC0415 - no other call pays for loading it

        raise DecommissionedError(
            "this practice was ended and its keys destroyed", fix="strongroom decommission run finishes it, or says so"
        )
    if call.data_path is None or " ".join(entry.words) in SPEAKS or process_file.holder(call.data) is None:
        return
    with closing(KeyAgentClient.connected(key_agent_socket.of_commands(call.data))) as agent:
        if agent.status()["sealed"]:
            raise SealedError
