from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHILD = """
from mailstore.failpoint import reached
for number in range(4):
    reached("other")
    try:
        reached("here")
    except OSError as error:
        print("error", error.errno, flush=True)
    print(number, flush=True)
"""


@pytest.mark.parametrize(
    ("setting", "code", "said"),
    [
        ("", 0, ["0", "1", "2", "3"]),
        ("elsewhere:kill", 0, ["0", "1", "2", "3"]),
        ("here:kill", -9, []),
        ("here:kill@3", -9, ["0", "1"]),
        ("here:error", 0, ["error", "5", "0", "1", "2", "3"]),
    ],
)
def test_process_stops_where_the_rehearsal_says(setting: str, code: int, said: list[str]) -> None:
    environment = {**os.environ, "STRONGROOM_FAILPOINT": setting, "PYTHONPATH": str(Path.cwd())}
    ran = subprocess.run(
        [sys.executable, "-c", CHILD], env=environment, capture_output=True, text=True, check=False, timeout=30
    )
    assert ran.returncode == code, ran.stderr
    assert ran.stdout.split() == said
