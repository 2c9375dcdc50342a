"""The demonstration's check as a person runs it: one message's whole life, each stage with its evidence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.demo import life, port_base, world
from mailstore.errors import RefusedError
from mailstore.wall_clock import SystemClock
from portal import second_factor

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(900)
def test_whole_life_of_a_message_shows_evidence_for_every_stage(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "appliance.cli", "demo", "--check", "--json"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)},
        capture_output=True,
        timeout=800,
        check=False,
    )
    items = json.loads(done.stdout)["items"]
    assert [item["stage"] for item in items if item["state"] != "ok"] == [], done.stderr.decode()
    assert [item["stage"] for item in items] == [stage.name for stage in life.STAGES]
    assert all(item["evidence"] for item in items)
    assert done.returncode == 0
    assert list(tmp_path.iterdir()) == [], "it leaves nothing behind"


def test_two_codes_of_one_moment_sign_in_one_after_the_other_without_a_wait() -> None:
    secret, used, last = second_factor.secret_from(bytes(second_factor.SECRET_BYTES)), set[tuple[str, str]](), -1
    for _ in range(2):
        code = world.fresh_code(secret, used=used)
        step = second_factor.accepted_step(secret, code, now=SystemClock().now(), last_step=last)
        assert step is not None
        last = step


def test_base_that_somebody_holds_is_given_to_nobody_else() -> None:
    ours = port_base.reserve(range(32_100, 32_600, port_base.APART))
    code = f"from appliance.demo import port_base; print(port_base.reserve([{ours}, {ours + port_base.APART}]))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) == ours + port_base.APART
    with pytest.raises(RefusedError, match="no free ports"):
        port_base.reserve([ours])
