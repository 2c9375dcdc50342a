"""The page about checks names every kind of problem, and says of each what the code says."""

from __future__ import annotations

import pytest

from mailstore.consistency_problem import MEANINGS, Kind
from tests.repository_room import ROOT

PAGE = (ROOT / "docs" / "operations" / "check.md").read_text("utf-8")


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_stands_in_the_table_as_the_code_says(kind: Kind) -> None:
    meaning = MEANINGS[kind]
    done = meaning.repair or f"nothing: {meaning.person}"
    assert f"| `{kind}` | {meaning.weight} | {meaning.says} | {done} |" in PAGE


def test_what_no_repair_mends_says_what_a_person_does() -> None:
    assert all(meaning.repair or meaning.person for meaning in MEANINGS.values())


def test_no_repair_touches_what_would_hide_tampering() -> None:
    left_alone = {Kind.ROW_ALTERED, Kind.LOG_BROKEN, Kind.CHECKPOINT_CONTRADICTED, Kind.MESSAGE_GONE}
    left_alone |= {Kind.KEY_MISSING, Kind.KEY_ALTERED, Kind.BYTES_MISSING, Kind.BYTES_ALTERED, Kind.DATABASE_DAMAGED}
    assert not any(MEANINGS[kind].repair for kind in left_alone)
