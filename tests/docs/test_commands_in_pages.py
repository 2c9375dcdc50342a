"""Every command that a page tells somebody to type exists, with the options that it is given."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.command_table import ENTRIES, GROUPS, SECRETS
from appliance.demo import tour
from tests.repository_room import ROOT, name_of, pages

BLOCK = re.compile(r"^```.*?\n(.*?)^```|^((?: {4}[^\n]*\n?)+)", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
BEFORE = r"(?:^|&& |; |\bsudo )\s*(?:[\w./-]+/)?"
CALL = re.compile(BEFORE + r"strongroom((?: +[^\s|;&>]+)*)")
TARGET = re.compile(BEFORE + r"make(?: -C \S+)?((?: +[a-z][a-z-]*)+)")
END = re.compile(r"^(?:\|.*|;|&&|>.*|\.\.\.|…|[A-Z]+|/.*|-[a-z])$")
COMMON = {"--data", "--json", "--as", "--version", "--help", *(option for option, _, _ in SECRETS.values())}
WITH_A_WORD = COMMON - {"--json", "--version", "--help"}
TO_TYPE = [page for page in pages() if page.parent.name != "formats"]
"""Pages about formats quote what is hashed and signed, which looks like commands and is none."""
KNOWN = {entry.words: {option.name for option in entry.options} for entry in ENTRIES}


def code_of(text: str) -> Iterator[str]:
    """Every line of a page that is code."""
    for fenced, indented in BLOCK.findall(text):
        yield from (fenced or indented).splitlines()
    yield from SPAN.findall(BLOCK.sub("", text))


def problem_of(words: list[str]) -> str:
    """What is wrong with the words behind ``strongroom``; empty when nothing is."""
    asked = _without_common(words)
    if not asked:
        return ""
    if " ".join(asked) in GROUPS:
        return ""
    longest = [tuple(asked[:count]) for count in (3, 2, 1)]
    command = next((words for words in longest if words in KNOWN), longest[0])
    if command not in KNOWN:
        return f"no command {' '.join(command)}"
    odd = [word for word in asked if word.startswith("--") and word not in KNOWN[command] | COMMON]
    return f"{' '.join(command)} takes no {odd}" if odd else ""


def _without_common(words: list[str]) -> list[str]:
    """The words up to where the shell takes over, without the options that every command takes."""
    found: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif not found and END.match(word):
            break
        elif word in COMMON:
            skip = word in WITH_A_WORD
        else:
            found.append(word)
    return found


@pytest.mark.parametrize("page", TO_TYPE, ids=name_of)
def test_strongroom_commands_exist(page: Path) -> None:
    calls = [call for line in code_of(page.read_text("utf-8")) for call in CALL.findall(line)]
    assert [problem for call in calls if (problem := problem_of(call.split()))] == []


def test_things_to_try_exist() -> None:
    calls = [call for thing in tour.THINGS_TO_TRY for call in CALL.findall(thing)]
    assert calls
    assert [problem for call in calls if (problem := problem_of([word.strip(",.)") for word in call.split()]))] == []


@pytest.mark.parametrize("page", TO_TYPE, ids=name_of)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    lines = code_of(page.read_text("utf-8"))
    asked = {word for line in lines for words in TARGET.findall(line) for word in words.split()}
    assert asked - targets == set()


def test_both_commands_of_the_front_page_are_one_line_each() -> None:
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    for target in ("demo", "test"):
        assert f"    apt-get update && apt-get install -y make && make {target}" in lines


def test_a_command_that_is_not_there_is_found() -> None:
    assert problem_of(["message", "erase", "ID"])
    assert problem_of(["message", "show", "ID", "--forever"])
    assert not problem_of(["--data", "DIR", "message", "show", "ID", "--raw"])
