from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
ASKED = """
import ctypes, sys
from appliance import cli
sys.argv = ["strongroom", "audit", "verify", "--data", "/nonexistent"]
cli.main(*eval(sys.stdin.read()))
print("dumpable", ctypes.CDLL(None).prctl(3))
"""


def dumpable(given: str) -> str:
    """What the kernel says of a process that ran a command (``PR_GET_DUMPABLE`` of prctl(2))."""
    words = [sys.executable, "-c", ASKED]
    done = subprocess.run(words, cwd=ROOT, input=given, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def test_process_of_a_command_is_closed_to_others_of_its_user() -> None:
    assert dumpable("()") == "dumpable 0"


def test_commands_played_within_another_process_leave_it_as_it_is() -> None:
    assert dumpable("(['audit', 'verify', '--data', '/nonexistent'],)") == "dumpable 1"
