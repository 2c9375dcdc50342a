"""``strongroom serve``: the whole appliance in one process tree, until SIGTERM."""

from __future__ import annotations

import json
import sys

from appliance import (
    front_door_wiring,
    key_agent_socket,
    log_setup,
    process_file,
    process_hardening,
    supervisor,
    wiring,
)
from appliance.command_call import Call, Outcome
from appliance.key_agent_policy import Asker
from appliance.role_charge import Phase, RoleName
from appliance.settings import KeyAgentSettings


def run(call: Call) -> Outcome:
    """Serve until told to end. The first line on stdout says that everything works and on which ports."""
    process_hardening.harden()
    data = call.data
    settings = front_door_wiring.settings_of(data)
    secret = wiring.secret_place(
        data, passphrase_file=call.passphrase_file, key_file=call.key_file, other=call.other_secret
    )
    with (
        process_file.held(data),
        supervisor.listening(settings) as sockets,
        key_agent_socket.listening(data.key_agent_socket) as listener,
    ):
        log_setup.to_directory(data.log, "supervisor")
        processes = {RoleName.SMTP: settings.smtp.processes, RoleName.WORKER: settings.worker.processes}
        tree = supervisor.Supervisor(data, sockets, listener, secret, _rates(settings.key_agent), processes)
        try:
            tree.start()
            tree.run(when_ready=lambda phase: _say_ready(phase, settings.ports))
        finally:
            tree.end()
    return Outcome({}, is_silent=True)


def _say_ready(phase: Phase, ports: dict[str, int]) -> None:
    told = {"ready": True, "sealed": phase is Phase.SEALED, "ports": ports}
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def _rates(settings: KeyAgentSettings) -> dict[str, tuple[int, int]]:
    """For each asker that opens mail, its keys a minute and at once."""
    a_minute = {
        Asker.MAIL: settings.mail_keys_per_minute,
        Asker.WORKER: settings.worker_keys_per_minute,
        Asker.COMMAND: settings.command_keys_per_minute,
    }
    return {str(asker): (keys, keys * settings.minutes_at_once) for asker, keys in a_minute.items()}
