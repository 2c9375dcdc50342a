"""What a page points to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.repository_room import ROOT, anchors, files, modules, name_of, pages

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
PLACE = re.compile(r"^(?:docs|tests|ansible|appliance|archive|mailstore|portal)/[\w./*-]+$")
TEST_FILE = re.compile(r"^test_[\w*]+\.py$")
MODULE = re.compile(r"^(?:mailstore|archive|portal|appliance)(?:\.\w+)+$")
PAGE_IN_CODE = re.compile(r"\bdocs/[\w./-]+\.md")


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_links_resolve(page: Path) -> None:
    broken = [link for link in LINK.findall(page.read_text("utf-8")) if not _resolves(page, link)]
    assert broken == []


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_named_files_are_there(page: Path) -> None:
    words = [word.strip() for words in CODE.findall(page.read_text("utf-8")) for word in words.split()]
    missing = [word for word in words if PLACE.match(word) and not _is_there(word)]
    missing += [word for word in words if TEST_FILE.match(word) and not any((ROOT / "tests").rglob(word))]
    assert missing == []


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_named_modules_are_there(page: Path) -> None:
    """A dotted name is a module, or something that its module holds."""
    named = [
        word for word in CODE.findall(page.read_text("utf-8")) if MODULE.match(word) and not word.endswith(".example")
    ]
    assert [name for name in named if not _is_importable(name)] == []


def test_pages_named_in_code_are_there() -> None:
    named = {
        (name_of(module), page) for module in modules() for page in PAGE_IN_CODE.findall(module.read_text("utf-8"))
    }
    assert {(module, page) for module, page in named if not (ROOT / page).is_file()} == set()


def test_every_page_can_be_reached_from_the_first() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        waiting += [_target(page, link) for link in LINK.findall(page.read_text("utf-8")) if "://" not in link]
    assert {name_of(page) for page in pages()} - {name_of(page) for page in reached} == set()


def _resolves(page: Path, link: str) -> bool:
    if "://" in link:
        return True
    target, anchor = _target(page, link), link.partition("#")[2]
    return (target in files() or target.is_dir()) and (not anchor or anchor in anchors(target))


def _target(page: Path, link: str) -> Path:
    name = link.partition("#")[0]
    return (page.parent / name).resolve() if name else page


def _is_there(place: str) -> bool:
    """True for a file, a folder, or a pattern that something matches."""
    return (ROOT / place).exists() or ("*" in place and any(ROOT.glob(place)))


def _is_importable(name: str) -> bool:
    parts = name.split(".")
    whole, holder = ROOT.joinpath(*parts), ROOT.joinpath(*parts[:-1]).with_suffix(".py")
    if whole.is_dir() or whole.with_suffix(".py").is_file():
        return True
    return holder.is_file() and re.search(rf"\b{parts[-1]}\b", holder.read_text("utf-8")) is not None
