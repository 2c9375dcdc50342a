"""``strongroom serve``: the whole appliance in one process tree, or one part of it under a service manager."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Final

from appliance import (
    front_door_wiring,
    key_agent_socket,
    listening_sockets,
    log_setup,
    process_file,
    process_hardening,
    service_manager,
    supervisor,
    wiring,
)
from appliance.agent_link import AgentSource, OtherAgent, OwnAgent
from appliance.command_call import Call, Outcome
from appliance.key_agent_policy import DOORS, Asker
from appliance.role_charge import ROLES_OF_PART, AgentCharge, Part, Phase, RoleName
from appliance.service_manager import ServiceManager
from appliance.settings import KeyAgentSettings, Settings
from mailstore.errors import RefusedError

WITH_AGENT: Final = (None, Part.KEY_AGENT)
"""The whole, and the part that holds the directory for the others."""

SENT_AWAY: Final = 75
"""How the key agent's unit ends when the appliance works in another place now: then its target has to end, for the
sockets of units stay bound and would start parts again."""


def run(call: Call) -> Outcome:
    """Serve until told to end. The first line on stdout says that everything works and on which ports."""
    process_hardening.harden()
    part = Part(call.arguments.role) if call.arguments.role else None
    _require_units(part)
    data, settings = call.data, front_door_wiring.settings_of(call.data)
    roles = ROLES_OF_PART[part] if part else frozenset(RoleName)
    names = [name for role in roles for name in supervisor.SOCKETS_OF[role]]
    handed, manager = service_manager.handed_sockets(), ServiceManager.of_environment()
    with ExitStack() as held:
        if part in WITH_AGENT:
            held.enter_context(process_file.held(data))
        sockets = held.enter_context(listening_sockets.bound(settings, names, handed))
        agents = _agents(call, settings, part, handed, held)
        log_setup.to_directory(data.log, f"{part}-supervisor" if part else "supervisor")
        processes = {RoleName.SMTP: settings.smtp.processes, RoleName.WORKER: settings.worker.processes}
        tree = supervisor.Supervisor(data, sockets, agents, roles, processes, manager)
        ports = {name: settings.ports[name] for name in sockets}
        try:
            tree.start()
            tree.run(when_ready=lambda phase: _say_ready(phase, ports))
        finally:
            tree.end()
    return Outcome({}, is_silent=True, exit_code=SENT_AWAY if tree.is_sent_away and part is Part.KEY_AGENT else 0)


def _require_units(part: Part | None) -> None:
    """A part is started where the others find it, and the whole where nobody looks for parts."""
    if (part is None) != (key_agent_socket.socket_of(key_agent_socket.COMMANDS) is None):
        raise RefusedError(
            f"{key_agent_socket.PLACE} names where the parts of the appliance meet when each is started by itself",
            fix="set it and say --role, as the units do (systemctl start strongroom.target), or neither",
        )


def _agents(
    call: Call, settings: Settings, part: Part | None, handed: Mapping[str, socket.socket], held: ExitStack
) -> AgentSource:
    """Where the key agent comes from: from us, or from the unit beside us."""
    other = key_agent_socket.socket_of(part or "")
    if part not in WITH_AGENT and other is not None:
        return OtherAgent(other)
    doors = {} if part is None else _doors(handed)
    listener = (
        handed[key_agent_socket.COMMANDS]
        if doors
        else held.enter_context(key_agent_socket.listening(call.data.key_agent_socket))
    )
    secret = wiring.secret_place(
        call.data, passphrase_file=call.passphrase_file, key_file=call.key_file, other=call.other_secret
    )
    numbers = {name: each.fileno() for name, each in doors.items()}
    charge = AgentCharge(str(call.data.path), listener.fileno(), secret, _rates(settings.key_agent), numbers)
    return OwnAgent(charge, (listener, *doors.values()))


def _doors(handed: Mapping[str, socket.socket]) -> dict[str, socket.socket]:
    """The key agent's sockets for roles. It binds none itself: who may reach which is what says who asks."""
    if missing := [name for name in (key_agent_socket.COMMANDS, *DOORS) if name not in handed]:
        raise RefusedError(
            f"no socket was handed over for {', '.join(missing)}",
            fix="the key agent is started by a service manager that binds its sockets, each for one group",
        )
    return {name: handed[name] for name in DOORS}


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
