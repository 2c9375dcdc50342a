"""The map of the modules shows those that are there, each once, and none that is gone."""

from __future__ import annotations

import ast
import re
from collections import Counter

from tests.repository_room import PACKAGES, ROOT, modules

SECTION = re.compile(r"^## (\w+):", re.MULTILINE)
LINE = re.compile(r"^- `([\w.]+)(\*?)` \S", re.MULTILINE)


def listed() -> list[tuple[str, bool]]:
    """Every module of the map with its mark."""
    text = (ROOT / "docs" / "rooms.md").read_text("utf-8")
    parts = SECTION.split(text)[1:]
    sections = zip(parts[::2], parts[1::2], strict=True)
    return [(f"{package}.{name}", bool(star)) for package, body in sections for name, star in LINE.findall(body)]


def test_every_module_stands_on_the_map_once_and_none_that_is_gone() -> None:
    there = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in modules()]
    counted = Counter(name for name, _ in listed())
    assert sorted(counted) == sorted(there)
    assert [name for name, count in counted.items() if count > 1] == []


def test_the_map_marks_exactly_the_core() -> None:
    marked = {name for name, is_core in listed() if is_core}
    core = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in modules()
        if (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").startswith("Core:")
    }
    assert marked == core


def test_the_floors_stand_in_their_order() -> None:
    text = (ROOT / "docs" / "rooms.md").read_text("utf-8")
    assert tuple(SECTION.findall(text)) == PACKAGES
