"""What the doctor says about the first run: whether the practice takes mail from outside yet."""

from __future__ import annotations

from appliance.data_directory import DataDirectory
from appliance.health_finding import Seen, State


def finished(data: DataDirectory) -> Seen:
    """Whether every step of the first run was taken."""
    if data.first_run.exists():
        return (
            State.FAIL,
            "not finished: no mail is taken from outside until recovery shares were read back from paper",
            "run, at a terminal of this machine: sudo strongroom setup",
        )
    return State.OK, "finished: mail is taken from outside", ""
