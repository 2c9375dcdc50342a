"""Every failpoint in the source is come by in some scenario, so that every one of them is struck in turn."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.torture import failpoint_names, world
from tests.torture.scenario import SCENARIOS
from tests.torture.trial import Trial


@pytest.mark.rehearsal
@pytest.mark.timeout(600)
def test_every_failpoint_is_come_by(tmp_path: Path) -> None:
    """Once all were met, no further scenario is played."""
    missing = failpoint_names.all_names()
    with world.opened(tmp_path) as theatre:
        for number, scenario in enumerate(each for each in SCENARIOS if each.name != "serve"):
            if missing:
                directory, oracle = theatre.begun(scenario.home, scenario.before, f"c{number}")
                trial = Trial(theatre, scenario, directory, oracle, random.Random(number))  # noqa: S311 - no secret
                missing -= trial.passes().keys()
    assert not missing, " ".join(sorted(missing))
