"""Two processes at once: one is halted in the middle of its step while another does something, or both do the same."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from tests.torture.fault import count, spot
from tests.torture.scenario import DISPOSE, HOLD, Act
from tests.torture.theatre import Playing
from tests.torture.trial import Trial

RIVALS = (HOLD, Act("accept", letters=4), Act("work"), DISPOSE, Act("duties"))
BESIDE_A_FIRE = (Act("work"), Act("duties"))
"""A restore has the box burn after its last backup: what is promised between the two burns with it, and rightly."""

RIVAL_SECONDS = 2.0
"""The halted process may hold a lock that its rival waits for: then it goes on after this time."""
STEP_SECONDS = 0.01


def pause(trial: Trial) -> None:
    """Halt the act at a failpoint, let another scene be played meanwhile, then go on, or be killed."""
    where = trial.at or spot(trial, "stop")
    rival = trial.chance.choice(BESIDE_A_FIRE if trial.scenario.act.scene == "restore" else RIVALS)
    halted = trial.begin(trial.scenario.act, failpoint=where)
    if _is_halted(halted):
        count(trial, halted.sofar, where)
        other = trial.begin(rival, stage=trial.world.rival)
        other.wait(RIVAL_SECONDS)
        is_killed = trial.chance.random() < 1 / 3
        halted.signal(signal.SIGKILL if is_killed else signal.SIGCONT)
        trial.heard(other.ended())
    trial.heard(halted.ended())


def beside(trial: Trial) -> None:
    """The same act in two processes at once, one of which is killed at a failpoint."""
    where = trial.at or spot(trial, "kill")
    doomed = trial.begin(trial.scenario.act, failpoint=where)
    other = trial.begin(trial.scenario.act, stage=trial.world.rival)
    count(trial, trial.heard(doomed.ended()), where)
    trial.heard(other.ended())
    trial.struck.append("beside:rival")


def _is_halted(playing: Playing) -> bool:
    """Wait until the child has been stopped by a signal (proc(5), state T). False when it ended first."""
    while not playing.wait(STEP_SECONDS):
        if playing.process and _state(playing.process) == "T":
            return True
    return False


def _state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text("utf-8").rsplit(")", 1)[1].split()[0]
    except OSError:
        time.sleep(STEP_SECONDS)
        return ""
