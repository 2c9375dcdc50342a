"""Clocks that lie: the act is played years ahead or behind, by a process to which libfaketime tells another time.

The monotonic clock goes on as it was, as it does when somebody sets the clock of a machine.
"""

from __future__ import annotations

from tests.torture.trial import BY_THE_CLOCK, Trial

JUMPS = ("+3653d", "-3653d", "+8d", "-26h", "+45d")
"""Letters that are not due at once fall due after 30 days."""


def clock(trial: Trial) -> None:
    """The clock is set, the act is played, and the clock is set right again."""
    jump = trial.chance.choice(JUMPS)
    trial.play(trial.scenario.act, environment={"FAKETIME": jump}, stage=trial.world.false_clock)
    trial.struck.append("clock:ahead" if jump.startswith("+") else "clock:behind")
    trial.tolerated |= BY_THE_CLOCK
