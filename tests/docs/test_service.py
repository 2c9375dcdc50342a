"""The unit and the wrapper that operators install agree with each other and with systemd."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from tests.repository_room import ROOT

FILES = ROOT / "ansible" / "roles" / "strongroom" / "files"
UNIT, WRAPPER = FILES / "strongroom.service", FILES / "strongroom"
TIGHT = {
    "User": "strongroom",
    "UMask": "0077",
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "CapabilityBoundingSet": "",
    "SystemCallFilter": "@system-service ~@privileged",
    "LimitCORE": "0",
    "KillMode": "mixed",
}
MAY_COMPLAIN = "Failed to"
"""How the first words go when the machine has no service manager to ask; that says nothing about the unit."""


def test_unit_is_tight() -> None:
    told: dict[str, str] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", UNIT.read_text("utf-8"), re.MULTILINE):
        told[name] = f"{told[name]} {value}" if name in told else value
    assert {name: told.get(name) for name in TIGHT} == TIGHT


def test_unit_and_wrapper_name_the_same_program_data_and_key() -> None:
    unit, wrapper = UNIT.read_text("utf-8"), WRAPPER.read_text("utf-8")
    (program,) = re.findall(r"^ExecStart=(\S+) serve$", unit, re.MULTILINE)
    assert f"{program} " in wrapper
    places = re.findall(r"^Environment=(\S+)$", unit, re.MULTILINE)
    assert sorted(places) == sorted(re.findall(r"STRONGROOM_\w+=\S+", wrapper))


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    """On a machine without systemd the two tests above are all that can be said."""
    judge = shutil.which("systemd-analyze")
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text("utf-8")), "utf-8")
    if judge:
        done = subprocess.run([judge, "verify", str(unit)], capture_output=True, text=True, check=False)
        assert [line for line in done.stderr.splitlines() if UNIT.name in line and MAY_COMPLAIN not in line] == []
