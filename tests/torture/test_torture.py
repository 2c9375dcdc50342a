"""Some cycles of the rehearsals in every test run: nothing promised is lost, doubled, half there or back (I1-I11).

``make torture N=2000 SEED=7`` plays more of them. A cycle is the same whenever its number is played.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture.programme import FAULTS, round_of
from tests.torture.rehearsal import rehearse
from tests.torture.scenario import SCENARIOS

SEEDS, CYCLES = (1000, 2000), 10
"""Always the same cycles, so that a test run says the same twice; ``make torture`` plays others."""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_promise_is_kept_whatever_is_disturbed(tmp_path: Path, seed: int) -> None:
    report = rehearse(tmp_path, cycles=CYCLES, seed=seed)
    assert report.is_good, "\n".join(report.lines())
    assert report.cycles == CYCLES
    assert report.acknowledged
    assert report.faults


def test_every_scenario_meets_every_fault() -> None:
    turns = round_of()
    assert {turn.scenario.name for turn in turns} == {scenario.name for scenario in SCENARIOS}
    assert {turn.fault for turn in turns} == FAULTS.keys()
