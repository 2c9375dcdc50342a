"""One process at a time does a duty that both the worker's clock and a timer of the machine take up.

Whether there is anything to do is looked at in one's turn: what the other has just done is not done again.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from enum import StrEnum

from appliance.data_directory import DataDirectory


class Duty(StrEnum):
    """What more than one process may take up. Each has a file of its own in ``run/``."""

    BACKUP_DATA = "backup-data"
    BACKUP_KEYS = "backup-keys"
    DRILL = "drill"
    SCRUB = "scrub"


def in_turn(data: DataDirectory, duty: Duty, work: Callable[[], None]) -> bool:
    """Do it, unless another process does it now. The kernel gives the turn back when a process ends, however."""
    descriptor = os.open(data.run / f"duty-{duty}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        work()
        return True
    finally:
        os.close(descriptor)


def when_our_turn(data: DataDirectory, duty: Duty, work: Callable[[], None]) -> Callable[[], None]:
    """The same for whoever takes it up again and again: left out while another process does it."""

    def do() -> None:
        in_turn(data, duty, work)

    return do
