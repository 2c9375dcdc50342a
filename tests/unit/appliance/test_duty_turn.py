"""A duty that two processes take up is done by one at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from appliance.data_directory import DataDirectory
from appliance.duty_turn import Duty, in_turn, when_our_turn
from tests.repository_room import ROOT

_HOLD = """
import sys
from pathlib import Path
from appliance.data_directory import DataDirectory
from appliance.duty_turn import Duty, in_turn
in_turn(DataDirectory(Path(sys.argv[1])), Duty.SCRUB, lambda: (print("mine", flush=True), sys.stdin.read()))
"""


def test_what_another_process_does_is_left_to_it_until_it_ends(tmp_path: Path) -> None:
    data, done = DataDirectory(tmp_path), list[str]()
    data.run.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"mine\n"
        assert not in_turn(data, Duty.SCRUB, lambda: done.append("twice"))
        when_our_turn(data, Duty.SCRUB, lambda: done.append("twice"))()
        assert in_turn(data, Duty.DRILL, lambda: done.append("another duty"))
        other.kill()
    assert in_turn(data, Duty.SCRUB, lambda: done.append("afterwards"))
    assert done == ["another duty", "afterwards"]
