"""One cycle: a scenario is played and disturbed, everything is mended, and the oracle judges."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.torture.oracle import Breach, Found, Oracle
from tests.torture.scenario import Act, Scenario
from tests.torture.theatre import Call, Played, Playing, Stage
from tests.torture.world import World

BY_THE_CLOCK = frozenset({"clock_went_back", "clock_not_confirmed", "cooling_off", "clock"})
"""Refusals, and checks of the doctor, that are right as long as nobody has vouched for the time."""

EXPECTED = frozenset({"OSError"})
"""What a child may fall over besides the product's own errors: that is what a failpoint raises."""


@dataclass
class Trial:
    """A practice of its own in which one scenario is played. ``struck`` tells what really disturbed it."""

    world: World
    scenario: Scenario
    place: Path
    oracle: Oracle
    chance: random.Random
    turn: int = 0
    at: str = ""
    found: list[Found] = field(default_factory=list)
    struck: list[str] = field(default_factory=list)
    tolerated: set[str] = field(default_factory=set)
    _sheaf: int = 0

    def play(
        self,
        act: Act,
        *,
        failpoint: str = "",
        kill_after: float | None = None,
        environment: Mapping[str, str] | None = None,
        stage: Stage | None = None,
    ) -> Played:
        """Play a scene, disturbed as told, and write down what was promised in it."""
        told = {**({"FAKETIME": act.clock} if act.clock else {}), **(environment or {})}
        call = replace(self._call(act, failpoint), kill_after=kill_after, environment=told)
        return self.heard((stage or self._stage_for(act)).play(call))

    def begin(self, act: Act, *, failpoint: str = "", waits: bool = False, stage: Stage | None = None) -> Playing:
        """Begin a scene, beside which another may be played on a stage of its own.

        What it told must be handed to ``heard`` when it has ended.
        """
        told = {"FAKETIME": act.clock} if act.clock else {}
        call = replace(self._call(act, failpoint), waits=waits, environment=told)
        workers = ("second", "first") if stage is not None else ("first", "second")
        return (stage or self._stage_for(act)).begin(replace(call, told={**call.told, "workers": workers}))

    def _stage_for(self, act: Act) -> Stage:
        """Under another clock the oracle, too, must not expect what only the right one allows."""
        if not act.clock:
            return self.world.stage
        self.tolerated |= BY_THE_CLOCK
        return self.world.false_clock

    def heard(self, played: Played) -> Played:
        """Write down what was promised in a scene, and hand it on."""
        self.oracle.hears(played, self.world.newly_arrived())
        if played.is_stuck:
            self.found.append(Found(Breach.STUCK, played.problem))
        if not EXPECTED.issuperset(event["code"] for event in played.of("stopped") if "trace" in event):
            self.found.append(Found(Breach.NOT_SOUND, f"in words of no family of ours: {played.problem}"))
        return played

    def _call(self, act: Act, failpoint: str) -> Call:
        """What the stage is asked for; the oracle knows of the letters from here on."""
        self._sheaf += 1
        letters = self.oracle.sends(act.written(f"{self.place.name}-{self._sheaf}"))
        told = {**act.told, **self.world.home(self.scenario.home).told(self.place), "letters": letters}
        return Call(act.scene, self.place, told, failpoint)

    def in_peace(self, act: Act) -> Played:
        """Play a scene that has no reason to fail, but for what is tolerated."""
        played = self.play(act)
        if played.code and not any(event["code"] in self.tolerated for event in played.of("stopped")):
            self.found.append(Found(Breach.NOT_SOUND, played.problem or f"{act.scene} ended with {played.code}"))
        return played

    def passes(self) -> Mapping[str, int]:
        """How often the act comes by each failpoint when nothing disturbs it. Played once for every scenario."""
        known = self.world.passes
        if self.scenario.name not in known:
            home = self.scenario.home
            place, oracle = self.world.begun(home, self.scenario.before, f"alone{len(known)}")
            alone = Trial(self.world, self.scenario, place, oracle, self.chance)
            known[self.scenario.name] = dict(alone.in_peace(self.scenario.act).passes)
            self.world.forget(home, place)
            if alone.found:
                raise RuntimeError(f"{self.scenario.name} fails undisturbed: {alone.found}")
        return known[self.scenario.name]

    def mend(self) -> None:
        """What is done after any disturbance; then nothing may be broken any more."""
        if self.scenario.again:
            self.play(self.scenario.act)
        self.in_peace(Act("recover"))
        for act in self.scenario.after:
            self.in_peace(act)

    def judged(self) -> list[Found]:
        """Everything that does not hold."""
        home = self.world.home(self.scenario.home)
        inspected = self.play(Act("inspect", told={"known": self.oracle.log[0]}))
        found = self.found + self.oracle.judge(inspected, [(self.place / "data", False), *home.elsewhere(self.place)])
        return [each for each in found if each.what.partition(":")[0] not in self.tolerated]

    @property
    def injected(self) -> Counter[str]:
        """What disturbed it, by name."""
        return Counter(self.struck)
