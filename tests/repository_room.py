"""The repository as the tests of its documents see it: every file that is in it, and the pages that people read."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("mailstore", "archive", "portal", "appliance")

_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_NO_PART_OF_AN_ANCHOR = re.compile(r"[^\w\- ]")


@cache
def files() -> tuple[Path, ...]:
    """What git knows, and what is new and not ignored."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    told = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return tuple(path for name in told.split("\0") if name and (path := ROOT / name).is_file())


@cache
def pages() -> tuple[Path, ...]:
    """Every page in Markdown."""
    return tuple(path for path in files() if path.suffix == ".md" and "data" not in path.parts)


def name_of(path: Path) -> str:
    """A file's name in the repository."""
    return path.relative_to(ROOT).as_posix()


def modules() -> Iterator[Path]:
    """Every module of the four packages but the packages' own and the dated steps of the row database."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if path.name != "__init__.py" and path.parent.name != "versions":
                yield path


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    text = _FENCED.sub("", page.read_text("utf-8"))
    headings = re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE)
    return {_NO_PART_OF_AN_ANCHOR.sub("", heading.lower()).replace(" ", "-") for heading in headings}
