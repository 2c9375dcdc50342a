"""The glossary has every word that commands and pages use for a state, a way or a role."""

from __future__ import annotations

import re
from enum import StrEnum

import pytest

from archive.disposal_records import DisposalState, ItemState
from archive.legal_hold import HoldState
from archive.schedule_records import ScheduleState
from mailstore.actor import Role
from mailstore.message import Origin, RecipientState, Route
from portal.account_records import AccountState
from tests.repository_room import ROOT

ENTRY = re.compile(r"^- \*\*(.+?)\*\* (.+)\.$", re.MULTILINE)
WORDS: tuple[tuple[str, type[StrEnum]], ...] = (
    ("Route", Route),
    ("State of a copy", RecipientState),
    ("Origin", Origin),
    ("Role", Role),
    ("State of a hold", HoldState),
    ("State of a disposal", DisposalState),
    ("State of a message in a disposal", ItemState),
    ("State of a schedule", ScheduleState),
    ("State of an account", AccountState),
)


def entries() -> dict[str, str]:
    return dict(ENTRY.findall((ROOT / "docs" / "glossary.md").read_text("utf-8")))


@pytest.mark.parametrize(("term", "words"), WORDS, ids=[term for term, _ in WORDS])
def test_every_word_is_told(term: str, words: type[StrEnum]) -> None:
    told = set(re.findall(r"\*\*(.+?)\*\*", entries()[term]))
    assert {word.value.replace("_", " ") for word in words} - told == set()


def test_entries_stand_in_their_order() -> None:
    terms = [term.lower() for term in entries()]
    assert terms == sorted(terms)
