"""Kill -9 in the middle of a burst, role by role and all at once: what was answered 250 is there, once (I1, I11).

``make torture KIND=serve N=100 SEED=7`` does it a hundred times; the suite does it a few times with a seed of its own.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.torture.burst import VICTIMS
from tests.torture.rehearsal import rehearse


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_mail_that_was_answered_250_survives_every_kill_whole_and_once(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10_000)
    report = rehearse(tmp_path, [(number, "serve") for number in range(seed, seed + len(VICTIMS))])
    assert report.is_good, "\n".join(report.lines())
    assert report.acknowledged
    assert report.faults["kill"] == len(VICTIMS)
