"""The mark of a first run that is not finished: while it lies in the data directory, no mail is taken from outside.

Mail that is taken in must be kept for years. A practice that nobody could open again after a fire shall not begin to.
"""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from appliance.data_directory import DataDirectory
from mailstore import durable_file

FORMAT: Final = "strongroom/first-run/v1"


def write(path: Path, *, now: datetime) -> None:
    """Say that the first run began now. ``OSError`` when that cannot be written."""
    begun_at = now.isoformat(timespec="seconds").replace("+00:00", "Z")
    durable_file.write_new(path, (json.dumps({"format": FORMAT, "begun_at": begun_at}, indent=2) + "\n").encode())


def remove(data: DataDirectory) -> None:
    """The first run is finished; for a mark that is not there, it was already. ``OSError``."""
    data.first_run.unlink(missing_ok=True)
    durable_file.sync_directory(data.path)


@dataclass
class Latch:
    """Keeps the door for mail from outside shut until the mark is gone, and never looks again after that.

    Mail of this machine itself comes in: that is how a message is sent through the whole path for a trial.
    """

    data: DataDirectory
    _is_open: bool = field(default=False)

    def keeps_out(self, peer: str) -> bool:
        """True when a peer with this address has to come back later."""
        self._is_open = self._is_open or not self.data.first_run.exists()
        return not self._is_open and not _is_here(peer)


def _is_here(peer: str) -> bool:
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
