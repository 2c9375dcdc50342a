"""A role as a program: ``python -m appliance.roles NAME DESCRIPTOR PARENT``, started by the supervisor alone.

Roles that are started again are started so. At the first start they are forked (``role_fork``).
"""

from __future__ import annotations

import sys

from appliance import role_life
from appliance.role_charge import RoleName

if __name__ == "__main__":
    sys.exit(role_life.live(RoleName(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
