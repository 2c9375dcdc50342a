"""The failpoints that stand in the source, found there, so that a new one is rehearsed without a word more."""

from __future__ import annotations

import re

from tests.torture.theatre import ROOT

FLOORS = ("mailstore", "archive", "portal", "appliance")
REACHED = re.compile(r"\breached\(\s*\"([a-z_.]+)\"")


def all_names() -> set[str]:
    """Every name that stands anywhere."""
    sources = (path for floor in FLOORS for path in sorted((ROOT / floor).rglob("*.py")))
    return {name for path in sources for name in REACHED.findall(path.read_text("utf-8"))}
