"""The repository speaks of itself alone: of no machine, no registry and no tool that somebody wrote it with."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.repository_room import ROOT, files, name_of

FOREIGN = ("tests/data/", "portal/static/htmx", "LICENSE", "portal/static/common-passwords.txt")
"""What somebody else wrote, and what is data."""

# Put together here so that this file does not hold what it looks for.
REGISTRIES = (
    "py" + "pi.org",
    "python" + "hosted.org",
    "npm" + "js.",
    "ghcr" + ".io",
    "docker" + ".io",
    "deb." + "debian.org",
)
MACHINES = ("/wo" + "rk/", "/ro" + "ot/", "/home" + "/", "/Us" + "ers/")
TOOLS = (
    "chat" + "gpt",
    "open" + "ai",
    "anthro" + "pic",
    "clau" + "de",
    "co" + "pilot",
    "language " + "model",
    "ai assist" + "ant",
)


def found(words: tuple[str, ...]) -> list[str]:
    """File and line of every place where one of the words stands, whatever its case."""
    wanted = re.compile("|".join(map(re.escape, words)), re.IGNORECASE)
    places = []
    for path in files():
        if name_of(path).startswith(FOREIGN):
            continue
        for number, line in enumerate(_lines(path), start=1):
            if match := wanted.search(line):
                places.append(f"{name_of(path)}:{number}: {match[0]}")
    return places


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines()
    except UnicodeDecodeError:
        return []


def test_no_file_names_a_registry() -> None:
    assert found(REGISTRIES) == []


def test_no_file_names_a_place_on_the_machine_it_was_written_on() -> None:
    assert found(MACHINES) == []


def test_no_file_speaks_of_the_tools_it_was_written_with() -> None:
    assert found(TOOLS) == []


def test_the_version_is_told_and_stands_in_one_place() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "appliance.cli", "--version"], cwd=ROOT, capture_output=True, check=True
    )
    assert re.fullmatch(rb"strongroom \d+\.\d+\.\d+\n", told.stdout)
    assert 'attr = "appliance.VERSION"' in (ROOT / "pyproject.toml").read_text("utf-8")
