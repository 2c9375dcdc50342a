"""A role as a program: ``python -m appliance.roles NAME DESCRIPTOR PARENT``, started by the supervisor alone.

Roles that are started again are started so. At the first start they are forked (``role_fork``).
"""

from __future__ import annotations

import sys

from appliance import role_life

if __name__ == "__main__":
    sys.exit(role_life.live(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
