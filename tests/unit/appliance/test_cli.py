from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from appliance import cli

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


@pytest.mark.parametrize(
    "words",
    [
        ["archive", "search", "-reminder"],
        ["archive", "saved", "add", "--name", "n", "-reminder"],
        ["hold", "place", "--name", "n", "--reason", "r", "--query", "-reminder"],
    ],
)
def test_query_that_looks_like_an_option_is_answered_with_how_to_write_it(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*words, "--as", "a@b.example", "--json"]) == cli.WRONG_CALL
    told = capsys.readouterr()
    assert json.loads(told.out)["error"]["fix"] == cli.QUERY_WITH_HYPHEN
    assert cli.QUERY_WITH_HYPHEN in told.err


@pytest.mark.parametrize(
    "words",
    [
        ["archive", "search", "--limit", "3", "--", "-reminder"],
        ["archive", "saved", "add", "--name", "n", "--", "-reminder"],
        ["hold", "place", "--name", "n", "--reason", "r", "--query=-reminder"],
    ],
)
def test_query_that_begins_with_a_hyphen_is_understood_as_the_advice_says(words: list[str]) -> None:
    assert cli.parser().parse_args(["--as", "a@b.example", *words]).query == "-reminder"


def test_other_wrong_calls_are_sent_to_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["serve", "-d", "--json"]) == cli.WRONG_CALL
    assert json.loads(capsys.readouterr().out)["error"]["fix"] == "see: strongroom --help"


def test_seal_of_what_does_not_run_says_how_it_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = ["init", "--practice", "Clinic", "--domain", "clinic.example", "--loopback", "21000"]
    assert cli.main([*made, "--data", str(tmp_path / "data")]) == cli.DONE
    capsys.readouterr()
    assert cli.main(["seal", "--json", "--data", str(tmp_path / "data")]) == cli.REFUSED
    assert "strongroom serve" in json.loads(capsys.readouterr().out)["error"]["fix"]
