"""The modules that call themselves core are exactly those that the import contract keeps free of I/O."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("mailstore", "archive", "portal", "appliance")
CONTRACT = "The core does no I/O"


def test_modules_that_say_core_are_those_in_the_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    (contract,) = (each for each in contracts if each["name"] == CONTRACT)
    assert sorted(contract["source_modules"]) == sorted(_say_core())


def _say_core() -> list[str]:
    return [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").startswith("Core:")
    ]
