"""What goes wrong while a step is taken. A fault is a function that has the act of a trial played, disturbed.

It answers after the disturbance, before anything is mended; ``trial.struck`` tells what it really did.
"""

from __future__ import annotations

from tests.torture.scenario import Act
from tests.torture.theatre import Played
from tests.torture.trial import Trial

LONGEST_MOMENT = 0.6
"""Seconds within which a kill at a random moment falls: about what an act takes."""
RECOVER = Act("recover")


def kill(trial: Trial) -> None:
    """Kill -9 at a failpoint."""
    _at_failpoint(trial, "kill")


def kill_twice(trial: Trial) -> None:
    """Kill -9 at a failpoint, and again somewhere on the way back."""
    _at_failpoint(trial, "kill")
    again = trial.chance.choice(sorted(trial.passes()))
    if trial.chance.random() < 1 / 2:
        count(trial, trial.play(RECOVER, failpoint=f"{again}:kill"), f"{again}:kill")
    else:
        _moment(trial, RECOVER)


def error(trial: Trial) -> None:
    """The disk answers EIO at a failpoint, and the process goes on."""
    _at_failpoint(trial, "error")


def full(trial: Trial) -> None:
    """The disk is full at a failpoint, and the process goes on."""
    _at_failpoint(trial, "full")


def moment(trial: Trial) -> None:
    """Kill -9 at a moment that nobody chose."""
    _moment(trial, trial.scenario.act)


def _at_failpoint(trial: Trial, kind: str) -> None:
    where = trial.at or spot(trial, kind)
    count(trial, trial.play(trial.scenario.act, failpoint=where), where)


def spot(trial: Trial, kind: str) -> str:
    """The failpoints of the act take turns; the pass at which one strikes is left to chance."""
    passes = trial.passes()
    name = sorted(passes)[trial.turn % len(passes)]
    return f"{name}:{kind}@{1 + trial.chance.randrange(passes[name])}"


def _moment(trial: Trial, act: Act) -> None:
    played = trial.play(act, kill_after=trial.chance.random() * LONGEST_MOMENT)
    if played.was_killed:
        trial.struck.append("moment:kill")


def count(trial: Trial, played: Played, where: str) -> None:
    """A failpoint has struck when it was come by as often as was set."""
    name, _, action = where.partition(":")
    kind, _, time = action.partition("@")
    if played.passes[name] >= int(time or 1):
        trial.struck.append(f"{name}:{kind}")
