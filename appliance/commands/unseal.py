"""``strongroom unseal``: open an appliance that was started without a secret, or sealed by hand."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from typing import Final

from appliance import drain_progress, given_file, key_agent_socket, process_file, wiring
from appliance.command_call import Call, Outcome
from appliance.data_directory import DataDirectory
from appliance.drain_progress import Drained
from appliance.key_agent_client import KeyAgentClient
from mailstore.errors import RefusedError

LOOK_SECONDS: Final = 0.2
TELL_EVERY_SECONDS: Final = 1.0
PATIENCE_SECONDS: Final = 120.0
"""How long without news of the drain before nobody waits for it here any more. It goes on all the same."""


def run(call: Call) -> Outcome:
    """Open it, and stay until all that came meanwhile is taken in. ``RefusedError`` while no ``serve`` runs."""
    data = call.data
    secret = wiring.named_place(passphrase_file=call.passphrase_file, key_file=call.key_file, other=call.other_secret)
    if secret is None:
        raise RefusedError(
            "no secret was named", fix="say --passphrase-file FILE, --key-file FILE, --shares FILE or another"
        )
    content = given_file.secret_in(secret.path)
    if process_file.holder(data) is None:
        raise RefusedError("nothing is running that could be unsealed", fix="start it: strongroom serve")
    with closing(KeyAgentClient.connected(key_agent_socket.of_commands(data))) as agent:
        was_sealed = bool(agent.status()["sealed"])
        if was_sealed:
            drain_progress.forget(data.drain_progress)
        agent.unseal(secret.kind, content)
    drained = _until_drained(data) if was_sealed and not call.arguments.no_wait else None
    return _outcome(was_sealed=was_sealed, drained=drained)


def _until_drained(data: DataDirectory) -> Drained | None:
    """Tell how far it is until nothing waits any more; what was told last."""
    told: Drained | None = None
    now = time.monotonic()
    until, tell_at = now + PATIENCE_SECONDS, now
    while (now := time.monotonic()) < until and not (told is not None and told.is_over):
        found = drain_progress.read(data.drain_progress)
        if found != told:
            told, until = found, now + PATIENCE_SECONDS
        if told is not None and told.of and now >= tell_at:
            tell_at = now + TELL_EVERY_SECONDS
            _tell(told)
        time.sleep(LOOK_SECONDS)
    return told


def _tell(told: Drained) -> None:
    sys.stderr.write(f"taken in: {told.done:,} of {told.of:,} messages\n")
    sys.stderr.flush()


def _outcome(*, was_sealed: bool, drained: Drained | None) -> Outcome:
    if drained is not None and drained.of:
        _tell(drained)
    fields = {
        "sealed": False,
        "was_sealed": was_sealed,
        "taken_in": drained.done if drained else 0,
        "is_drained": drained.is_over if drained else not was_sealed,
    }
    if not was_sealed:
        return Outcome(fields, "It was open already; the secret is right.")
    if not fields["is_drained"]:
        return Outcome(fields, "Unsealed. What came meanwhile is still being taken in.")
    return Outcome(fields, f"Unsealed. {fields['taken_in']:,} messages that came meanwhile are in their mailboxes.")
