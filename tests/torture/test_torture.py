"""Some cycles of the rehearsals in every test run: nothing promised is lost, doubled, half there or back (I1-I11).

``make torture N=2000 SEED=7`` plays more of them. A cycle is the same whenever its number is played.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.postgresql_room import roomy_place
from tests.torture.programme import FAULTS, round_of, turn_of
from tests.torture.rehearsal import rehearse
from tests.torture.scenario import SCENARIOS

CYCLES = {"files": 90, "postgresql": 3, "backends": 1, "server_killed": 1, "server_full": 1, "s3": 3, "network": 1}
"""Always the same cycles, so that a test run says the same twice; ``make torture`` plays others."""

OTHERS = tuple(kind for kind in CYCLES if kind != "files")

SEED = 1000


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("kinds", "part"),
    [(("files",), slice(45)), (("files",), slice(45, None)), (OTHERS, slice(None))],
    ids=["files, one half", "files, the other half", "servers"],
)
def test_every_promise_is_kept_whatever_is_disturbed(tmp_path: Path, kinds: Sequence[str], part: slice) -> None:
    place = Path(tempfile.mkdtemp(prefix="strongroom-torture-", dir=roomy_place() or tmp_path))
    try:
        turns = sorted(((number, kind) for kind in kinds for number in numbers(kind)), key=past)[part]
        report = rehearse(place, turns)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    assert report.is_good, "\n".join(report.lines())
    assert report.cycles == len(turns)
    assert report.acknowledged
    assert report.faults


def past(turn: tuple[int, str]) -> tuple[object, ...]:
    """Sorted by this, cycles that begin in the same past stand together: it is lived through once."""
    scenario = turn_of(*turn).scenario
    acts = [(act.scene, act.letters, act.write.__name__, act.failpoint, act.clock) for act in scenario.before]
    return scenario.home, acts, scenario.name, turn


def numbers(kind: str) -> range:
    return range(SEED, SEED + CYCLES[kind])


def test_the_fixed_cycles_are_a_hundred_of_nearly_every_kind() -> None:
    """The roles of ``serve`` are killed in ``tests/flows/test_kill_in_burst.py`` in every test run."""
    turns = [turn_of(number, kind) for kind in CYCLES for number in numbers(kind)]
    assert len(turns) == 100
    assert len({turn.kind for turn in turns}) > 90
    assert {turn.fault for turn in turns} >= FAULTS.keys() - {"role_killed"}
    on_files = {turn.scenario.name for turn in round_of("files")}
    assert len(on_files - {turn.scenario.name for turn in turns}) <= 3


def test_every_scenario_meets_every_fault() -> None:
    turns = round_of()
    assert {turn.scenario.name for turn in turns} == {scenario.name for scenario in SCENARIOS}
    assert {turn.fault for turn in turns} == FAULTS.keys()
