"""The key agent as a process of its own: hardened, cut off from the network, its memory kept out of the swap."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

from appliance import log_setup, process_hardening, role_life
from appliance.data_directory import DataDirectory
from appliance.key_agent import KeyAgent
from appliance.key_agent_orders import Orders
from appliance.role_charge import AGENT, AgentCharge

logger = logging.getLogger(__name__)


def live(descriptor: int, parent: int) -> int:
    """Take the charge, answer until told to end; gives the exit code."""
    protections = {
        "has_no_network": process_hardening.leave_the_network(),
        "is_memory_locked": process_hardening.lock_memory(),
    }
    role_life.begin(AGENT, parent)
    orders = Orders(socket.socket(fileno=descriptor))
    told = orders.next()
    if told is None:
        return 1
    charge = AgentCharge.of(told)
    log_setup.to_directory(DataDirectory(Path(charge.data)).log, AGENT)
    logger.info("key agent", extra=protections)
    KeyAgent(charge, orders, protections).run(charge.secret)
    return 0
