"""A role as a program: ``python -m appliance.roles NAME MODULE PIPE AGENT PARENT``, started by the supervisor alone.

Processes that fell are started again so, the key agent too. Otherwise they are forked (``role_fork``).
"""

from __future__ import annotations

import sys

from appliance import role_life
from appliance.role_charge import AGENT

if __name__ == "__main__":
    name, module, *numbers = sys.argv[1:]
    pipe, agent, parent = map(int, numbers)
    if name == AGENT:
        from appliance import key_agent_life

        sys.exit(key_agent_life.live(pipe, parent))
    sys.exit(role_life.live(name, module, pipe, agent, parent))
