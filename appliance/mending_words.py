"""What a person at the machine types to start or restart the practice, or where its log lies: as it runs just here.

The units that the playbook sets up, and that docs/operations/install.md has installed by hand, serve one directory.
Any other is served by hand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from appliance.data_directory import DataDirectory

UNIT: Final = Path("/etc/systemd/system/strongroom.target")
SERVED_BY_UNITS: Final = Path("/var/lib/strongroom")
RESTART_UNITS: Final = "sudo systemctl restart strongroom-key-agent && sudo systemctl start strongroom.target"
"""All parts that run follow the key agent; the target starts what was stopped."""


def has_units(data: DataDirectory) -> bool:
    """True where the service manager is to serve this directory."""
    return data.path == SERVED_BY_UNITS and UNIT.exists()


def start(data: DataDirectory) -> str:
    """How everything that should run is started."""
    return "sudo systemctl start strongroom.target" if has_units(data) else f"strongroom --data {data.path} serve"


def restart(data: DataDirectory) -> str:
    """How all of it ends and starts anew."""
    return RESTART_UNITS if has_units(data) else f"end serve, and run: {start(data)}"


def worker_log(data: DataDirectory) -> str:
    """Where the worker says what went wrong, and how it is started anew once that is mended."""
    return f"see {data.log / 'worker.log'}; to start it anew: {restart(data)}"
