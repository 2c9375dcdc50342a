"""Named points at which a rehearsal can stop the process or break the disk.

``STRONGROOM_FAILPOINT=name:kill`` kills this process where ``reached(name)`` stands, ``name:kill@3`` the third time
it comes by, ``name:error`` raises ``OSError(EIO)`` there. Nothing set: one comparison, nothing else.
"""

from __future__ import annotations

import errno
import itertools
import os
import signal

_NAME, _, _ACTION = os.environ.get("STRONGROOM_FAILPOINT", "").partition(":")
_KIND, _, _TIME = _ACTION.partition("@")
_passes = itertools.count(1)


def reached(name: str) -> None:
    """Say that the step called ``name`` is done and durable."""
    if name == _NAME:
        _strike()


def _strike() -> None:
    if next(_passes) != int(_TIME or 1):
        return
    if _KIND == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    raise OSError(errno.EIO, f"failpoint {_NAME}")
