"""Which scenario meets which fault in which cycle: a fixed spread, so that a cycle is known by its number alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.torture import bad_clock, bad_disk, bad_network, burst, fault, rivals
from tests.torture.scenario import SCENARIOS, Scenario
from tests.torture.trial import Trial

FAULTS: Mapping[str, Callable[[Trial], None]] = {
    each.__name__: each
    for each in (
        fault.kill,
        fault.kill_twice,
        fault.error,
        fault.full,
        fault.moment,
        rivals.pause,
        rivals.beside,
        bad_disk.sync_error,
        bad_disk.sync_slow,
        bad_disk.no_room,
        bad_clock.clock,
        burst.role_killed,
        bad_network.network,
        bad_network.backends,
        bad_network.server_killed,
        bad_disk.server_full,
    )
}
"""Every fault by its name. One more function is one more kind."""

OF_ONE = frozenset({"role_killed", "network", "backends", "server_killed", "server_full"})
"""Faults that suit only the scenarios that name them."""

TWICE = frozenset({"kill", "kill_twice"})
"""Faults that have two turns with each scenario in one round, the others one."""


@dataclass(frozen=True)
class Turn:
    """One place in the round. ``number`` counts the turns of this pair, so that failpoints can take turns too."""

    scenario: Scenario
    fault: str
    number: int = 0

    @property
    def kind(self) -> str:
        """As ``KIND=`` names it."""
        return f"{self.scenario.name}/{self.fault}"

    @property
    def store(self) -> str:
        """Where the practice keeps what it has: ``files``, ``postgresql`` or ``s3``; also a word for ``KIND=``."""
        return self.scenario.name.partition("@")[2] or "files"


def often(name: str) -> int:
    """How many turns a fault has with each scenario in one round."""
    return 2 if name in TWICE else 1


def suits(scenario: Scenario, name: str) -> bool:
    """True when the fault can disturb the scenario."""
    return name in scenario.faults if scenario.faults else name not in OF_ONE


def round_of(kind: str = "") -> list[Turn]:
    """All turns, well mixed; with ``kind`` only those of a scenario, of a fault, of a pair, or of a kind of store."""
    turns = [
        Turn(scenario, name, number)
        for name in FAULTS
        for scenario in SCENARIOS
        if suits(scenario, name)
        for number in range(often(name))
    ]
    wanted = [turn for turn in turns if kind in {"", turn.scenario.name, turn.fault, turn.kind, turn.store}]
    return [wanted[place * _stride(len(wanted)) % len(wanted)] for place in range(len(wanted))]


def _stride(count: int) -> int:
    """Steps of about the golden section come by every place once, and by every region soon."""
    return (
        next(step for step in range(int(count * 0.618) or 1, count + 1) if math.gcd(step, count) == 1) if count else 1
    )


def turn_of(cycle: int, kind: str = "") -> Turn:
    """The turn of a cycle. Each round goes on with the failpoints where the last one ended."""
    turns = round_of(kind)
    if not turns:
        raise ValueError(f"there is no kind {kind!r}")
    turn = turns[cycle % len(turns)]
    return Turn(turn.scenario, turn.fault, cycle // len(turns) * often(turn.fault) + turn.number)
