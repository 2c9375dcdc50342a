"""Every decision has a page, stands in the index, and says what would undo it."""

from __future__ import annotations

import pytest

from tests.repository_room import ROOT

FOLDER = ROOT / "docs" / "decisions"
DECISIONS = sorted(path.name for path in FOLDER.glob("*.md") if path.name != "README.md")


@pytest.mark.parametrize("name", DECISIONS)
def test_a_decision_is_listed_and_says_what_would_change_it(name: str) -> None:
    assert f"({name})" in (FOLDER / "README.md").read_text("utf-8")
    text = (FOLDER / name).read_text("utf-8")
    assert "What would make us change it" in text
    assert "**Decision" in text or "**Decided" in text
